"""Pictures of images with boxes, or with the class of each pixel in colour."""

import colorsys
from collections.abc import Sequence

import torch
from torch import Tensor

from normbench.data.examples import Examples
from normbench.data.images import Images

_LEAST = 192
"""Pixels of the longer side of a picture: smaller ones are enlarged, so that boxes and names can be read."""

_COVER = 0.55
"""How much the colour of a class hides the image below it."""


def visible(data: Examples, images: Tensor) -> Tensor:
    """Return images as they were before they were standardised, enlarged if they are small.

    Args:
        data: The data set that they are from. If its images are no 8-bit ones, the range of the values is stretched.
        images: (B, C, H, W); of channels other than one or three, the first is shown.

    Returns:
        (B, 3, F H, F W) uint8 with a whole factor F.
    """
    values = images.detach().float()
    if isinstance(data, Images) and data.images.dtype == torch.uint8:
        values = values * data.std.view(-1, 1, 1) + data.mean.view(-1, 1, 1)
    else:
        low, high = values.min(), values.max()
        values = 255 * (values - low) / (high - low).clamp(min=1e-6)
    if values.shape[1] != 3:
        values = values[:, :1].expand(-1, 3, -1, -1)
    return enlarged(values.round().clamp(0, 255).to(torch.uint8))


def enlarged(pictures: Tensor) -> Tensor:
    """Return pictures (..., H, W) with each pixel repeated, so that the longer side has `_LEAST` pixels or more."""
    factor = scale(pictures)
    return pictures.repeat_interleave(factor, -1).repeat_interleave(factor, -2)


def scale(pictures: Tensor) -> int:
    """Return the factor by which `enlarged` enlarges pictures, (..., H, W)."""
    return max(1, -(-_LEAST // max(pictures.shape[-2:])))


def with_boxes(picture: Tensor, boxes: Tensor, names: Sequence[str], color: str) -> Tensor:
    """Return a picture (3, H, W) uint8 with boxes (n, 4), x1 y1 x2 y2 in its pixels, and a name at each."""
    from torchvision.utils import draw_bounding_boxes

    if not len(boxes):
        return picture
    return draw_bounding_boxes(picture, boxes, list(names), colors=color, width=2)  # type: ignore[no-any-return]


def with_classes(picture: Tensor, classes: Tensor, count: int) -> Tensor:
    """Return a picture (3, H, W) uint8 with its pixels in the colours of their classes; class 0 has none.

    Args:
        picture: The picture.
        classes: (H, W) int64 in [0, count), or other values for pixels without a class.
        count: Number of classes.
    """
    from torchvision.utils import draw_segmentation_masks

    where = classes == torch.arange(1, count, device=classes.device).view(-1, 1, 1)
    if not where.any():
        return picture
    return draw_segmentation_masks(picture, where, alpha=_COVER, colors=class_colors(count - 1))  # type: ignore[no-any-return]


def class_colors(count: int) -> list[tuple[int, int, int]]:
    """Return so many colours in RGB, the hues evenly spaced."""
    hues = (colorsys.hsv_to_rgb(place / max(count, 1), 0.9 if place % 2 else 0.65, 1.0) for place in range(count))
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in hues]
