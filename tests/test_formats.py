"""Every format and mode that people store images in: read, and resized, as other decoders (cv2, tifffile) read them."""

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from viad.artifacts.images import read_image, read_mask, resize_image

RNG = np.random.default_rng(0)
SMOOTH = np.add.outer(np.arange(60) * 2, np.arange(90)).astype(np.uint8)
COLOUR = np.dstack([SMOOTH, SMOOTH[::-1], 255 - SMOOTH])
ORIENTATION = 0x0112


def theirs(path):
    """What OpenCV decodes, upright, 8 bits, RGB or grey."""
    pixels = cv2.imread(str(path), cv2.IMREAD_ANYCOLOR)
    return pixels if pixels.ndim == 2 else pixels[:, :, ::-1]


def as_rgb(pixels):
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def agree(path, tolerance=0):
    found, expected = as_rgb(read_image(path)).astype(int), as_rgb(theirs(path)).astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance
    for color, channels in (("rgb", 3), ("gray3", 3), ("gray1", 1)):
        small = resize_image(read_image(path), 32, color, "squash")
        assert small.reshape(32, 32, -1).shape[2] == channels
        mean = expected.mean() if color == "rgb" else (expected @ [0.299, 0.587, 0.114]).mean()
        assert abs(small.mean() - mean) < 2


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp"])
@pytest.mark.parametrize("pixels", [SMOOTH, COLOUR], ids=["grey", "colour"])
def test_every_format_in_grey_and_colour(tmp_path, suffix, pixels):
    path = tmp_path / f"a b ü.{suffix}"
    lossless = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(pixels).save(path, **lossless)
    agree(path, tolerance=2 if suffix.startswith("jp") else 0)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_tiffs_as_cameras_write_them(tmp_path, compression):
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="rgb", compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), COLOUR)


def test_16_bit_grey_is_scaled_not_clipped(tmp_path):
    stored = RNG.integers(0, 65536, (40, 50)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored)
    cv2.imwrite(str(tmp_path / "a.png"), stored)
    for name in ("a.tif", "a.png"):
        np.testing.assert_array_equal(read_image(tmp_path / name), np.rint(stored / 257).astype(np.uint8))


def test_16_bit_colour_keeps_its_high_bytes(tmp_path):
    stored = RNG.integers(0, 65536, (40, 50, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb")
    cv2.imwrite(str(tmp_path / "a.png"), stored[:, :, ::-1])
    for name in ("a.tif", "a.png"):
        assert np.abs(read_image(tmp_path / name).astype(int) - stored / 257).max() <= 1


def test_palettes_are_looked_up(tmp_path):
    image = Image.fromarray(COLOUR).quantize(64)
    for name in ("a.png", "a.bmp"):
        image.save(tmp_path / name)
        agree(tmp_path / name)


def test_alpha_is_dropped(tmp_path):
    rgba = np.dstack([COLOUR, SMOOTH])
    for name in ("a.png", "a.tif", "a.webp"):
        Image.fromarray(rgba).save(tmp_path / name, **({"lossless": True, "exact": True} if "webp" in name else {}))
        np.testing.assert_array_equal(read_image(tmp_path / name), COLOUR)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_exif_rotation_is_undone(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(COLOUR).save(path, exif=exif)
    upright = {1: COLOUR, 2: COLOUR[:, ::-1], 3: COLOUR[::-1, ::-1], 4: COLOUR[::-1]}
    upright |= {i: np.swapaxes(upright[j], 0, 1) for i, j in ((5, 1), (6, 4), (7, 3), (8, 2))}
    found = read_image(path).astype(int)
    assert found.shape == upright[orientation].shape
    assert np.abs(found - upright[orientation]).mean() < (3 if suffix == "jpg" else 0.001)
    if suffix == "jpg":
        agree(path, tolerance=3)


@pytest.mark.parametrize("shape", [(1, 700), (700, 1), (3, 3), (9000, 11)])
def test_odd_shapes_are_resized(tmp_path, shape):
    Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / "a.png")
    for aspect in ("squash", "pad"):
        small = resize_image(read_image(tmp_path / "a.png"), 64, "rgb", aspect)
        assert small.shape == (64, 64, 3)


def test_images_of_line_scan_cameras_are_read(tmp_path):
    Image.new("L", (20_000, 10_000), 7).save(tmp_path / "huge.png", compress_level=1)  # Pillow refuses 180 Mpixel
    assert resize_image(read_image(tmp_path / "huge.png"), 64, "gray1", "pad").mean() == pytest.approx(7)


def test_masks_keep_what_a_conversion_would_lose(tmp_path):
    levels = np.zeros((20, 20), np.uint8)
    levels[5:10] = 3
    black = Image.fromarray(levels, "P")
    black.putpalette([0, 0, 0] * 256)  # every index looks black
    black.save(tmp_path / "palette.png")
    tifffile.imwrite(tmp_path / "deep.tif", levels.astype(np.uint16))  # 3 of 65535 would round to 0
    Image.fromarray(np.dstack([levels] * 3 + [np.full_like(levels, 255)])).save(tmp_path / "alpha.png")
    Image.fromarray(levels > 0).save(tmp_path / "bits.png")
    for name in ("palette.png", "deep.tif", "alpha.png", "bits.png"):
        np.testing.assert_array_equal(read_mask(tmp_path / name), levels > 0, err_msg=name)
    assert not read_mask(tmp_path / "palette.png", lowest=4).any()
