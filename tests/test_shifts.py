"""shifts.py: every shift keeps shapes, grows with severity, repeats, and moves masks where it moves images."""

import hashlib
import itertools

import cv2
import numpy as np
import pytest

from viad.documentation.shift_table import format_severities
from viad.errors import ConfigError
from viad.protocol.shift_registry import SHIFTS, Shift, shift
from viad.protocol.shifts import find_shift

SIDE = 96
EVERY = pytest.mark.parametrize("name", SHIFTS)
GEOMETRIC = [name for name, kind in SHIFTS.items() if kind.moves_masks]
SAMPLED = [name for name, kind in SHIFTS.items() if kind.sampled]
COLOUR = pytest.mark.parametrize("grey", [False, True], ids=["rgb", "grey"])
LEVELS = (1, 2, 3, 4, 5)


def picture(*, grey, side=SIDE):
    """Texture of several scales, away from black and white."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(side, side) if grey else (side, side, 3)) * 60
    pixels = cv2.GaussianBlur(pixels, (0, 0), 1.0) + 6 * cv2.GaussianBlur(pixels, (0, 0), 8.0) + 128
    return np.clip(pixels, 40, 200).astype(np.uint8)


def square(top=24, left=50, size=28):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + size, left : left + size] = True
    return mask


def sampled(name, severity, seed=0):
    return find_shift(name, severity).sample(np.random.default_rng(seed))


def change(name, severity, pixels):
    moved = [sampled(name, severity, seed).image(pixels).astype(float) for seed in range(4)]
    return np.mean([np.abs(one - pixels).mean() for one in moved])


@COLOUR
@EVERY
def test_shape_and_type_are_kept(name, grey):
    pixels = picture(grey=grey)[:, :80]  # not square
    before = pixels.copy()
    for severity in LEVELS:
        moved = sampled(name, severity).image(pixels)
        assert (moved.shape, moved.dtype) == (pixels.shape, np.uint8)
    np.testing.assert_array_equal(pixels, before)


@COLOUR
@EVERY
def test_change_grows_with_severity(name, grey):
    pixels = picture(grey=grey)
    changes = [change(name, severity, pixels) for severity in LEVELS]
    assert changes[0] < changes[2] < changes[4]
    assert changes == sorted(changes)


@COLOUR
@EVERY
def test_the_same_generator_gives_the_same_shift(name, grey):
    pixels = picture(grey=grey)
    for seed in range(3):
        np.testing.assert_array_equal(sampled(name, 4, seed).image(pixels), sampled(name, 4, seed).image(pixels))


def test_the_rest_does_not_depend_on_the_generator():
    for name in set(SHIFTS) - set(SAMPLED):
        assert len({sampled(name, 4, seed).image(picture(grey=False)).tobytes() for seed in range(8)}) == 1


@pytest.mark.parametrize("name", SAMPLED)
def test_another_generator_gives_another_shift(name):
    pixels = picture(grey=False)
    assert len({sampled(name, 4, seed).image(pixels).tobytes() for seed in range(8)}) > 1


@pytest.mark.parametrize("severity", LEVELS)
@pytest.mark.parametrize("name", GEOMETRIC)
def test_geometry_moves_masks_with_images(name, severity):
    mask = square()
    pixels = np.where(mask, 220, 20).astype(np.uint8)
    for seed in range(6):
        transform = sampled(name, severity, seed)
        moved, bright = transform.mask(mask), transform.image(pixels) > 120
        assert (moved.dtype, moved.shape) == (bool, mask.shape)
        assert (moved & bright).sum() / (moved | bright).sum() > 0.9
        assert (moved != mask).any() or severity == 1


@pytest.mark.parametrize("seed", range(4))
def test_mask_mirrors_at_the_border_as_the_image_does(seed):
    mask = square(top=0, left=0, size=SIDE // 2)
    transform = sampled("translation", 5, seed)
    moved, bright = transform.mask(mask), transform.image(np.where(mask, 220, 20).astype(np.uint8)) > 120
    assert (moved & bright).sum() / (moved | bright).sum() > 0.95


@pytest.mark.parametrize("name", GEOMETRIC)
def test_no_black_border_comes_in(name):
    for seed in range(6):
        transform = sampled(name, 5, seed)
        assert (transform.image(np.full((SIDE, SIDE, 3), 90, np.uint8)) == 90).all()
        assert transform.mask(np.ones((SIDE, SIDE), bool)).all()


@pytest.mark.parametrize("seed", range(4))
def test_translation_goes_as_far_as_it_says(seed):
    mask = square(top=34, left=34)
    ways = np.argwhere(sampled("translation", 5, seed).mask(mask)).mean(axis=0) - np.argwhere(mask).mean(axis=0)
    assert np.hypot(*ways) == pytest.approx(0.1 * SIDE, abs=0.8)


def test_zoom_magnifies_as_much_as_it_says():
    mask = square(top=34, left=34)
    areas = {round(float(sampled("zoom", 5, seed).mask(mask).sum() / mask.sum()), 1) for seed in range(8)}
    assert areas == {round(1.25**2, 1), round(1.25**-2, 1)}


def test_rotation_turns_as_far_as_it_says():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[46:50, 60:88] = True  # a bar to the right of the centre
    turns = set()
    for seed in range(8):
        down, right = np.argwhere(sampled("rotation", 5, seed).mask(mask)).mean(axis=0) - (SIDE - 1) / 2
        turns.add(round(np.degrees(np.arctan2(down, right))))
    assert turns == {-15, 15}


@pytest.mark.parametrize("name", sorted(set(SHIFTS) - set(GEOMETRIC)))
def test_other_shifts_leave_masks(name):
    mask = square()
    assert not find_shift(name, 5).kind.moves_masks
    np.testing.assert_array_equal(sampled(name, 5).mask(mask), square())


@pytest.mark.parametrize("name", sorted(SHIFTS))
def test_grey_in_three_channels_stays_grey(name):
    grey = np.repeat(picture(grey=True)[:, :, None], 3, axis=2)
    moved = sampled(name, 5).image(grey)
    spread = np.ptp(moved.astype(int), axis=2).max()
    assert spread <= (12 if name == "jpeg" else 0)  # JPEG's way through YCbCr rounds


def test_brightness_and_colour_temperature_by_hand():
    flat = np.full((4, 4, 3), 100, np.uint8)
    assert {int(sampled("brightness", 4, s).image(flat)[0, 0, 0]) for s in range(8)} == {150, int(100 / 1.5)}
    orange = np.full((4, 4, 3), (100, 100, 50), np.uint8)
    found = {tuple(map(int, sampled("color_temperature", 4, s).image(orange)[0, 0])) for s in range(8)}
    assert found == {(120, 100, 42), (83, 100, 60)}
    grey = {tuple(map(int, sampled("color_temperature", 4, s).image(flat)[0, 0])) for s in range(8)}
    assert grey == {(101, 101, 101)}  # a grey camera sees no colour, only the mean gain


def test_noise_is_as_strong_as_it_says():
    flat = np.full((200, 200), 128, np.uint8)
    noisy = sampled("noise", 4).image(flat).astype(float)
    assert noisy.std() == pytest.approx(15, rel=0.03)
    assert noisy.mean() == pytest.approx(128, abs=0.3)


@pytest.mark.parametrize("seed", range(4))
def test_illumination_falls_as_far_as_it_says_and_keeps_the_mean(seed):
    flat = np.full((SIDE, SIDE), 100, np.uint8)
    lit = sampled("illumination", 5, seed).image(flat).astype(int)
    assert (lit.min(), lit.max()) == (70, 130)
    assert lit.mean() == pytest.approx(100, abs=0.2)


@pytest.mark.parametrize("name", ["defocus", "motion_blur"])
def test_blur_keeps_the_light_and_spreads_a_point(name):
    point = np.zeros((301, 301), np.uint8)
    point[150, 150] = 255
    spread = sampled(name, 5).image(point).astype(float)
    assert spread.sum() == pytest.approx(255, rel=0.35)  # pixels are whole numbers
    reach = np.abs(np.argwhere(spread > 0) - 150).max()
    length = SHIFTS[name].severities[4] * 301
    assert length / 2 * 0.6 < reach <= length + 1
    flat = np.full((64, 64), 90, np.uint8)
    np.testing.assert_array_equal(sampled(name, 5).image(flat), flat)


# Of every shift's images, masks and next random bytes, as they were when the committed results were made: a change here
# changes the shifted test sets.
DIGESTS = {
    "brightness": "872ebac1ba22f6e2",
    "contrast": "e32f8ed2002ba9f6",
    "gamma": "78563515d6677760",
    "color_temperature": "d9d2969919f25edd",
    "defocus": "afc6322ebb70b23c",
    "motion_blur": "a6babd05015edfa5",
    "noise": "8f42c8b2873497ab",
    "jpeg": "163f45d88ec4abc9",
    "rotation": "c4a6619a94767344",
    "translation": "d7d0a404db9e880e",
    "zoom": "ba527917f508ec63",
    "illumination": "6692dee41dd84b43",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_shifted_test_sets_stay_as_they_are(name):
    digest = hashlib.sha256()
    for severity, grey, seed in itertools.product(LEVELS, (False, True), range(3)):
        rng = np.random.default_rng(seed)
        transform = find_shift(name, severity).sample(rng)
        digest.update(transform.image(picture(grey=grey)).tobytes())
        digest.update(transform.mask(square()).tobytes())
        digest.update(rng.bytes(8))
    assert digest.hexdigest()[:16] == DIGESTS[name]


def test_a_new_shift_is_one_decorated_function():
    @shift("share of fog", severities=(0.1, 0.2, 0.3, 0.4, 0.5), sampled=False)
    def fog(strength):
        return lambda pixels: (pixels * (1 - strength)).astype(np.uint8)

    try:
        assert "| fog | share of fog | no | stay | 0.1 | 0.2 | 0.3 | 0.4 | 0.5 |" in format_severities()
        assert int(sampled("fog", 5).image(np.full((2, 2), 100, np.uint8))[0, 0]) == 50
    finally:
        del SHIFTS["fog"]


def test_none_is_no_shift():
    assert find_shift("none", 0) is None


def test_unknown_kind():
    with pytest.raises(ConfigError, match=r"shift: 'fog' is not known.*none, brightness"):
        find_shift("fog", 3)


@pytest.mark.parametrize("severity", [0, 6, -1, 2.5, "3", None, True])
def test_severity_that_is_none(severity):
    with pytest.raises(ConfigError, match=r"shift\.severity: .* is not a whole number from 1 to 5"):
        find_shift("noise", severity)


def test_severity_as_a_float():
    with pytest.raises(ConfigError, match=r"shift\.severity: 3\.0 is not a whole number from 1 to 5"):
        find_shift("noise", 3.0)


def test_severities_pick_the_strengths_of_the_table():
    for name, kind in SHIFTS.items():
        assert tuple(find_shift(name, severity).strength for severity in LEVELS) == kind.severities


def test_table_lists_every_shift():
    lines = format_severities().splitlines()
    assert len(lines) == 2 + len(SHIFTS)
    assert len({line.count("|") for line in lines}) == 1
    for line, kind in zip(lines[2:], SHIFTS.values(), strict=True):
        about = ["yes" if kind.sampled else "no", "move" if kind.moves_masks else "stay"]
        assert line.strip("| ").split(" | ") == [kind.name, kind.meaning, *about, *map(str, kind.severities)]


def test_a_defect_is_not_moved_out_of_the_frame(tmp_path, monkeypatch):
    from viad.artifacts.images import read_mask, write_image
    from viad.stages.shift import _shift_image

    monkeypatch.chdir(tmp_path)
    mask = np.zeros((64, 64), bool)
    mask[0:2, 30:34] = True  # a little way up and it is gone
    write_image(np.zeros((64, 64), np.uint8), tmp_path / "image.png")
    write_image(mask, tmp_path / "mask.png")
    for i in range(20):
        sample = {"sample": str(i), "image": "image.png", "mask": "mask.png"}
        _shift_image(sample, shift=Shift(SHIFTS["translation"], 0.1), seed=0, aside=tmp_path / "out")
        assert read_mask(tmp_path / f"out/masks/{i}.png").any()
