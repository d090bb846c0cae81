"""An image of the dataset and its mask: a product, its defect, and its picture.

The mask comes from the pictures: the same product under the same light is rendered without and with the defect, and the
mask marks the pixels that differ.
"""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from viad.artifacts.images import Mask, Pixels
from viad.datasets.synthetic.cloth import Cloth
from viad.datasets.synthetic.defects import LOOKS, Ground
from viad.datasets.synthetic.flange import Flange
from viad.datasets.synthetic.scene import Light, expose, sample_dust
from viad.datasets.synthetic.surface import UNITS, Array, Surface
from viad.datasets.synthetic.tray import Tray
from viad.seeds import generator

GOOD, LOGICAL = "good", "logical"
RENDERED_AS = {"reserve": "pool"}  # the earlier name of the split, which seeds the published images
VISIBLE = 3.0  # grey levels of 255: the sensor's noise hides smaller changes
# Smallest and largest area of a defect's mask, as shares of the image's area.
AREAS = {"small": (0.0, 0.002), "large": (0.03, 1.0), "foreign": (0.0, 1.0), LOGICAL: (0.0, 1.0)}
ATTEMPTS = 40


class Product(Protocol):
    """A specimen of a category: its constructor samples everything that varies between normal products."""

    rules: tuple[str, ...]
    body: Array

    def surface(self) -> Surface:
        """The product as it should be, in arrays of its own."""

    def broken(self, rule: str, rng: np.random.Generator) -> Surface:
        """The same product, but against one of its `rules`."""

    def spot(self, rng: np.random.Generator, reach: float) -> tuple[float, float]:
        """x and y of a place on the product for a defect of that radius."""


PRODUCTS: dict[str, type[Cloth] | type[Flange] | type[Tray]] = {"texture": Cloth, "object": Flange, "assembly": Tray}


@dataclass(frozen=True)
class Order:
    """The image to render; `kind` is good or a defect kind."""

    seed: int
    size: int
    category: str
    split: str
    kind: str
    index: int


@dataclass(frozen=True)
class Exposure:
    """The light that reaches the camera without and with the defect (H, W, 3), and the pixels that differ."""

    clean: Array
    defective: Array
    mask: Mask


def list_defect_kinds(category: str) -> tuple[str, ...]:
    """The defect kinds of the category's test set."""
    return ("small", "large", LOGICAL) if PRODUCTS[category].rules else ("small", "large")


def render_picture(order: Order) -> tuple[Pixels, Mask]:
    """Render the ordered image (H, W, 3) and its mask (H, W), which depend on the order alone."""
    exposure, camera = expose_scene(order)
    return expose(exposure.defective, camera), exposure.mask


def expose_scene(order: Order) -> tuple[Exposure, np.random.Generator]:
    """The picture before the camera adds its noise, and the generator of that noise.

    Raises:
        RuntimeError: no attempt gave a defect of the kind's area.
    """
    split = RENDERED_AS.get(order.split, order.split)
    own = generator(order.seed, "synthetic", order.category, split, order.kind, order.index)
    nature, accident, camera = own.spawn(3)
    product: Product = PRODUCTS[order.category](nature, order.size)
    light, dust = Light.sample(nature), sample_dust(nature, order.size)
    clean = _lit(product.surface(), light, dust)
    if order.kind == GOOD:
        return Exposure(clean, clean, np.zeros(clean.shape[:2], bool)), camera
    low, high = AREAS[order.kind]
    grow = 1.0
    for _ in range(ATTEMPTS):
        defective = _lit(_spoilt(product, order, accident, grow), light, dust)
        mask = _changed(clean, defective)
        if low < mask.mean() < high:
            return Exposure(clean, np.where(mask[:, :, None], defective, clean), mask), camera
        grow *= 1.12 if mask.mean() <= low else 0.85
    raise RuntimeError(f"{order}: no defect between {low} and {high} of the image's area in {ATTEMPTS} attempts.")


def _lit(surface: Surface, light: Light, dust: Array) -> Array:
    surface.color *= dust
    return light.shade(surface)


def _spoilt(product: Product, order: Order, rng: np.random.Generator, grow: float) -> Surface:
    if order.kind == LOGICAL:
        return product.broken(product.rules[order.index % len(product.rules)], rng)
    looks = LOOKS[order.kind]
    surface = product.surface()
    looks[order.index % len(looks)](Ground(surface, product.body, product.spot, rng, grow))
    return surface


def _changed(clean: Array, defective: Array) -> Mask:
    """Where the pictures differ visibly.

    Seams of a few pixels, in which the defect happens to have the colour of what it
    hides, count as changed: they are part of it.
    """
    change = np.maximum.reduce(cv2.split(cv2.absdiff(clean, defective)))  # of the three colours
    differs = (change > VISIBLE).astype(np.uint8)
    width = 2 * round(2 * clean.shape[0] / UNITS) + 1
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    return cv2.morphologyEx(differs, cv2.MORPH_CLOSE, element).astype(bool)
