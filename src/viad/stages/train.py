"""Stage train: a model trained on train and val rows alone."""

from pathlib import Path

import pandas as pd
from lightning import seed_everything

from viad.artifacts.atomic import replacing
from viad.artifacts.provenance import describe_environment, write_json
from viad.artifacts.samples import read_samples
from viad.config.numbers import check_whole_number
from viad.config.params import read_params
from viad.seeds import derived_seed
from viad.training.build import build_model, choose_device, list_training_notes, make_model_spec, save_model
from viad.training.checkpoints import CHECKPOINT_FOLDER, compute_training_digest
from viad.training.fit import describe_training, fit_model


def main(category: str) -> None:
    """Train on data/contaminated/<dataset>/<category> and save models/<dataset>/<category>."""
    params = read_params(
        "dataset.name", "model", "backbone", "image_size", "color", "validation", "preset", "epochs",
        "accelerator", "precision", "seed",
    )  # fmt: skip
    dataset, seed = params["dataset.name"], check_whole_number("seed", params["seed"])
    size = check_whole_number("image_size", params["image_size"])
    device = choose_device(params["accelerator"])
    samples = read_samples(Path("data/contaminated") / dataset / category)

    spec = make_model_spec(
        params["model"], params["backbone"], image_size=size, color=params["color"],
        preset=params["preset"], epochs=params["epochs"],
    )  # fmt: skip
    print(f"train {category}: {spec.name}, preset {spec.preset}, {spec.epochs} epochs on {device.type}", flush=True)
    for note in list_training_notes(params, on_gpu=device.type == "cuda"):
        print(note, flush=True)
    train_seed = derived_seed(seed, "train", category)
    seed_everything(train_seed, workers=True, verbose=False)
    model = build_model(spec, params["precision"])
    outcome = fit_model(
        model, spec, samples, validation=params["validation"]["name"],
        patience=check_whole_number("validation.patience", params["validation"]["patience"]),
        seed=train_seed, device=device, log_folder=Path("plots") / dataset / "training" / category,
        checkpoints=CHECKPOINT_FOLDER / compute_training_digest({"category": category, **params}, _list_files(samples)),
    )  # fmt: skip
    with replacing(Path("models") / dataset / category) as out:
        save_model(model, spec, out)
    write_json(
        {**describe_training(outcome, spec), "seed": seed, **describe_environment(device.type)},
        Path("metrics") / dataset / "training" / f"{category}.json",
    )


def _list_files(samples: pd.DataFrame) -> list[Path]:
    """List every image and mask that training may read."""
    return [Path(path) for path in sorted({*samples["image"], *samples["mask"]} - {""})]
