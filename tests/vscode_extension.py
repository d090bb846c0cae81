"""How the VS Code extension "DVC by lakeFS" 1.3.2 reads what DVC prints, as far as users of this repository see it.

Each function follows the file of github.com/treeverse/vscode-dvc that its docstring names. Its input is the JSON of
`dvc exp show --json` or of `dvc plots diff --json --split`.
"""

import re
from math import trunc

# extension/src/experiments/columns/constants.ts
FIRST_COLUMNS = ["id", "branch", "commit"]
CREATED = "Created"
# extension/src/experiments/columns/util.ts
SUMMARY_LENGTH = 3
# extension/package.json: dvc.experimentsTableHeadMaxHeight
HEAD_HEIGHT = 5
# extension/src/cli/dvc/constants.ts
MULTI_IMAGE_PATH = re.compile(r"[^/]+[/\\]\d+\.[a-z]+$", re.IGNORECASE)
# extension/src/experiments/model/status/colors.ts
COLORS = ["#945dd6", "#13adc7", "#f46837", "#48bb78", "#4299e1", "#ed8936", "#f56565"]
# webview/src/plots/components/constants.ts, with the colours of VS Code's light theme in place of its variables
FOREGROUND, FONT = "#3b3b3b", "DejaVu Sans"
TITLE_STYLE = {"fill": FOREGROUND, "font": FONT, "fontSize": 12, "fontWeight": "normal"}
VEGA_CONFIG = {
    "axis": {
        "domain": False, "gridColor": FOREGROUND, "gridOpacity": 0.25, "tickColor": FOREGROUND,
        "titleColor": FOREGROUND, "titlePadding": 15,
    },
    "background": "white",
    "padding": 20,
    "style": {
        "cell": {"stroke": FOREGROUND},
        "group-title": TITLE_STYLE,
        "guide-label": {"fill": FOREGROUND, "font": FONT, "fontWeight": "normal"},
        "guide-title": TITLE_STYLE,
    },
    "title": {"color": FOREGROUND, "subtitleColor": FOREGROUND},
}  # fmt: skip


def list_rows(shown):
    """The data of each row of the table: extension/src/experiments/columns/collect/index.ts, collectColumns.

    Rows with an error have none.
    """
    rows = []
    for state in shown:
        if not state.get("error"):
            rows.append(state.get("data"))
        rows += [experiment["revs"][0].get("data") for experiment in state.get("experiments") or []]
    return [row for row in rows if row]


def collect_columns(shown):
    """The columns with values, as collected: extension/src/experiments/columns/collect/index.ts, collectColumns."""
    collected = {CREATED: None}
    for row in list_rows(shown):
        for kind in ("metrics", "params"):
            for file, content in (row.get(kind) or {}).items():
                _collect_values(collected, kind, [file], content.get("data") or {})
        _collect_deps(collected, row.get("deps") or {})
    return list(collected)


def _collect_values(collected, kind, ancestors, tree):
    """extension/src/experiments/columns/collect/metricsAndParams.ts, walkValueTree and collectMetricOrParam."""
    for label, value in tree.items():
        if isinstance(value, dict):
            _collect_values(collected, kind, [*ancestors, label], value)
        else:
            collected.setdefault(_path(kind, *_limit_depth(ancestors), label))


def _collect_deps(collected, deps):
    """extension/src/experiments/columns/collect/deps.ts: it returns at the first dependency that it knows."""
    for file in deps:
        if (path := f"deps:{file}") in collected:
            return
        collected[path] = None


def _limit_depth(ancestors):
    """extension/src/experiments/columns/collect/util.ts, limitAncestorDepth."""
    file, *groups = ancestors
    cutoff = len(groups) - (HEAD_HEIGHT - 3)
    return ancestors if cutoff <= 0 else [file, ".".join(groups[:cutoff]), *groups[cutoff:]]


def _path(kind, file, *keys):
    """extension/src/experiments/columns/paths.ts, buildMetricOrParamPath."""
    return f"{kind}:{file}:{'.'.join(key.replace('.', '%2E') for key in keys)}"


def order_columns(columns, first=()):
    """The order in the table: extension/src/experiments/columns/collect/order.ts, collectColumnOrder.

    Args:
        columns: as collected, all of them shown.
        first: what the user chose by Select Columns to Display First; experiments/columns/model.ts, selectFirst.
    """
    kinds = {kind: sorted(c for c in columns if c.startswith(f"{kind}:")) for kind in ("metrics", "params", "deps")}
    order = [*FIRST_COLUMNS, CREATED, *kinds["metrics"], *kinds["params"], *kinds["deps"]]
    chosen = [*FIRST_COLUMNS, *first]
    return [*chosen, *(column for column in order if column not in chosen)]


def describe_experiment(row, order):
    """The text under an experiment's name in every picker.

    extension/src/experiments/columns/model.ts, getSummaryColumnOrder, and experiments/model/util.ts,
    getColumnPathsQuickPickDetail.
    """
    params = [column for column in order if column.startswith("params")][:SUMMARY_LENGTH]
    metrics = [column for column in order if column.startswith("metrics")][:SUMMARY_LENGTH]
    texts = []
    for column in params + metrics:
        kind, file, path = column.split(":", 2)
        value, keys = (row.get(kind) or {}).get(file, {}).get("data"), path.replace("%2E", "\0").split(".")
        keys = [key.replace("\0", ".") for key in keys]
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        label, text = keys[-1], "-" if value is None else value
        texts.append(f"{'...' + label[-15:] if len(label) > 15 else label}:{text}")
    return ", ".join(texts)


def list_images(plots):
    """The rows of the image comparison: extension/src/plots/model/collect.ts, collectImageData.

    Files that are named by a number are steps of one image, its folder; the table then shows one of them and a slider.

    Returns:
        The number of images by the path of a row.
    """
    rows = {}
    for path, outputs in plots["data"].items():
        for output in outputs:
            if output["type"] == "image" and output.get("revisions"):
                row = path.rpartition("/")[0] if MULTI_IMAGE_PATH.search(path) else path
                rows.setdefault((output["revisions"][0], row), []).append(path)
    return {row: len(paths) for (_, row), paths in rows.items()}


def list_errors(plots, revision):
    """What is shown in red for a selected revision: extension/src/plots/errors/collect.ts, collectErrorPaths."""
    return {error.get("name", ""): error["type"] for error in plots.get("errors", []) if error["rev"] == revision}


def collect_templates(plots):
    """The plots that have data: extension/src/plots/model/collect.ts, collectTemplatesDetails and collectPlotData."""
    return {
        path: output
        for path, outputs in plots["data"].items()
        for output in outputs
        if output["type"] == "vega" and output["revisions"]
    }


def is_multi_view(template):
    """Whether a plot gets a row of its own: extension/src/plots/vega/util.ts, isMultiViewPlot."""
    facet = template.get("facet") or {}
    encoding = template.get("encoding") or {}
    has_facet = facet.get("field") or any((facet.get(side) or {}).get("field") for side in ("row", "column"))
    has_facet = has_facet or any((encoding.get(side) or {}).get("field") for side in ("facet", "row", "column"))
    return bool(has_facet or any(template.get(kind) for kind in ("concat", "vconcat", "hconcat", "repeat")))


def cut_title(title, width):
    """A title on a tile of `width` pixels: webview/src/plots/components/vegaLite/util.ts, with vega-util's truncate."""
    if len(title) <= width / 10:
        return title
    return "…" + title[trunc(len(title) - (width / 10 - 1)) :]


def fill_template(plot, revisions, *, width, height, focused):
    """The Vega-Lite spec of a plot: webview/src/plots/components/vegaLite/util.ts, fillTemplate.

    Args:
        plot: one output of `dvc plots diff --json --split`.
        revisions: names of the selected experiments; extension/src/plots/model/collect.ts orders the rows by them.
        width, height: of its tile in pixels.
        focused: whether the user has enlarged the plot, which then has a legend.
    """
    anchors = dict(plot["anchor_definitions"])
    rows = anchors["<DVC_METRIC_DATA>"]
    anchors["<DVC_METRIC_DATA>"] = [row for revision in revisions for row in rows if row["rev"] == revision]
    scale = {"domain": list(revisions), "range": COLORS[: len(revisions)]}
    anchors["<DVC_METRIC_COLOR>"] = {"field": "rev", "scale": scale}
    for name, length in (("TITLE", width), ("X_LABEL", width), ("Y_LABEL", height)):
        if (anchor := f"<DVC_METRIC_{name}>") in anchors:
            anchors[anchor] = cut_title(anchors[anchor], length)
    if not focused:
        for name in ("COLOR", "SHAPE", "STROKE_DASH"):
            if (anchor := f"<DVC_METRIC_{name}>") in anchors:
                anchors[anchor] = {**anchors[anchor], "legend": None}
    zoom = {"bind": "scales", "name": "grid", "select": "interval"}
    anchors["<DVC_METRIC_ZOOM_AND_PAN>"] = zoom if focused else {}
    multi_view = is_multi_view(plot["content"])
    anchors["<DVC_METRIC_PLOT_HEIGHT>"] = anchors["<DVC_METRIC_PLOT_WIDTH>"] = 300 if multi_view else "container"
    return _replace_anchors(plot["content"], anchors)


def _replace_anchors(value, anchors):
    if isinstance(value, str):
        return anchors.get(value, value)
    if isinstance(value, list):
        return [_replace_anchors(item, anchors) for item in value]
    if isinstance(value, dict):
        return {key: _replace_anchors(item, anchors) for key, item in value.items()}
    return value
