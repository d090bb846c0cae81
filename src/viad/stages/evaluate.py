"""Stage evaluate: metrics, curves and heat maps of one category. It reads predictions only, never the model."""

from pathlib import Path

from viad.artifacts.atomic import replacing
from viad.artifacts.labelled_predictions import read_labelled_predictions
from viad.artifacts.provenance import write_json
from viad.config.conf_files import read_facts
from viad.config.numbers import check_share, check_whole_number
from viad.config.params import read_params
from viad.metrics.measurement import measure_category
from viad.plots.curves import write_curves
from viad.plots.heatmaps import draw_gallery
from viad.seeds import generator

SCORE_COLUMNS = ["sample", "image", "mask", "label", "defect", "domain", "score", "row"]  # `row` of maps.npy


def main(category: str) -> None:
    """Compare predictions/<dataset>/<category> with the labels and masks, and write metrics and figures."""
    params = read_params("dataset.name", "threshold", "bootstrap", "shift.name", "seed")
    dataset, seed = params["dataset.name"], check_whole_number("seed", params["seed"])
    predictions = read_labelled_predictions(dataset, category)
    metrics = measure_category(
        predictions,
        rate=check_share("threshold.false_positive_rate", params["threshold"]["false_positive_rate"]),
        resamples=check_whole_number("bootstrap.resamples", params["bootstrap"]["resamples"], low=1),
        rng=generator(seed, "bootstrap", category),
        shifted=params["shift.name"] != "none",
    )
    test = predictions.test
    with replacing(Path("metrics") / dataset / "scores" / f"{category}.csv") as out:
        test[SCORE_COLUMNS].to_csv(out, index=False, float_format="%.9g", lineterminator="\n")
    write_json(metrics, Path("metrics") / dataset / f"{category}.json")
    limit, facts = metrics.get("threshold"), read_facts("dataset", dataset)
    title = facts.get("display_names", {}).get("categories", {}).get(category, category)
    with replacing(Path("plots") / dataset / category) as out:
        out.mkdir()
        write_curves(test, category, out)
        draw_gallery(test, predictions.maps, limit, facts.get("attribution", ""), title, out / "heatmaps.jpg")
