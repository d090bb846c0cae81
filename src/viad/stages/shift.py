"""Stage shift: the test rows, with their images (and, if the shift moves them, masks) shifted."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from viad.artifacts.atomic import replacing
from viad.artifacts.images import read_image, read_mask, write_image
from viad.artifacts.samples import read_samples, write_samples
from viad.config.numbers import check_whole_number
from viad.config.params import read_params
from viad.errors import DataError
from viad.protocol.shift_registry import Shift
from viad.protocol.shifts import find_shift
from viad.seeds import generator

MOST_TRIES = 50


def main(category: str) -> None:
    """Write the test rows and the shifted images to data/shifted/<dataset>/<category>."""
    params = read_params("dataset.name", "dataset.split.seed", "shift")
    dataset = params["dataset.name"]
    shift = find_shift(params["shift"]["name"], params["shift"]["severity"])
    samples = read_samples(Path("data/resized") / dataset / category)
    seed = check_whole_number("dataset.split.seed", params["dataset.split.seed"])
    test = samples[samples["split"] == "test"].copy()
    out = Path("data/shifted") / dataset / category
    with replacing(out) as aside:
        aside.mkdir()
        if shift is not None:
            sources = test.to_dict("records")
            test["image"] = [f"{out.as_posix()}/images/{name}.png" for name in test["sample"]]
            if shift.kind.moves_masks:
                masked = test["mask"] != ""
                test.loc[masked, "mask"] = [f"{out.as_posix()}/masks/{name}.png" for name in test["sample"][masked]]
            apply = partial(_shift_image, shift=shift, seed=seed, aside=aside)
            with ThreadPoolExecutor() as pool:
                for _ in tqdm(pool.map(apply, sources), total=len(test), desc=f"shift {category}", mininterval=1):
                    pass
        write_samples(test, aside)


def _shift_image(sample: dict[str, Any], *, shift: Shift, seed: int, aside: Path) -> None:
    """Shift one image, with its own generator, so that the result does not depend on the order of images."""
    name, rng = sample["sample"], generator(seed, "shift", sample["sample"])
    transform = shift.sample(rng)
    if shift.kind.moves_masks and sample["mask"]:
        mask = read_mask(Path(sample["mask"]))
        # A defect outside the frame would count as a miss although it cannot be seen: sample another motion.
        for _ in range(MOST_TRIES):
            if not mask.any() or transform.mask(mask).any():
                break
            transform = shift.sample(rng)
        else:
            raise DataError(f"{sample['image']}: this shift moves the defect out of the frame. Lower shift.severity.")
        write_image(transform.mask(mask), aside / "masks" / f"{name}.png")
    write_image(transform.image(read_image(Path(sample["image"]))), aside / "images" / f"{name}.png")
