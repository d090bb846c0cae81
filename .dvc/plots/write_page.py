"""Write page.html, the page that `dvc plots show` fills, with Vega inside: `make plots-page`.

DVC's own page loads Vega from a server, so it is empty without a network. DVC fails if the page that `.dvc/config`
names is missing; the page is therefore committed. The Vega-Lite version is that of the templates' `$schema`.
"""

from pathlib import Path

import vl_convert

PAGE = Path(__file__).with_name("page.html")
VEGA_LITE = "5.21"
FORM = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>DVC plots</title>
<!--
%(versions)s

Vega, Vega-Lite, Vega-Embed, Vega-Themes, Vega-Tooltip:
Copyright (c) 2015-2025, University of Washington Interactive Data Lab. All rights reserved. BSD 3-Clause licence:

Redistribution and use in source and binary forms, with or without modification, are permitted provided that the
following conditions are met:
1. Redistributions of source code must retain the above copyright notice, this list of conditions and the following
   disclaimer.
2. Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the following
   disclaimer in the documentation and/or other materials provided with the distribution.
3. Neither the name of the copyright holder nor the names of its contributors may be used to endorse or promote products
   derived from this software without specific prior written permission.
THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES,
INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL,
SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY,
WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.

They bring along D3 (Mike Bostock, ISC licence), Delaunator (Mapbox, ISC), semver (Isaac Z. Schlueter, ISC),
fast-json-patch (Joachim Wester, MIT) and json-stringify-pretty-compact (Simon Lydell, MIT).
-->
<script>(() => {
%(bundle)s
})();</script>
<style>
body { font-family: sans-serif; }
table { border-spacing: 15px; }
</style>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def describe_versions() -> str:
    """Name the libraries in the page, and the package that they come from."""
    return (
        f"Vega {vl_convert.get_vega_version()}, Vega-Lite {VEGA_LITE} and Vega-Embed "
        f"{vl_convert.get_vega_embed_version()}, as vl-convert-python {vl_convert.__version__} bundles them."
    )


def format_page() -> str:
    """Fill the page with the script; the places that DVC fills stay."""
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    return FORM % {"versions": describe_versions(), "bundle": bundle.strip()}


if __name__ == "__main__":
    PAGE.write_text(format_page(), encoding="utf-8")
