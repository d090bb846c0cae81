"""`viad compare` and `viad report` with many experiments: made up, but kept as DVC keeps real ones.

    python bench/report.py --experiments 500

Times are those of this machine now.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import many_experiments  # noqa: E402


def main() -> None:
    """Make the experiments, then time both commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=500)
    count = parser.parse_args().experiments
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("conf", "docs", "params.yaml", "src"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, root / name)
        for command in (["git", "init", "-q"], ["git", "add", "."], ["git", "commit", "-qm", "start"]):
            subprocess.run(command, cwd=root, check=True)  # noqa: S603
        subprocess.run(["dvc", "init", "-q"], cwd=root, check=True)  # noqa: S607
        many_experiments.write(root, count, yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8")))
        for command in ("compare", "report"):
            start = time.perf_counter()
            subprocess.run(["viad", command], cwd=root, check=True, stdout=subprocess.DEVNULL)  # noqa: S603, S607
            print(f"viad {command}, {count} experiments: {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
