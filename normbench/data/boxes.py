"""Corners of boxes: what is wrong with them, and how they are fitted into their picture."""

import math

import torch
from torch import Tensor

Corners = tuple[float, float, float, float]
"""x1 y1 x2 y2 in pixels; x2 and y2 are where the box ends."""

SLACK = 1.0
"""Pixels that a box may reach outside its picture, as where pixels are counted from another number: it is clipped."""


def fault(corners: Corners, size: tuple[int, int]) -> str:
    """Return what is wrong with a box in a picture of a width and height, such as `without area`; empty if nothing."""
    x1, y1, x2, y2 = corners
    width, height = size
    if not all(map(math.isfinite, corners)):
        return "whose corners are no numbers"
    if x2 < x1 or y2 < y1:
        return "with corners in the wrong order"
    if x1 == x2 or y1 == y2:
        return "without area"
    reaches = min(x1, y1) < -SLACK or x2 > width + SLACK or y2 > height + SLACK
    return "outside the picture" if reaches or x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height else ""


def inside(corners: Corners, size: tuple[int, int], whole_pixels: bool) -> Corners:
    """Return a box without fault clipped to its picture; in whole pixels it keeps at least one.

    Args:
        corners: The box.
        size: Width and height of the picture.
        whole_pixels: Whether to round corners, halves to even numbers.
    """
    (x1, x2), (y1, y2) = (_within(corners[axis], corners[axis + 2], size[axis], whole_pixels) for axis in (0, 1))
    return x1, y1, x2, y2


def _within(low: float, high: float, side: int, whole_pixels: bool) -> tuple[float, float]:
    low, high = max(low, 0), min(high, side)
    if not whole_pixels:
        return low, high
    low = min(round(low), side - 1)
    return low, max(round(high), low + 1)


def scaled_boxes(boxes: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Return boxes of pictures of another size.

    Args:
        boxes: (..., 4) float32.
        old: (..., 2) width and height of their pictures.
        new: (2,) width and height of the scaled pictures.
    """
    # Multiplied first: a box that ends at the edge then ends at the new edge, without rounding.
    return boxes * torch.cat((new, new), dim=-1) / torch.cat((old, old), dim=-1)
