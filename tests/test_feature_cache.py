"""Features from the cache are those that the backbone computes, and nothing else is kept."""

import pytest
import torch

from viad.backbones.feature_cache import FeatureCache

STORED = {f"{i}.png": {"a": torch.full((4, 2, 2), float(i)), "b": torch.full((3, 1, 1), -float(i))} for i in range(5)}


def _features(cache, names, calls, announce=True):
    def compute():
        calls.append(names)
        return {layer: torch.stack([STORED[name][layer] for name in names]) for layer in "ab"}

    cache.announce(names if announce else None)
    return cache.features(torch.zeros(len(names), 3, 8, 8), compute)


def test_cached_features_equal_computed_ones(tmp_path):
    cache, calls = FeatureCache(tmp_path, list(STORED)), []
    for names in (["3.png", "1.png"], ["0.png", "2.png", "4.png"], ["4.png", "1.png", "0.png"]):
        features = _features(cache, names, calls)
        for layer in "ab":
            assert torch.equal(features[layer], torch.stack([STORED[name][layer] for name in names]))
    assert len(calls) == 2  # the third batch was all known


def test_what_is_not_announced_is_computed_each_time(tmp_path):
    cache, calls = FeatureCache(tmp_path, list(STORED)), []
    for _ in range(2):
        _features(cache, ["0.png"], calls, announce=False)
    assert len(calls) == 2
    cache.announce(["0.png"])
    other = {"a": torch.ones(2, 1, 1, 1)}  # a batch of another size is not the announced one
    assert cache.features(torch.zeros(2, 3, 8, 8), lambda: other) is other


def test_an_unknown_path_is_refused(tmp_path):
    with pytest.raises(KeyError):
        FeatureCache(tmp_path, list(STORED)).announce(["5.png"])
