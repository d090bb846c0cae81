"""Anomalies made of textures: detectors paste them onto normal images to learn to recognise anomalies.

An anomaly is a texture that shows through a mask of thresholded Perlin noise (Zavrtanik et al., "DRAEM",
ICCV 2021). A grey image gets a grey texture, because colour would give the anomaly away: a choice of our own.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from viad.models.components.perlin import perlin_mask
from viad.models.components.textures import Textures, augmented

GREY = 2 / 255  # channels that differ by less are equal: normalising and back rounds them


class TextureAnomalies:
    """Puts a texture into some of the images.

    Args:
        textures: of the images' size.
        opacity: draws how much of the texture is seen, 0 to 1.
        probability: of an image to get an anomaly.
        combined: masks are one, the union or the overlap of two, each with a third of the chance (GLASS).
    """

    def __init__(
        self, textures: Textures, opacity: Callable[[], float], *, probability: float, combined: bool = False
    ) -> None:
        self.textures, self.opacity, self.probability, self.combined = textures, opacity, probability, combined

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images with anomalies, and their masks.

        Args:
            images: (B, 3, H, W) in [0, 1].

        Returns:
            (B, 3, H, W) like the images, and (B, 1, H, W) float32, 1 where there is texture.
        """
        changed, masks = images.clone(), images.new_zeros(len(images), 1, *images.shape[2:])
        for i, image in enumerate(images):
            if float(torch.rand(())) >= self.probability:
                continue
            masks[i, 0] = self._mask(*image.shape[1:]).to(masks)
            texture = augmented(self.textures.draw()).to(image)
            if is_grey(image):
                texture = texture.mean(dim=0, keepdim=True)
            changed[i] += self.opacity() * masks[i] * (texture - image)
        return changed, masks

    def _mask(self, height: int, width: int) -> Tensor:
        while True:
            mask = perlin_mask(height, width)
            if self.combined:
                other, kind = perlin_mask(height, width), int(torch.randint(3, ()))
                mask = (mask | other) if kind == 0 else (mask & other) if kind == 1 else mask
            if mask.any():
                return mask


def is_grey(image: Tensor) -> bool:
    """Whether the channels of an image (3, H, W) are equal."""
    return float((image.amax(dim=0) - image.amin(dim=0)).max()) < GREY
