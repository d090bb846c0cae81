"""Patches and the nearest patch of a bank, against loops."""

from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812

import viad.backbones.embedded  # noqa: F401  # registers viad_random
from viad.backbones.frozen import FrozenBackbone
from viad.errors import ConfigError
from viad.models.components import patch_bank
from viad.models.components.patch_embedding import PatchFeatures, embed

ROOT = Path(__file__).parents[1]


def _average_by_loop(values, count):
    """Adaptive average pooling of a list: entry i covers floor(i n / count) to ceil((i + 1) n / count)."""
    n = len(values)
    ends = [(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]
    return [sum(values[a:b]) / (b - a) for a, b in ends]


def _windows_by_loop(feature):
    """(D, h, w) to (9 D, h, w): channel, row, column, with zeros beyond the border."""
    depth, height, width = feature.shape
    windows = torch.zeros(depth * 9, height, width)
    for y in range(height):
        for x in range(width):
            for c in range(depth):
                for dy in range(3):
                    for dx in range(3):
                        row, column = y + dy - 1, x + dx - 1
                        if 0 <= row < height and 0 <= column < width:
                            windows[c * 9 + dy * 3 + dx, y, x] = feature[c, row, column]
    return windows


@pytest.mark.parametrize(("per_layer", "dimensions"), [(7, 5), (12, 12), (40, 9)])
def test_embedding_by_loops_in_the_papers_order(per_layer, dimensions):
    torch.manual_seed(0)
    features = [torch.randn(2, 2, 4, 6), torch.randn(2, 3, 2, 3)]
    result = embed(features, per_layer, dimensions)
    assert result.shape == (2, dimensions, 4, 6)
    for image in range(2):
        # here the windows are resized before their values are averaged
        grids = [_windows_by_loop(feature[image]) for feature in features]
        grids[1] = F.interpolate(grids[1][None], size=(4, 6), mode="bilinear", align_corners=False)[0]
        for y in range(4):
            for x in range(6):
                stacked = [v for grid in grids for v in _average_by_loop(grid[:, y, x].tolist(), per_layer)]
                expected = torch.tensor(_average_by_loop(stacked, dimensions))
                torch.testing.assert_close(result[image, :, y, x], expected, rtol=1e-4, atol=1e-5)


def test_blocks_of_a_layer_are_taken_one_by_one_also_when_frozen():
    layers, blocks = ["blocks.1", "blocks.2"], [[0, 1], [1]]
    extractor = PatchFeatures("viad_random", layers, per_layer=6, dimensions=8, blocks=blocks, pre_trained=False)
    images = torch.rand(2, 3, 64, 64)
    network, outputs = extractor.feature_extractor, []
    for layer, chosen in zip(layers, blocks, strict=True):
        parent = network.get_submodule(layer)
        for i in chosen:
            parent[i].register_forward_hook(lambda *args: outputs.append(args[2]))
    with torch.no_grad():
        network(images)
    expected = embed(list(outputs), 6, 8)
    torch.testing.assert_close(extractor(images)["patches"], expected)
    last = PatchFeatures("viad_random", layers, per_layer=6, dimensions=8, pre_trained=False)
    assert not torch.allclose(last(images)["patches"], expected)
    frozen = FrozenBackbone(extractor)
    torch.testing.assert_close(frozen(images)["patches"], expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(frozen(images)["patches"], expected, rtol=1e-3, atol=1e-4)  # nothing is left over


def test_blocks_that_a_backbone_lacks_are_an_error_and_inreachs_are_wide_resnets():
    paper = yaml.safe_load((ROOT / "conf/model/inreach.yaml").read_text())["paper"]["args"]
    wanted = {"per_layer": 4, "dimensions": 4, "blocks": paper["blocks"], "pre_trained": False}
    with torch.device("meta"):
        PatchFeatures("wide_resnet50_2.tv_in1k", [f"layer{i}" for i in (1, 2, 3, 4)], **wanted)
    with pytest.raises(ConfigError, match="set blocks to null"):
        PatchFeatures("viad_random", ["blocks.1", "blocks.2", "blocks.4", "blocks.6"], **wanted)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), patches=st.integers(1, 30), bank=st.integers(1, 40), block=st.integers(1, 100))
def test_nearest_by_brute_force_whatever_the_blocks(seed, patches, bank, block):
    g = torch.Generator().manual_seed(seed)
    queries, stored = torch.randn(patches, 5, generator=g) + 3, torch.randn(bank, 5, generator=g) + 3
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patch_bank, "SEARCH_BLOCK", block)
        squared, found = patch_bank.nearest(queries, stored)
    for i, query in enumerate(queries.double()):
        all_squared = ((stored.double() - query) ** 2).sum(dim=1)
        assert float(squared[i]) == pytest.approx(float(all_squared.min()), rel=1e-4, abs=1e-9)
        assert float(all_squared[found[i]]) == pytest.approx(float(all_squared.min()), rel=1e-4, abs=1e-9)


def test_the_distance_to_a_patch_of_the_bank_is_zero_even_far_from_the_origin():
    bank = torch.randn(50, 8) + 1000
    squared, found = patch_bank.nearest(bank[[7]], bank)
    assert float(squared) == 0
    assert int(found) == 7
