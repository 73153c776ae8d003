"""Windows of random area and ratio, scaled back to the size of the image (Szegedy et al. 2015)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

SCALE = (0.08, 1.0)
"""Area of a window as a share of the image's area; with `RATIO`, as in torchvision's `RandomResizedCrop`."""

RATIO = (3 / 4, 4 / 3)
"""Width over height of a window."""

TRIES = 10


class Windows(NamedTuple):
    """Windows and flips drawn for a batch.

    Attributes:
        corners: (B, 2) int64: top row and left column.
        sizes: (B, 2) int64: height and width.
        flips: (B,) bool: whether the image is mirrored left to right.
    """

    corners: Tensor
    sizes: Tensor
    flips: Tensor


def draw_windows(batch_size: int, height: int, width: int, flip: bool, generator: torch.Generator) -> Windows:
    """Draw windows, uniform in area and in the logarithm of their ratio; use the first of ten that fits in the image.

    Args:
        batch_size: Images B.
        height: Image height in pixels.
        width: Image width in pixels.
        flip: Whether to mirror each image with probability 1/2.
        generator: CPU generator to draw from.

    Returns:
        The windows, on the CPU; if none of ten fits, the largest centre crop that `RATIO` allows.
    """
    # Always float32, independent of the default dtype: a seed draws the same windows everywhere.
    empty = torch.empty(batch_size, TRIES, dtype=torch.float32)
    area = height * width * empty.uniform_(*SCALE, generator=generator)
    ratio = torch.empty_like(empty).uniform_(*map(math.log, RATIO), generator=generator).exp()
    tried = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()], dim=-1).round().long()
    whole = torch.tensor([height, width])
    fits = ((tried > 0) & (tried <= whole)).all(dim=-1)
    chosen = tried[torch.arange(batch_size), fits.int().argmax(dim=1)]
    central = torch.tensor([min(height, round(width / RATIO[0])), min(width, round(height * RATIO[1]))])
    room = fits.any(dim=1, keepdim=True)
    sizes = torch.where(room, chosen, central)
    places = (
        (torch.rand(batch_size, 2, dtype=torch.float32, generator=generator) * (whole - sizes + 1))
        .long()
        .minimum(whole - sizes)
    )
    corners = torch.where(room, places, (whole - central) // 2)
    flips = torch.zeros(batch_size, dtype=torch.bool)
    if flip:
        flips = torch.randint(0, 2, (batch_size,), generator=generator).bool()
    return Windows(corners, sizes, flips)


def scale_windows(images: Tensor, windows: Windows) -> Tensor:
    """Scale each image's window to the whole image, bilinear, and flip it. A pure function for `torch.vmap`.

    A window is never larger than the image, so antialiasing would change nothing. Each output is computed separately:
    no image's rounding depends on the other images.

    Args:
        images: (B, C, H, W) float.
        windows: What `draw_windows` returned for this batch, on the device of `images`.

    Returns:
        (B, C, H, W).
    """
    batch_size, channels, height, width = images.shape
    top, bottom, down = _between(windows.corners[:, :1], windows.sizes[:, :1], height, images.dtype)
    left, right, along = _between(windows.corners[:, 1:], windows.sizes[:, 1:], width, images.dtype)
    flips = windows.flips[:, None]
    left, right, along = (torch.where(flips, values.flip(1), values) for values in (left, right, along))

    def row(index: Tensor) -> Tensor:
        return images.gather(2, index[:, None, :, None].expand(batch_size, channels, height, width))

    def column(rows: Tensor, index: Tensor) -> Tensor:
        return rows.gather(3, index[:, None, None, :].expand(batch_size, channels, height, width))

    down, along = down[:, None, :, None], along[:, None, None, :]
    rows = row(top) * (1 - down) + row(bottom) * down
    return column(rows, left) * (1 - along) + column(rows, right) * along


def _between(corner: Tensor, size: Tensor, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two pixels (B, length) on either side of each output pixel, and the weight of the second."""
    centres = (torch.arange(length, dtype=dtype, device=corner.device) + 0.5) * size / length - 0.5
    centres = centres.clamp_min(0)
    low = centres.long()
    return corner + low, corner + (low + 1).minimum(size - 1), centres - low
