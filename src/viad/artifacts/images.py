"""Reading, writing, resizing and cropping images and masks, and converting their colour."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from viad.errors import DataError

COLOR_OPTIONS = ("rgb", "gray3", "gray1")
ASPECT_OPTIONS = ("squash", "pad")
Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
PixelsOrMask = TypeVar("PixelsOrMask", Pixels, Mask)


Image.MAX_IMAGE_PIXELS = 1 << 30  # line-scan cameras go beyond Pillow's limit of 90 Mpixel
EXIF_ORIENTATION = 0x0112  # EXIF
USED_BITS = (8, 10, 12, 14, 16)  # of the sensors whose values 16-bit files hold


def read_image(path: Path, bits: int = 16) -> Pixels:
    """Read an image as (H, W, 3) or, if it is stored in grey, (H, W) uint8, rotated according to its EXIF data.

    16 bits become 8, palettes become colours, and an alpha channel is dropped.

    Args:
        path: of the file.
        bits: that 16-bit images use, such as 12 of a 12-bit camera; their highest value becomes 255.

    Raises:
        DataError: the file is missing, truncated or not an image.
    """
    with _open_image(path) as image:
        return _convert_to_eight_bits(image, bits)


def measure_bits(path: Path) -> int | None:
    """Measure how many bits (8, 10, 12, 14 or 16) the values of a 16-bit image need; None for any other image.

    Raises:
        DataError: the file is missing, truncated or not an image.
    """
    with _open_image(path) as image:
        if not image.mode.startswith("I;16"):
            return None
        highest = int(np.asarray(image).max())
    return next(bits for bits in USED_BITS if highest < 1 << bits)


def count_frames(path: Path) -> int:
    """Count the pages or frames of an image file.

    Raises:
        DataError: the file is missing, truncated or not an image.
    """
    with _open_image(path) as image:
        return int(getattr(image, "n_frames", 1))


@contextmanager
def _open_image(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield ImageOps.exif_transpose(image) if image.getexif().get(EXIF_ORIENTATION, 1) != 1 else image
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist. Restore it with `dvc checkout`, or download the dataset again."
        ) from error
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable image ({error}). Replace it with an intact copy.") from error


def _convert_to_eight_bits(image: Image.Image, bits: int) -> Pixels:
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255.
        scaled = np.asarray(image).astype(np.float32) * (255 / ((1 << bits) - 1))
        return np.rint(np.minimum(scaled, 255)).astype(np.uint8)
    if image.mode in ("I", "F"):
        raise ValueError(f"it has 32 bits per pixel (mode {image.mode}); only 8 and 16 are supported")
    return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))


def read_mask(path: Path, lowest: int = 1) -> Mask:
    """Read a mask as (H, W) bool.

    Args:
        path: of the file.
        lowest: the lowest grey level of an anomalous pixel: 1, since datasets store 1, 236 or 255, unless edges are
            blurred. For a palette the index counts, as its colours may all be black; for colours the brightest channel.

    Raises:
        DataError: the file is missing, truncated or not an image.
    """
    with _open_image(path) as image:
        stored = image.convert("RGB") if image.mode in ("RGBA", "LA", "PA", "CMYK") else image
        pixels = np.asarray(stored)
    return cast("Mask", (pixels if pixels.ndim == 2 else pixels.max(axis=2)) >= lowest)


def write_image(pixels: Pixels | Mask, path: Path) -> None:
    """Write (H, W) or (H, W, 3) uint8, or a boolean mask as 0 and 255, as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels
    # Level 1: these files are temporary, and level 6 takes four times as long.
    Image.fromarray(array).save(path, format="PNG", compress_level=1)


def crop_center(pixels: PixelsOrMask, share: float) -> PixelsOrMask:
    """Crop (H, W) or (H, W, 3) to the central `share` of both sides; 1 changes nothing."""
    height, width = pixels.shape[:2]
    rows, columns = max(1, round(height * share)), max(1, round(width * share))
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns]


def resize_image(pixels: Pixels, size: int, color: str, aspect: str) -> Pixels:
    """Resize an image to (size, size, 3), or (size, size) for gray1, with antialiasing.

    Args:
        pixels: (H, W) or (H, W, 3) uint8.
        size: both sides of the result, in pixels.
        color: rgb, gray3 (grey three times) or gray1 (one channel).
        aspect: squash stretches to a square; pad scales the longer side to `size`
            and repeats the border pixels.
    """
    image = Image.fromarray(pixels)
    image = image.convert("RGB" if color == "rgb" else "L")
    height, width = _fit_size(pixels.shape[:2], size, aspect)
    # Pillow widens its filters with the reduction, which is the antialiasing.
    small = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    small = np.pad(small, _compute_padding(height, width, size, small.ndim), mode="edge")
    return np.repeat(small[:, :, None], 3, axis=2) if color == "gray3" else small


def resize_mask(mask: Mask, size: int, aspect: str) -> Mask:
    """Resize a mask (H, W) to (size, size) by nearest neighbour.

    A defect of a few pixels can fall between the sampled pixels. Then the pixel at its centre becomes anomalous, so
    that an anomalous image keeps an anomalous pixel.
    """
    height, width = _fit_size(mask.shape, size, aspect)
    image = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
    small = np.array(image, dtype=bool)
    if mask.any() and not small.any():
        row, column = np.argwhere(mask).mean(axis=0)
        small[int(row * height / mask.shape[0]), int(column * width / mask.shape[1])] = True
    return np.pad(small, _compute_padding(height, width, size, 2))


def _fit_size(shape: tuple[int, ...], size: int, aspect: str) -> tuple[int, int]:
    if aspect == "squash":
        return size, size
    height, width = shape
    scale = size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _compute_padding(height: int, width: int, size: int, ndim: int) -> list[tuple[int, int]]:
    top, left = (size - height) // 2, (size - width) // 2
    around = [(top, size - height - top), (left, size - width - left)]
    return around + [(0, 0)] * (ndim - 2)
