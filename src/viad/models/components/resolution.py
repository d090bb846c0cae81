"""Images at the resolution of networks that have one of their own."""

from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def resize_images(images: Tensor, side: int) -> Tensor:
    """Images (B, C, H, W) as (B, C, side, side), bilinearly and without aliasing; the same tensor if it fits."""
    if images.shape[2:] == (side, side):
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
