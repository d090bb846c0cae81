"""Made-up experiments as DVC keeps real ones: git refs, dvc.lock and a cache, without running anything."""

import copy
import hashlib
import itertools
import json
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

CONF = Path(__file__).parents[1] / "conf"
MODELS = {
    "patchcore": "one_class", "padim": "one_class", "simplenet": "one_class", "msflow": "one_class",
    "dfm": "one_class", "stfpm": "one_class", "softpatch": "unsupervised", "inreach": "unsupervised",
    "devnet": "supervised", "dra": "supervised",
}  # fmt: skip
SIZES, SEEDS = (128, 256, 512), (3341, 1954, 1087)
NOISE = (0, 0.1, 0.2)
SHIFTS = (("none", 0), ("brightness", 3), ("brightness", 5))
CATEGORIES = {"mono": (147, 157), "poly": (230, 201)}  # normal and anomalous test images, as many as the real ones


def conditions(count):
    """The parameters of `count` different experiments, plain ones first."""
    grid = itertools.product(SEEDS, NOISE, SHIFTS, SIZES, MODELS)
    return list(itertools.islice(grid, count))


def write(root: Path, count: int, base: dict) -> list[str]:
    """Add `count` experiments to the git and DVC repository at `root`; their names.

    Args:
        root: with a commit and an initialised DVC.
        count: of experiments, up to 810.
        base: the default params.
    """
    head = _git(root, "rev-parse", "HEAD").strip()
    names, commands = [], []
    for mark, one in enumerate(conditions(count), start=1):
        params, files = experiment(base, *one)
        lock = yaml.safe_dump({"schema": "2.0", "stages": {"evaluate": {"outs": _store(root, files)}}})
        seed, noise, (shift, severity), size, model = one
        names.append(f"{model}-{size}-{shift}{severity}-{noise}-{seed}")
        ref = f"refs/exps/{head[:2]}/{head[2:]}/{names[-1]}"
        commands.append(_commit(ref, mark, head, {"params.yaml": yaml.safe_dump(params), "dvc.lock": lock}))
    stream = "".join(commands).encode()
    subprocess.run(["git", "fast-import", "--quiet"], cwd=root, input=stream, check=True)
    return names


def experiment(base, seed, noise, shift, size, model):
    """Its params, and its outputs by path."""
    params = copy.deepcopy(base)
    params["model"] = copy.deepcopy(_model(model))
    params |= {"seed": seed, "image_size": size}
    params["shift"] = {"name": shift[0], "severity": shift[1]}
    params["contamination"]["ratio"] = noise
    params["supervision"]["anomalies"] = 10 if MODELS[model] == "supervised" else 0
    rng = np.random.default_rng([seed, int(noise * 100), shift[1], size, list(MODELS).index(model)])
    files = {}
    for category, (normals, anomalies) in CATEGORIES.items():
        tested = scores(normals, anomalies, skill=2 - list(MODELS).index(model) / 8 - noise - shift[1] / 9, rng=rng)
        files |= _outputs(category, tested, MODELS[model], rng)
    return params, files


@cache
def _model(name):
    return yaml.safe_load((CONF / f"model/{name}.yaml").read_text())


def scores(normals, anomalies, skill, rng):
    """A table as evaluate writes it; the same images are hard for every model."""
    labels = np.repeat([0, 1], [normals, anomalies])
    hard = np.random.default_rng(0).normal(size=len(labels))
    names = [f"cell{i:04d}" for i in range(len(labels))]
    return pd.DataFrame(
        {
            "sample": names, "image": [f"data/{name}.png" for name in names], "mask": "", "label": labels,
            "defect": np.where(labels == 1, np.where(np.arange(len(labels)) % 2, "crack", "break"), ""),
            "domain": "d", "score": skill * labels + hard + 0.5 * rng.normal(size=len(labels)),
            "row": np.arange(len(labels)),
        }
    )  # fmt: skip


def _outputs(category, tested, learning_type, rng):
    from viad.metrics.image import image_auroc_by_defect
    from viad.metrics.measurement import measure_level

    values, labels = tested["score"].to_numpy(), tested["label"].to_numpy()
    quality = {
        **measure_level("image", values, labels),
        "false_positive_rate": 0.05,
        "false_negative_rate": 0.2,
        "threshold": 1.5,
    }
    quality["intervals"] = {key: [quality[key] - 0.03, quality[key] + 0.03] for key in ("image_auroc", "pg2", "pb2")}
    quality["image_auroc_by_defect"] = image_auroc_by_defect(values, labels, tested["defect"].to_numpy())
    cost = {"latency_p50_ms": float(rng.uniform(10, 90)), "peak_memory_megabytes": float(rng.uniform(900, 1500))}
    training = {"train_seconds": 30.0, "epochs": 4, "selection": "last", "preset": "small"}
    return {
        f"metrics/elpv/{category}.json": json.dumps(quality),
        f"metrics/elpv/cost/{category}.json": json.dumps(cost),
        f"metrics/elpv/training/{category}.json": json.dumps(training | {"learning_type": learning_type}),
        f"metrics/elpv/scores/{category}.csv": tested.to_csv(index=False, float_format="%.9g"),
    }


def _store(root, files):
    """Put outputs into DVC's cache; what dvc.lock says of them."""
    outs = []
    for path, text in files.items():
        digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        place = root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        outs.append({"path": path, "hash": "md5", "md5": digest, "size": len(text)})
    return outs


def _commit(ref, mark, parent, files):
    text = f"commit {ref}\nmark :{mark}\ncommitter t <t@t> {1_700_000_000 + mark} +0000\ndata 1\nx\nfrom {parent}\n"
    for path, content in files.items():
        text += f"M 100644 inline {path}\ndata {len(content.encode())}\n{content}\n"
    return text


def _git(root, *command):
    return subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=True).stdout
