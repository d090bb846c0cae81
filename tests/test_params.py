"""params.py, seeds.py and atomic.py: values in, draws apart, whole outputs or none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from viad.artifacts.atomic import replacing
from viad.config.params import one_of, read_params
from viad.errors import ConfigError
from viad.seeds import derived_seed, generator

SPLIT_SEED = 2526722610  # the first 4 bytes of sha256('3341\x1fsplit\x1fmono'), least significant first


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("seed: 3\nmodel: {name: padim, args: {layers: [1, 2]}}\nshift: null\n")
    return tmp_path


@pytest.mark.usefixtures("root")
def test_reads_just_the_keys_asked_for():
    assert read_params("seed", "model.args", "shift") == {"seed": 3, "model.args": {"layers": [1, 2]}, "shift": None}


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("key", ["sed", "model.nme", "model.name.first", "shift.name", "seed.x"])
def test_unknown_key(key):
    with pytest.raises(ConfigError, match=rf"params\.yaml: no key '{key}'\. Run `make compose`"):
        read_params("seed", key)


def test_missing_file(root):
    (root / "params.yaml").unlink()
    with pytest.raises(ConfigError, match=r"params\.yaml is missing from .*repository's root"):
        read_params("seed")


@pytest.mark.parametrize("content", ["", "- 1\n- 2\n", "just text\n"])
def test_file_that_is_no_table(root, content):
    (root / "params.yaml").write_text(content)
    with pytest.raises(ConfigError, match="no key 'seed'"):
        read_params("seed")


def test_one_of():
    assert one_of("aspect", "pad", ("squash", "pad")) == "pad"
    with pytest.raises(ConfigError, match=r"aspect: 'crop' is not known\. Choose one of squash, pad\."):
        one_of("aspect", "crop", ("squash", "pad"))


def test_seeds_are_the_same_everywhere_and_always():
    # A change here changes every split and draw ever made.
    assert derived_seed(3341, "split", "mono") == SPLIT_SEED
    assert generator(3341, "split", "mono").integers(1000) == np.random.default_rng(SPLIT_SEED).integers(1000)


@given(seed=st.integers(0, 2**40), names=st.lists(st.text(max_size=4), max_size=3))
def test_seeds_fit_32_bits_and_depend_on_each_part(seed, names):
    found = derived_seed(seed, *names)
    assert 0 <= found < 2**32
    assert found == derived_seed(seed, *names)
    assert found != derived_seed(seed + 1, *names)
    assert found != derived_seed(seed, *names, "more")


def test_names_do_not_run_together_and_their_order_counts():
    assert len({derived_seed(1, *names) for names in (("ab",), ("a", "b"), ("b", "a"), ("", "ab"), ("ab", ""))}) == 5
    assert derived_seed(1, "1") != derived_seed(11)


def test_one_draw_does_not_disturb_another():
    first = generator(1, "a").random(5)
    generator(1, "b").random(100)
    np.testing.assert_array_equal(generator(1, "a").random(5), first)
    assert not np.array_equal(generator(1, "b").random(5), first)


def fill(path, kind, text):
    if kind == "file":
        path.write_text(text)
    else:
        (path / "deep").mkdir(parents=True)
        (path / "deep" / "content").write_text(text)


def content(path):
    return path.read_text() if path.is_file() else (path / "deep" / "content").read_text()


def fail_half_way(target, kind, error):
    with replacing(target) as aside:
        fill(aside, kind, "half")
        raise error


KINDS = ["file", "folder"]


@pytest.mark.parametrize("kind", KINDS)
def test_new_output_with_its_parents(tmp_path, kind):
    target = tmp_path / "data" / "new" / "out"
    with replacing(target) as aside:
        assert aside.parent == target.parent  # the same disk, so that the rename is one step
        assert not aside.exists()
        fill(aside, kind, "new")
        assert not target.exists()
    assert content(target) == "new"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("old", KINDS)
@pytest.mark.parametrize("new", KINDS)
def test_old_output_is_replaced_only_at_the_end(tmp_path, old, new):
    target = tmp_path / "out"
    fill(target, old, "old")
    with replacing(target) as aside:
        fill(aside, new, "new")
        assert content(target) == "old"
    assert content(target) == "new"
    assert (target.is_file(), target.is_dir()) == (new == "file", new == "folder")
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_of_a_failure(tmp_path, kind, error):
    with pytest.raises(error):
        fail_half_way(tmp_path / "out", kind, error)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_failure_leaves_the_old_output(tmp_path, kind):
    target = tmp_path / "out"
    fill(target, kind, "old")
    with pytest.raises(RuntimeError):
        fail_half_way(target, kind, RuntimeError)
    assert content(target) == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_writing_nothing_leaves_the_old_output(tmp_path):
    target = tmp_path / "out"
    fill(target, "file", "old")
    with pytest.raises(FileNotFoundError), replacing(target):
        pass
    assert content(target) == "old"


@pytest.mark.parametrize("stale", KINDS)
@pytest.mark.parametrize("new", KINDS)
def test_what_a_killed_run_left_is_removed(tmp_path, stale, new):
    with replacing(tmp_path / "out") as aside:
        pass_over = aside
        fill(aside, new, "first")
    fill(pass_over, stale, "stale")
    with replacing(tmp_path / "out") as aside:
        assert aside == pass_over
        assert not aside.exists()
        fill(aside, new, "second")
    assert content(tmp_path / "out") == "second"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_link_is_replaced_and_what_it_points_to_is_not_touched(tmp_path):
    cached, target = tmp_path / "cached", tmp_path / "out"
    fill(cached, "folder", "cached")
    target.symlink_to(cached, target_is_directory=True)
    with replacing(target) as aside:
        fill(aside, "folder", "new")
    assert content(target) == "new"
    assert not target.is_symlink()
    assert content(cached) == "cached"
