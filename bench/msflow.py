"""MSFlow's training with cached features against training that runs the backbone in every epoch: same images, one run.

    make bench                                  # EfficientNet-Lite2, 320 training images, some minutes
    python bench/msflow.py --backbone efficientnet_lite0

Needs the default run's data (`dvc repro`). Times are those of this machine now: read the ratio. Losses are
compared too: the cache must not change what is learnt.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import torch
import yaml
from lightning import seed_everything

from viad.artifacts.samples import read_samples
from viad.backbones.feature_cache import FeatureCache
from viad.errors import DataError
from viad.models.msflow import MSFlow, negative_log_likelihood
from viad.training import build
from viad.training.loading import EpochOrder, load_batches

CONF = Path(__file__).parents[1] / "conf"


def main() -> None:
    """Time epochs both ways and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/resized/elpv/mono"), help="a resized category")
    parser.add_argument("--backbone", default="efficientnet_lite2", help="one of conf/backbone")
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--epochs", type=int, default=2, help="timed, after the one that fills the cache")
    arguments = parser.parse_args()
    try:
        samples = read_samples(arguments.data)
    except DataError as error:
        sys.exit(f"error: {error}")
    train = samples[samples["split"] == "train"].head(arguments.images)
    model = yaml.safe_load((CONF / "model/msflow.yaml").read_text())
    backbone = yaml.safe_load((CONF / f"backbone/{arguments.backbone}.yaml").read_text())
    spec = build.make_model_spec(model, backbone, image_size=256, color="rgb", preset="small")
    build.choose_device("cpu")
    print(f"{len(train)} images, {arguments.backbone}, {torch.get_num_threads()} threads", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        cache = FeatureCache(Path(folder), train["image"].tolist())
        seconds, losses = {}, {}
        for name, used in (("computed", None), ("cached", cache)):
            seconds[name], losses[name] = _epochs(spec, train, used, arguments.epochs)
    print("\n| epoch, seconds | computed | cached | ratio |")
    print("| --- | ---: | ---: | ---: |")
    for i, (a, b) in enumerate(zip(seconds["computed"], seconds["cached"], strict=True)):
        print(f"| {'first' if i == 0 else i + 1} | {a:.1f} | {b:.1f} | {a / b:.1f} |")
    apart = max(abs(a - b) / abs(a) for a, b in zip(losses["computed"], losses["cached"], strict=True))
    print(f"\nlosses differ by {apart:.1e} at most, relative")


def _epochs(spec: Any, train: Any, cache: FeatureCache | None, count: int) -> tuple[list[float], list[float]]:
    """Seconds and mean loss of each epoch; the first fills the cache."""
    seed_everything(0, verbose=False)
    model: MSFlow = build.build_model(spec, "float32")  # type: ignore[assignment]
    model.model.feature_extractor.cache = cache
    optimizer = torch.optim.Adam([p for p in model.model.parameters() if p.requires_grad], lr=1e-4)
    order = EpochOrder(train["train_label"].tolist(), 0, spec.batch_size)
    seconds, losses = [], []
    for epoch in range(count + 1):
        order.set_epoch(epoch)
        start, total = time.perf_counter(), 0.0
        for batch in load_batches(train, spec.batch_size, order=order):
            if cache is not None:
                cache.announce(batch.image_path)
            loss = negative_log_likelihood(*model.model.flow(model.model.pooled(model.pre_processor(batch.image))))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.model.parameters(), 2.0)
            optimizer.step()
            total += loss.item() * len(batch.image)
        seconds.append(time.perf_counter() - start)
        losses.append(total / len(train))
    return seconds, losses


if __name__ == "__main__":
    main()
