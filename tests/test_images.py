"""images.py: sizes, colours, masks, and files that cannot be read."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from viad.artifacts.images import COLOR_OPTIONS, read_image, read_mask, resize_image, resize_mask, write_image
from viad.errors import DataError

SMOOTH = np.add.outer(np.arange(40), np.arange(60))[:, :, None] * np.array([1, 2, 1]) + np.array([0, 10, 90])
PICTURE = SMOOTH.astype(np.uint8)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(13, 17), (13, 17, 3)])
def test_written_images_come_back_and_cv2_agrees(tmp_path, shape):
    pixels = noise(*shape)
    path = tmp_path / "new" / "image.png"
    write_image(pixels, path)
    np.testing.assert_array_equal(read_image(path), pixels)
    theirs = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(theirs if theirs.ndim == 2 else theirs[:, :, ::-1], pixels)


def test_jpeg_is_read_as_cv2_reads_it(tmp_path):
    path = tmp_path / "image.jpg"
    cv2.imwrite(str(path), PICTURE[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    found = read_image(path).astype(int)
    assert np.abs(found - cv2.imread(str(path))[:, :, ::-1]).max() <= 2  # decoders may round differently
    assert np.abs(found - PICTURE).mean() < 3  # and red is red


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "LA", "CMYK"])
def test_other_modes_become_rgb(tmp_path, mode):
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    stored = Image.fromarray(PICTURE).convert(mode)
    stored.save(path)
    np.testing.assert_array_equal(read_image(path), np.asarray(stored.convert("RGB")))


def test_16_bit_images_keep_their_contrast_or_are_refused(tmp_path):
    Image.fromarray(np.array([[1000, 20000, 60000]], dtype=np.uint16)).save(tmp_path / "image.png")
    try:
        found = read_image(tmp_path / "image.png")
    except DataError:
        return
    assert len(np.unique(found)) == 3


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png does not exist\. Restore it with `dvc checkout`"):
        read_image(tmp_path / "gone.png")


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_file(tmp_path, content):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.png is not a readable image .*Replace it with an intact copy"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_truncated_file_is_refused_wherever_it_ends(tmp_path, suffix):
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    Image.fromarray(noise(40, 50, 3)).save(whole)
    content = whole.read_bytes()
    for share in (0.1, 0.5, 0.9):
        cut.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError, match="is not a readable image"):
            read_image(cut)


def test_folder_is_no_image(tmp_path):
    with pytest.raises(DataError, match="is not a readable image"):
        read_image(tmp_path)


@pytest.mark.parametrize("value", [1, 236, 255])
@pytest.mark.parametrize("channels", [None, 3])
def test_any_value_above_0_is_anomalous(tmp_path, value, channels):
    truth = noise(9, 11) > 128
    pixels = truth.astype(np.uint8) * np.uint8(value)
    if channels:  # one channel will do
        pixels = np.stack([np.zeros_like(pixels), pixels, np.zeros_like(pixels)], axis=2)
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, truth)


def test_written_mask_is_0_and_255_and_comes_back(tmp_path):
    mask = noise(9, 11) > 128
    write_image(mask, tmp_path / "mask.png")
    assert set(np.unique(cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED))) == {0, 255}
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask)


@pytest.mark.parametrize("aspect", ["squash", "pad"])
@pytest.mark.parametrize("stored", [(40, 60), (40, 60, 3), (60, 40, 3), (7, 200, 3)])
@pytest.mark.parametrize("color", COLOR_OPTIONS)
def test_colours_and_shapes(stored, color, aspect):
    small = resize_image(noise(*stored), 32, color, aspect)
    assert small.shape == ((32, 32) if color == "gray1" else (32, 32, 3))
    assert small.dtype == np.uint8
    if color == "gray3" or len(stored) == 2:
        planes = small[:, :, None] if small.ndim == 2 else small
        assert (planes == planes[:, :, :1]).all()


def test_grey_is_luma_and_rgb_keeps_its_channels():
    pure = np.zeros((8, 8, 3), np.uint8)
    pure[:, :, 1] = 200
    assert (resize_image(pure, 8, "gray1", "squash") == round(0.587 * 200)).all()
    np.testing.assert_array_equal(resize_image(pure, 8, "rgb", "squash"), pure)


@pytest.mark.parametrize("aspect", ["squash", "pad"])
def test_downsizing_is_antialiased(aspect):
    checkerboard = (np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = resize_image(checkerboard, 32, "gray1", aspect)
    assert abs(small.astype(int) - 127.5).max() < 10


def test_pad_keeps_proportions_and_repeats_the_border():
    pixels = np.zeros((16, 32), np.uint8)
    pixels[0], pixels[-1] = 200, 100
    small = resize_image(pixels, 32, "gray1", "pad")
    assert (small[:9] == 200).all()
    assert (small[9:23] == 0).all()
    assert (small[23:] == 100).all()


def test_squash_stretches():
    pixels = np.repeat(np.uint8([[10, 200]]), 4, axis=0)  # 4 x 2
    small = resize_image(pixels, 8, "gray1", "squash")
    assert (small[:, :2] == 10).all()
    assert (small[:, -2:] == 200).all()


@pytest.mark.parametrize("aspect", ["squash", "pad"])
@pytest.mark.parametrize("shape", [(64, 128), (128, 64), (128, 128)])
@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_nothing_is_cropped(shape, corner, aspect):
    mask = np.zeros(shape, bool)
    mask[-corner[0], -corner[1]] = True  # one pixel, in that corner of the image
    pixels = mask.astype(np.uint8) * 255
    small, small_mask = resize_image(pixels, 32, "gray1", aspect), resize_mask(mask, 32, aspect)
    brightest = np.unravel_index(small.argmax(), small.shape)
    assert small.max() > 0
    assert small_mask.sum() == 1
    ys, xs = np.nonzero(resize_mask(np.ones(shape, bool), 32, aspect))  # where the image lies
    expected = ((ys.min(), ys.max())[corner[0]], (xs.min(), xs.max())[corner[1]])
    assert tuple(np.argwhere(small_mask)[0]) == expected
    assert small[expected] == small[brightest]


def test_pad_leaves_no_defect_in_the_border():
    small = resize_mask(np.ones((16, 32), bool), 32, "pad")
    assert small[8:24].all()
    assert small.sum() == 16 * 32


@given(
    height=st.integers(1, 50), width=st.integers(1, 50), size=st.integers(1, 40), seed=st.integers(0, 1000),
    share=st.sampled_from([0.0, 0.02, 0.3, 0.9]),
)  # fmt: skip
def test_masks_are_sampled_at_pixel_centres(height, width, size, seed, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    rows = ((np.arange(size) + 0.5) * height / size).astype(int)
    columns = ((np.arange(size) + 0.5) * width / size).astype(int)
    expected = mask[np.ix_(rows, columns)]
    found = resize_mask(mask, size, "squash")
    assert found.dtype == bool
    if expected.any() or not mask.any():
        np.testing.assert_array_equal(found, expected)
    else:
        assert found.sum() == 1


@given(
    height=st.integers(1, 90), width=st.integers(1, 90), size=st.integers(1, 16), data=st.data(),
    aspect=st.sampled_from(["squash", "pad"]),
)  # fmt: skip
def test_a_defect_of_one_pixel_never_vanishes(height, width, size, data, aspect):
    mask = np.zeros((height, width), bool)
    mask[data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))] = True
    assert resize_mask(mask, size, aspect).any()


def test_vanishing_defect_is_marked_where_it_was():
    mask = np.zeros((100, 100), bool)
    mask[31, 72] = True
    small = resize_mask(mask, 10, "squash")
    np.testing.assert_array_equal(np.argwhere(small), [[3, 7]])


def test_image_and_mask_stay_aligned():
    mask = np.zeros((90, 120), bool)
    mask[20:60, 50:100] = True
    for aspect in ("squash", "pad"):
        bright = resize_image(mask.astype(np.uint8) * 255, 48, "gray1", aspect) > 127
        small = resize_mask(mask, 48, aspect)
        assert (bright & small).sum() / (bright | small).sum() > 0.95
