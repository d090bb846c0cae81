"""coreset.py picks exactly what the plain greedy loop picks, in the same order."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import viad.models.components.coreset
from viad.errors import ConfigError
from viad.models.components.coreset import coreset_size, greedy_coreset

CANDIDATES = pytest.mark.parametrize("candidates", [1, 3, 8, 4096])


def plain_greedy(patches, count, start):
    """Algorithm 1: again and again the patch farthest from all picks; the first of equals; none twice."""
    picks, distances = [start], torch.full((len(patches),), torch.inf)
    while len(picks) < count:
        distances = torch.minimum(distances, torch.linalg.vector_norm(patches - patches[picks[-1]], dim=1))
        distances[picks] = -1.0
        picks.append(int(torch.nonzero(distances == distances.max())[0]))
    return picks


def random(count=120, width=16, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


DATA = {
    "random": random,
    "clustered": lambda: random(10, 16).repeat_interleave(12, 0) + 1e-3 * random(120, 16, seed=1),
    "grid": lambda: torch.cartesian_prod(*[torch.arange(5.0)] * 3),
    "grid with rounding": lambda: torch.cartesian_prod(*[torch.arange(6.0)] * 3) * 0.1 + 0.7,  # near ties
    "duplicates": lambda: random(10, 16).repeat(12, 1),
    "all equal": lambda: torch.ones(40, 8),
    "far from 0": lambda: random() * 1e-2 + 100,
    "large and small": lambda: random() * torch.logspace(-6, 6, 120)[:, None],
    "one dimension": lambda: random(width=1),
    "positive, wide": lambda: random(150, 96).relu(),
}


@pytest.fixture(autouse=True)
def _restore(monkeypatch):
    monkeypatch.setattr(viad.models.components.coreset, "CANDIDATES", viad.models.components.coreset.CANDIDATES)
    monkeypatch.setattr(viad.models.components.coreset, "BLOCK", viad.models.components.coreset.BLOCK)


@CANDIDATES
@pytest.mark.parametrize("name", DATA)
def test_equals_the_plain_loop(name, candidates):
    viad.models.components.coreset.CANDIDATES = candidates
    patches = DATA[name]()
    for count in (1, 2, 17, len(patches)):
        start = (7 * count) % len(patches)
        found = greedy_coreset(patches, count, start)
        assert found.dtype == torch.int64
        assert found.tolist() == plain_greedy(patches, count, start)


@pytest.mark.parametrize("block", [1, 50, 1000])
def test_equals_the_plain_loop_in_small_blocks(block):
    viad.models.components.coreset.BLOCK, viad.models.components.coreset.CANDIDATES = block, 8
    patches = random()
    assert greedy_coreset(patches, 40, 3).tolist() == plain_greedy(patches, 40, 3)


@st.composite
def grids(draw):
    """Patches on a small integer grid: many ties, many duplicates."""
    width, high = draw(st.integers(1, 4)), draw(st.integers(0, 3))
    rows = draw(st.lists(st.lists(st.integers(0, high), min_size=width, max_size=width), min_size=1, max_size=40))
    return torch.tensor(rows, dtype=torch.float32)


@settings(max_examples=100)
@given(patches=grids(), candidates=st.sampled_from([1, 3, 8]), data=st.data())
def test_equals_the_plain_loop_with_ties(patches, candidates, data):
    viad.models.components.coreset.CANDIDATES = candidates
    count, start = data.draw(st.integers(1, len(patches))), data.draw(st.integers(0, len(patches) - 1))
    assert greedy_coreset(patches, count, start).tolist() == plain_greedy(patches, count, start)


@settings(max_examples=100)
@given(
    seed=st.integers(0, 10**6), width=st.sampled_from([1, 2, 3, 17]), candidates=st.sampled_from([1, 3, 8]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]), offset=st.sampled_from([0.0, 1.0, 30.0]),
)  # fmt: skip
def test_equals_the_plain_loop_on_floats(seed, width, candidates, scale, offset):
    viad.models.components.coreset.CANDIDATES = candidates
    patches = (random(60, width, seed) + offset) * scale
    assert greedy_coreset(patches, 30, seed % 60).tolist() == plain_greedy(patches, 30, seed % 60)


def test_a_round_may_pick_all_its_candidates():
    viad.models.components.coreset.CANDIDATES = 3
    corners = torch.eye(4) * 5
    patches = torch.cat([corners, corners[:1] + 1e-2 * random(10, 4)])  # those outside are nearer than 1
    found = greedy_coreset(patches, 9, 0).tolist()
    assert len(set(found)) == 9
    assert found == plain_greedy(patches, 9, 0)


def test_no_patch_is_picked_twice_even_among_equals():
    assert sorted(greedy_coreset(torch.zeros(9, 2), 9, 4).tolist()) == list(range(9))


def test_hand_worked():
    patches = torch.tensor([[0.0], [1.0], [4.0], [10.0]])
    assert greedy_coreset(patches, 4, 0).tolist() == [0, 3, 2, 1]
    assert greedy_coreset(patches, 3, 2).tolist() == [2, 3, 0]


def test_progress_is_drawn_only_on_request(capfd):
    greedy_coreset(random(20), 5, 0)
    assert capfd.readouterr().err == ""
    greedy_coreset(random(20), 5, 0, show_progress=True)
    assert "coreset" in capfd.readouterr().err


@pytest.mark.parametrize("count", [0, -1, 121])
def test_count_out_of_reach(count):
    with pytest.raises(ValueError, match=f"a coreset of {count} out of 120 patches"):
        greedy_coreset(random(), count, 0)


@pytest.mark.parametrize(
    ("patches", "ratio", "limit", "size"),
    [
        (1000, 0.1, None, 100),
        (1009, 0.1, None, 100),
        (1000, 1, None, 1000),
        (5, 0.01, None, 1),
        (1000, 0.1, 50, 50),
        (1000, 0.1, 100, 100),
        (1000, 0.1, 500, 100),
        (1, 1.0, 1, 1),
    ],
)
def test_coreset_size(patches, ratio, limit, size):
    assert coreset_size(patches, ratio, limit) == size


@pytest.mark.parametrize("ratio", [0, -0.1, 1.01, float("nan")])
def test_ratio_out_of_range(ratio):
    with pytest.raises(ConfigError, match=r"coreset_sampling_ratio: .* is not a share above 0 and up to 1"):
        coreset_size(100, ratio, None)
