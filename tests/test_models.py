"""Every detector that has a yaml: it fits, predicts, keeps images apart, and comes back from disk the same."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from anomalib.models.image import Padim as AnomalibPadim
from anomalib.models.image import Patchcore as AnomalibPatchcore
from lightning import seed_everything

from viad.artifacts.images import write_image
from viad.inference.scoring import score_batch
from viad.models.padim import Padim
from viad.models.patchcore import Patchcore
from viad.training import build, fit
from viad.training.loading import load_tensor

ROOT = Path(__file__).parents[1]
MODELS = sorted(path for path in (ROOT / "conf/model").glob("*.yaml") if path.stem != "external")
BACKBONE, TRANSFORMER = (
    yaml.safe_load((ROOT / f"conf/backbone/{name}.yaml").read_text()) for name in ("random", "random_vit")
)
CPU = torch.device("cpu")
PARTS = {"pre_processor": False, "post_processor": False, "evaluator": False, "visualizer": False}


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Eight textured training images and two labelled anomalies, two and two for validation, all 64 px."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    rows = []
    for i, split in enumerate(["train"] * 10 + ["val"] * 4):
        pixels = (rng.normal(128, 20, (64, 64, 3))).clip(0, 255).astype(np.uint8)
        anomalous = i in (8, 9, 12, 13)
        if anomalous:
            pixels[20:40, 20:40] = 250
        path = folder / f"{i}.png"
        write_image(pixels, path)
        rows.append([str(i), str(path), "", int(anomalous), int(anomalous), "", split, "", ""])
    return pd.DataFrame(
        rows, columns=["sample", "image", "mask", "label", "train_label", "defect", "split", "group", "domain"]
    )


def _spec(path, color="rgb", **changes):
    model = yaml.safe_load(path.read_text())
    small = model["small"]
    small["epochs"] = 2 if small.pop("steps", None) else min(2, small["epochs"])
    args = small["args"]
    if "n_features" in args:
        args["n_features"] = 20
    if "coreset_sampling_ratio" in args:
        args["coreset_sampling_ratio"] = 0.2
    if "teacher" in args:
        args["teacher"] = "random"
    if "resolution" in args:
        args["resolution"] = 64
    args |= changes
    # A small preset that names a backbone of its own names a transformer.
    backbone = TRANSFORMER if "backbone" in small else BACKBONE
    size = 64 - 64 % backbone.get("multiple_of", 1)
    return build.make_model_spec(model, backbone, image_size=size, color=color, preset="small")


def _build(spec):
    seed_everything(0, verbose=False)
    model = build.build_model(spec, "float32")
    if getattr(model, "balance", None) is not None:  # epochs of two steps, not of twenty
        model.balance = replace(model.balance, steps=2)
    return model


def _fit(spec, samples, tmp_path, validation="none"):
    model = _build(spec)
    outcome = fit.fit_model(
        model, spec, samples, validation=validation, patience=1, seed=0, device=CPU, log_folder=tmp_path / "log",
        checkpoints=tmp_path / "checkpoints",
    )  # fmt: skip
    return model.eval(), outcome


def _images(samples):
    return torch.stack([load_tensor(Path(path)) for path in samples["image"]])


@dataclass(frozen=True)
class Fitted:
    """What one training left: all that the tests of a model compare with."""

    spec: build.ModelSpec
    model: torch.nn.Module
    outcome: fit.TrainingOutcome
    state: dict[str, torch.Tensor]  # a copy, taken before anything was scored
    folder: Path  # where the model is saved


@pytest.fixture(scope="module", params=MODELS, ids=lambda path: path.stem)
def fitted(request, samples, tmp_path_factory):
    """Each model, fitted once; pytest runs all tests of one model before those of the next."""
    folder, spec = tmp_path_factory.mktemp(request.param.stem), _spec(request.param)
    model, outcome = _fit(spec, samples, folder)
    build.save_model(model, spec, folder / "model")
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return Fitted(spec, model, outcome, state, folder / "model")


def test_a_model_fits_scores_each_image_by_itself_and_reloads(fitted, samples):
    model, images = fitted.model, _images(samples)
    scores, maps = score_batch(model, images, CPU)
    assert scores.shape == (len(images),)
    assert maps.shape[0] == len(images)
    assert np.isfinite(scores).all()
    assert fitted.outcome.epochs == fitted.spec.epochs
    assert fitted.outcome.selection == "last"
    alone = [score_batch(model, image[None], CPU) for image in images]
    np.testing.assert_allclose(scores, np.concatenate([s for s, _ in alone]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(maps, np.concatenate([m for _, m in alone]), rtol=1e-3, atol=1e-4)
    again, _ = build.load_model(fitted.folder, "float32", CPU)
    np.testing.assert_array_equal(score_batch(again, images, CPU)[0], scores)


def test_training_twice_with_one_seed_saves_the_same_bytes(fitted, samples, tmp_path):
    model, _ = _fit(fitted.spec, samples, tmp_path)
    build.save_model(model, fitted.spec, tmp_path / "model")
    first, second = ((folder / "model.safetensors").read_bytes() for folder in (fitted.folder, tmp_path / "model"))
    assert first == second


class Killed(BaseException):
    """As good as a kill: nothing catches it."""


def test_training_that_was_broken_off_ends_in_the_same_model(fitted, samples, tmp_path):
    spec = fitted.spec
    if spec.epochs == 1:
        pytest.skip("one pass, nothing to go on from")

    def kill(*_):
        if model.trainer.current_epoch == 1:
            raise Killed

    model = _build(spec)
    model.on_train_batch_end = kill
    options = {"validation": "none", "patience": 1, "seed": 0, "device": CPU, "log_folder": tmp_path / "log"}
    with pytest.raises(Killed):
        fit.fit_model(model, spec, samples, checkpoints=tmp_path / "checkpoints", **options)
    resumed, _ = _fit(spec, samples, tmp_path)
    assert not list((tmp_path / "checkpoints").glob("*"))
    state = resumed.state_dict()
    for name, tensor in fitted.state.items():
        torch.testing.assert_close(state[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_frozen_weights_are_not_saved_and_grey_works(path, samples, tmp_path):
    grey = samples.copy()
    for i, image in enumerate(samples["image"]):
        grey.loc[i, "image"] = str(tmp_path / f"{i}.png")
        write_image((load_tensor(Path(image))[0].numpy() * 255).astype(np.uint8), tmp_path / f"{i}.png")
    spec = replace(_spec(path, color="gray1"), epochs=1)
    model, _ = _fit(spec, grey, tmp_path)
    build.save_model(model, spec, tmp_path / "model")
    from safetensors.torch import load_file

    saved = load_file(tmp_path / "model/model.safetensors")
    assert not any(name.startswith("model.feature_extractor.extractor.") for name in saved)
    assert np.isfinite(score_batch(model, _images(grey)[:2], CPU)[0]).all()


def test_a_saved_model_that_lacks_a_part_is_not_loaded(tmp_path):
    from safetensors.torch import load_file, save_file

    spec = _spec(ROOT / "conf/model/simplenet.yaml")
    build.save_model(build.build_model(spec, "float32"), spec, tmp_path / "model")
    file = tmp_path / "model/model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if k != "model.adaptor.bias"}, file)
    with pytest.raises(RuntimeError, match=r"model\.adaptor\.bias"):
        build.load_model(tmp_path / "model", "float32", CPU)


@pytest.mark.parametrize("validation", ["normal", "same_defects"])
def test_early_stopping_uses_validation_and_says_so(samples, tmp_path, validation):
    spec = _spec(ROOT / "conf/model/msflow.yaml")
    (tmp_path / "log").mkdir()
    (tmp_path / "log/loss.tsv").write_text("step\tloss\n1\t7.0\n")  # of a run before this one
    _, outcome = _fit(spec, samples, tmp_path, validation)
    assert outcome.selection == "validation"
    # No curve of the epochs' numbers, and short paths: they are the titles of the plots in VS Code.
    curves = {path.relative_to(tmp_path / "log").as_posix(): path.read_text() for path in (tmp_path / "log").rglob("*")}
    assert curves.keys() == {"loss.tsv", "val_loss.tsv", "val_auroc.tsv"}
    for name, text in curves.items():
        header, *rows = text.splitlines()
        assert header == f"step\t{name.removesuffix('.tsv')}"
        assert len(rows) == outcome.epochs


def test_one_class_models_see_no_labelled_anomaly_and_supervised_ones_need_one(samples):
    told = samples.assign(split="train")
    assert (fit.select_training_rows(told, "one_class")["train_label"] == 0).all()
    assert (fit.select_training_rows(told, "supervised")["train_label"] == 1).sum() == 4
    with pytest.raises(fit.DataError, match=r"supervision\.anomalies"):
        fit.select_training_rows(told[told["train_label"] == 0], "supervised")


def test_patchcore_scores_as_anomalibs_does_with_the_same_bank():
    torch.manual_seed(0)
    options = {"coreset_sampling_ratio": 0.1, "num_neighbors": 9, **PARTS}
    ours = Patchcore("viad_random", ["blocks.2", "blocks.4"], **options)
    theirs = AnomalibPatchcore("viad_random", ["blocks.2", "blocks.4"], **options)
    train, test = torch.rand(6, 3, 64, 64), torch.rand(5, 3, 64, 64)
    ours.train()
    ours.model(train)
    ours.fit()
    theirs.model.memory_bank = ours.model.memory_bank
    ours.eval(), theirs.eval()
    a, b = ours.model(test), theirs.model(test)
    torch.testing.assert_close(a.pred_score, b.pred_score, rtol=1e-3, atol=1e-5)
    # anomalib hands out the smoothed map; ours is the patch scores before that
    size = a.anomaly_map.shape[-2:]
    patches = theirs.model.nearest_neighbors(_patches(theirs, test), 1)[0].reshape(5, 1, *size)
    torch.testing.assert_close(a.anomaly_map, patches, rtol=1e-3, atol=1e-3)


def _patches(model, images):
    features = model.model.feature_extractor(images)
    pooled = {layer: model.model.feature_pooler(feature) for layer, feature in features.items()}
    return model.model.reshape_embedding(model.model.generate_embedding(pooled))


def test_patchcores_bank_is_the_plain_greedy_coreset():
    torch.manual_seed(1)
    model = Patchcore("viad_random", ["blocks.2"], coreset_sampling_ratio=0.2, num_neighbors=1, max_patches=40, **PARTS)
    model.train()
    model.model(torch.rand(4, 3, 64, 64))
    patches = torch.vstack(model.model.embedding_store)
    torch.manual_seed(2)
    model.fit()
    torch.manual_seed(2)
    picks = [int(torch.randint(len(patches), (1,)))]
    nearest = (patches - patches[picks[0]]).norm(dim=1)
    while len(picks) < 40:  # the limit, below the ratio's 51
        picks.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (patches - patches[picks[-1]]).norm(dim=1))
    assert torch.equal(model.model.memory_bank, patches[picks])


def test_padim_measures_the_distances_that_anomalibs_does():
    torch.manual_seed(0)
    theirs = AnomalibPadim("viad_random", ["blocks.1", "blocks.2"], n_features=10, **PARTS)
    ours = Padim("viad_random", ["blocks.1", "blocks.2"], n_features=10, **PARTS)
    ours.model.idx = theirs.model.idx
    train, test = torch.rand(20, 3, 64, 64), torch.rand(3, 3, 64, 64)
    for model in (theirs, ours):
        model.train()
        model.model(train)
        model.model.fit()
        model.eval()
    a, b = ours.model(test), theirs.model(test)
    embedding = theirs.model.generate_embedding(theirs.model.feature_extractor(test))
    gaussian = theirs.model.gaussian
    distance = theirs.model.anomaly_map_generator.compute_distance(embedding, [gaussian.mean, gaussian.inv_covariance])
    torch.testing.assert_close(a.anomaly_map, distance, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(a.pred_score, b.pred_score.flatten(), rtol=1e-2, atol=1e-2)
