"""InReaCh's parts against brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

import viad.backbones.embedded  # noqa: F401  # registers viad_random
from viad.errors import DataError
from viad.models import inreach
from viad.models.inreach import Channels, InReaCh, associate, best_angles, transpose_difference, turn

PARTS = {"pre_processor": False, "post_processor": False, "evaluator": False, "visualizer": False}


class Cells(nn.Module):
    """Stands for a backbone: patches are means of the image over a grid of 16 x 16."""

    def forward(self, images):
        return {"patches": F.avg_pool2d(images, images.shape[-1] // 16)}


def _module(**changes):
    args = {
        "dimensions": 3, "blocks": None, "seeds": 4, "min_span": 3, "max_spread": 5.0, "max_patches": None,
        "position_threshold": 1000, "position_weight": 5.0, "align": False, "pre_trained": False,
    }  # fmt: skip
    module = InReaCh("viad_random", ["blocks.2"], **(args | changes), **PARTS)
    module.model.feature_extractor = Cells()
    return module


def _distance(a, b):
    return float(np.sqrt(((a - b) ** 2).sum()))


def _channels_by_pairs_of_images(images, seeds):
    """The paper's procedure: {(seed image, patch): its members (image, patch), the seed patch first}."""
    channels = {(s, u): [(s, u)] for s in range(min(seeds, len(images))) for u in range(len(images[s]))}
    for c in range(1, len(images)):
        for v, patch in enumerate(images[c]):
            best = None
            for s in range(min(c, seeds)):
                distances = [_distance(patch, other) for other in images[s]]
                u = int(np.argmin(distances))
                if best is None or distances[u] < best[0]:
                    best = distances[u], s, u
            _, s, u = best
            if int(np.argmin([_distance(images[s][u], other) for other in images[c]])) == v:
                channels[s, u].append((c, v))
    return channels


def _nominal_by_loops(images, channels, min_span, max_spread):
    kept = set()
    for members in channels.values():
        if len(members) <= min_span:
            continue
        points = np.array([images[c][v] for c, v in members])
        centroid = points.mean(axis=0)
        distances = [_distance(p, centroid) for p in points]
        spread = np.sqrt(np.mean(np.square(distances)))
        close = [m for m, d in zip(members, distances, strict=True) if d <= max_spread * spread]
        if len(close) > min_span:
            kept |= set(close)
    return kept


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000), count=st.integers(2, 8), patches=st.integers(1, 7), seeds=st.integers(1, 9),
    min_span=st.integers(1, 4), max_spread=st.sampled_from([0.9, 1.2, 5.0]), block=st.integers(1, 60),
)  # fmt: skip
def test_channels_are_those_of_the_papers_procedure(seed, count, patches, seeds, min_span, max_spread, block):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(patches, 2))  # what recurs, seen with noise
    images = [centres[rng.permutation(patches)] + rng.normal(0, 0.3, (patches, 2)) for _ in range(count)]
    expected = _nominal_by_loops(images, _channels_by_pairs_of_images(images, seeds), min_span, max_spread)
    channels = Channels(seeds)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inreach, "SEARCH_BLOCK", block)
        for image in images:
            channels.add(torch.from_numpy(image))
    result = channels.nominal(min_span, max_spread)
    found = [tuple(row) for row in result.tolist()]
    assert len(set(found)) == len(found)  # each patch once
    assert set(found) == {tuple(images[c][v].tolist()) for c, v in expected}


def test_association_is_mutual_and_not_index_to_index():
    heads = torch.tensor([[0.0], [10.0], [20.0]])
    patches = torch.tensor([[19.0], [0.5], [1.0]])  # 1.0 wants head 0 too, which prefers 0.5
    members, channels = associate(patches, heads)
    assert list(zip(members.tolist(), channels.tolist(), strict=True)) == [(0, 2), (1, 0)]


def test_members_equally_far_from_their_centroid_all_stay():
    channels = Channels(1)
    for point in ([1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]):
        channels.add(torch.tensor([point]))
    assert len(channels.nominal(3, 5.0)) == 4
    assert len(channels.nominal(4, 5.0)) == 0  # a span has to be above the minimum


def test_what_does_not_recur_is_left_out():
    torch.manual_seed(0)
    scene = torch.randn(30, 8)
    channels = Channels(4)
    for i in range(20):
        image = scene + 0.01 * torch.randn(30, 8)
        if i % 4 == 1:  # a quarter is anomalous, a seed image among them
            image[i] = 5 * torch.randn(8)
        channels.add(image)
    bank = channels.nominal(3, 5.0)
    distance = torch.cdist(bank, scene).amin(dim=1)
    assert float(distance.max()) < 0.1
    assert len(bank) > 0.85 * (20 * 30 - 5)  # short channels go too


def test_the_bank_is_limited_and_an_empty_one_is_an_error():
    torch.manual_seed(0)
    scene = torch.rand(1, 3, 32, 32)
    module = _module(max_patches=50)
    module.model.gather((scene + 0.01 * torch.randn(8, 3, 32, 32)).clamp(0, 1))
    module.fit()
    assert module.model.bank.shape == (50, 3)
    assert module.model.channels.images == 0
    few = _module()
    few.model.gather(torch.rand(2, 3, 32, 32))
    with pytest.raises(DataError, match="min_span"):
        few.fit()


def test_transpose_difference_in_grey_levels():
    image = torch.zeros(3, 2, 2)
    image[:, 0, 1] = 100 / 255
    assert transpose_difference(image) == pytest.approx(100**2 / 2, rel=1e-4)
    assert transpose_difference(image + image.mT) == 0


def test_position_channels_grow_with_row_and_column():
    model = _module().model
    assert model.patches(torch.rand(2, 3, 32, 32)).shape == (2, 3, 16, 16)
    model.positions.fill_(True)
    patches = model.patches(torch.rand(2, 3, 32, 32))
    assert patches.shape == (2, 5, 16, 16)
    for row, column in [(0, 0), (3, 7), (15, 1)]:
        expected = torch.tensor([5 * row / 16, 5 * column / 16])
        torch.testing.assert_close(patches[1, 3:, row, column], expected)


def test_turning_by_quarters_is_exact_and_the_best_angle_undoes_it():
    torch.manual_seed(0)
    smooth = F.interpolate(torch.rand(1, 3, 6, 6), (64, 64), mode="bicubic", align_corners=False)
    quarter = turn(smooth, torch.tensor([90.0]))
    candidates = [torch.rot90(smooth, k, dims=(2, 3)) for k in (1, 3)]
    assert min(float((quarter - c).abs().max()) for c in candidates) < 1e-4
    turned = turn(smooth.expand(2, -1, -1, -1), torch.tensor([90.0, 0.0]))
    assert best_angles(turned, smooth).tolist() == [270.0, 0.0]
    tilted = best_angles(turn(smooth, torch.tensor([33.0])), smooth)
    assert abs(float(tilted) - 327) <= 1


class _Trainer:
    def __init__(self, images):
        self.train_dataloader = [type("Batch", (), {"image": part})() for part in images.split(4)]


def _trained(images, monkeypatch, **changes):
    module = _module(**changes)
    module.pre_processor = nn.Identity()
    monkeypatch.setattr(InReaCh, "trainer", _Trainer(images))
    module.on_train_start()
    module.model.gather(images)
    module.fit()
    return module.eval()


def _object():
    """A bright bar that lies across, on a dim texture: not its own transpose."""
    torch.manual_seed(1)
    image = 0.1 * torch.rand(1, 3, 64, 64)
    image[..., 24:40, 8:56] += 0.8
    image[..., 24:32, 8:16] = 0.3  # tells its ends apart
    return image


def test_position_counts_where_images_share_an_orientation(monkeypatch):
    images = (_object() + 0.01 * torch.randn(8, 3, 64, 64)).clamp(0, 1)
    module = _trained(images, monkeypatch)
    assert bool(module.model.positions)
    texture = 0.5 + 0.1 * torch.rand(8, 3, 64, 64)
    assert not bool(_trained(texture, monkeypatch).model.positions)


def test_alignment_turns_images_to_one_of_them_and_maps_back(monkeypatch):
    quarters = [torch.rot90(_object(), k, dims=(2, 3)) for k in range(4)]
    images = torch.cat([quarters[i % 4] for i in range(8)])
    without = _trained(images, monkeypatch)
    assert not bool(without.model.positions)  # all orientations together have none
    assert without.model.reference.numel() == 0
    module = _trained(images, monkeypatch, align=True)
    assert bool(module.model.positions)
    defect = _object()
    defect[..., 28:36, 44:52] = 0
    for k in range(4):
        result = module.model(torch.rot90(defect, k, dims=(2, 3)))
        where = torch.rot90(torch.zeros(16, 16).index_put((torch.tensor(8), torch.tensor(12)), torch.tensor(1.0)), k)
        peak = result.anomaly_map[0, 0]
        assert float(peak[where.bool()]) > 0.5 * float(peak.max()) > 0.01


def test_scores_by_loop_and_by_image():
    torch.manual_seed(0)
    model = _module().model.eval()
    model.bank = torch.rand(9, 3)
    images = torch.rand(3, 3, 32, 32)
    result = model(images)
    assert torch.equal(model(images[2:]).anomaly_map, result.anomaly_map[2:])
    assert torch.equal(model(images[2:]).pred_score, result.pred_score[2:])
    patches = F.avg_pool2d(images, 2)
    for b, row, column in [(0, 3, 4), (1, 0, 15), (2, 15, 15)]:
        squared = [float(((patches[b, :, row, column] - one) ** 2).sum()) for one in model.bank]
        assert float(result.anomaly_map[b, 0, row, column]) == pytest.approx(min(squared), rel=1e-4)
    # smoothing by 13 pixels leaves less than the largest patch, and more than the mean
    assert (result.pred_score < result.anomaly_map.amax(dim=(1, 2, 3))).all()
    assert (result.pred_score > result.anomaly_map.mean(dim=(1, 2, 3))).all()
