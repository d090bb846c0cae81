"""What `viad.processes.startup` gains: the same process with and without it, taking turns.

    make bench
    python bench/startup.py --rounds 5

Times are those of this machine now: read the ratio. Without glibc there is nothing to gain in the first row.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

SRC = Path(__file__).parents[1] / "src"
CHILD = f"""
import sys, time
sys.path.insert(0, {str(SRC)!r})
from viad.processes import startup
"""
PASSES = """
import torch, timm
model = timm.create_model("efficientnet_lite0", features_only=True).eval()
images = torch.rand(8, 3, 256, 256)
with torch.inference_mode():
    model(images)
    start = time.perf_counter()
    for _ in range(8):
        model(images)
print(time.perf_counter() - start)
"""
PAIRS = {
    "forward passes, freed memory kept": (PASSES, "startup.keep_freed_memory()\n" + PASSES),
    "start and end of a stage, imports without garbage collection": (
        "import viad.stages.train",
        'startup.import_quickly("viad.stages.train")',
    ),
}


def main() -> None:
    """Time each pair in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print("\n| | without, s | with, s | times as fast |\n| --- | ---: | ---: | ---: |")
    for name, (without, used) in PAIRS.items():
        times = [(_seconds(without), _seconds(used)) for _ in range(rounds)]
        before, after = (median(column) for column in zip(*times, strict=True))
        ratio = median(one / other for one, other in times)
        print(f"| {name} | {before:.2f} | {after:.2f} | {ratio:.2f} |", flush=True)


def _seconds(code: str) -> float:
    """What the code prints as its time; of code that prints none, that of the whole process."""
    command = [sys.executable, "-c", CHILD + code]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return float(done.stdout.split()[-1]) if done.stdout else time.perf_counter() - start


if __name__ == "__main__":
    main()
