"""Random crops and flips of a batch: drawing and applying are separate steps."""

from typing import NamedTuple

import torch
from torch import Tensor

from normbench.data.resized_crop import Windows, draw_windows, scale_windows
from normbench.errors import DataError, nearest

AUGMENTATIONS = ("none", "crop", "flip", "crop_flip", "random_resized_crop", "random_resized_crop_flip")


class Draws(NamedTuple):
    """The crops and flips drawn for a batch.

    Attributes:
        offsets: (B, 2) int64: row and column of the window in the padded image, each in [0, 2 * padding].
        flips: (B,) bool: whether the image is mirrored left to right.
    """

    offsets: Tensor
    flips: Tensor


def padding(height: int) -> int:
    """Return the zero pixels put around an image: an eighth of its height (4 for 32), at least 1."""
    return max(1, height // 8)


def draw(batch_size: int, height: int, width: int, kind: str, generator: torch.Generator) -> Draws | Windows:
    """Draw crops and flips for a batch; whatever `kind` does not include is left unchanged.

    Args:
        batch_size: Images B.
        height: Image height in pixels.
        width: Image width in pixels.
        kind: One of `AUGMENTATIONS`.
        generator: CPU generator to draw from; `none` draws nothing.

    Returns:
        The draws, on the CPU.

    Raises:
        DataError: The kind is unknown.
    """
    if kind not in AUGMENTATIONS:
        raise DataError(f"unknown data.augment '{kind}'{nearest(kind, AUGMENTATIONS)}")
    if kind.startswith("random_resized_crop"):
        return draw_windows(batch_size, height, width, kind.endswith("flip"), generator)
    pad = padding(height)
    offsets = torch.full((batch_size, 2), pad)
    flips = torch.zeros(batch_size, dtype=torch.bool)
    if "crop" in kind:
        offsets = torch.randint(0, 2 * pad + 1, (batch_size, 2), generator=generator)
    if "flip" in kind:
        flips = torch.randint(0, 2, (batch_size,), generator=generator).bool()
    return Draws(offsets, flips)


def apply(images: Tensor, draws: Draws | Windows) -> Tensor:
    """Pad with zeros, crop the drawn windows and flip them (He et al. 2016), or rescale them (see `resized_crop`).

    A pure function that works under `torch.vmap`.

    Args:
        images: (B, C, H, W) float, standardised, so that zero is the mean.
        draws: What `draw` returned for this batch, on the device of `images`.

    Returns:
        (B, C, H, W).
    """
    if isinstance(draws, Windows):
        return scale_windows(images, draws)
    batch_size, _, height, width = images.shape
    pad = padding(height)
    padded = torch.nn.functional.pad(images, (pad, pad, pad, pad))
    rows = draws.offsets[:, :1] + torch.arange(height, device=images.device)
    columns = draws.offsets[:, 1:] + torch.arange(width, device=images.device)
    columns = torch.where(draws.flips[:, None], columns.flip(1), columns)
    batch = torch.arange(batch_size, device=images.device)[:, None, None]
    windows = padded[batch, :, rows[:, :, None], columns[:, None, :]]
    return windows.permute(0, 3, 1, 2).contiguous()


def draw_all(images: Tensor, kind: str, *generators: torch.Generator) -> Draws | Windows:
    """Draw crops and flips for the batches of several runs.

    Args:
        images: (R * B, C, H, W): the concatenated batches of R runs.
        kind: One of `AUGMENTATIONS`.
        generators: One CPU generator per run; each draws for its own batch, independently of the others.

    Returns:
        The draws of all R * B images, on the device of `images`.

    Raises:
        DataError: The kind is unknown.
    """
    size, (height, width) = len(images) // len(generators), images.shape[2:]
    draws = [draw(size, height, width, kind, generator) for generator in generators]
    joined = (torch.cat(parts).to(images.device) for parts in zip(*draws, strict=True))
    return type(draws[0])(*joined)


def augment(images: Tensor, kind: str, *generators: torch.Generator) -> Tensor:
    """Draw and apply in one call, for the batches of one or several runs.

    Args:
        images: (R * B, C, H, W) float, standardised: the concatenated batches of R runs.
        kind: One of `AUGMENTATIONS`; `none` returns `images` itself.
        generators: See `draw_all`.

    Returns:
        (R * B, C, H, W).

    Raises:
        DataError: The kind is unknown.
    """
    return images if kind == "none" else apply(images, draw_all(images, kind, *generators))
