"""Checks of the pixels of a loaded data set: non-finite values, and data without variance."""

from collections.abc import Iterator

import torch
from torch import Tensor

from normbench.data.images import Images, chunk_length
from normbench.errors import DataError


def refuse_nonfinite(dataset: Images) -> None:
    """Raise if a pixel is nan or inf: every run would end at its first step as diverged.

    Raises:
        DataError: If there is one.
    """
    if not dataset.images.is_floating_point():
        return
    for start, chunk in _chunks(dataset.images):
        bad = ~torch.isfinite(chunk).flatten(1).all(dim=1)
        if bad.any():
            row = start + int(bad.nonzero()[0])
            raise DataError(f"data set '{dataset.name}': image {row} has nan or inf pixels")


def variance_notes(dataset: Images) -> tuple[str, ...]:
    """Return a warning if all images are equal or a channel is constant: nothing can be learned from it.

    It reads only as many images as needed: two in most sets.
    """
    first = dataset.images[0]
    equal, constant = True, torch.ones(len(first), dtype=torch.bool)
    for _, chunk in _chunks(dataset.images, first=2):
        equal = equal and bool((chunk == first).all())
        constant &= (chunk == first[:, :1, :1]).all(dim=3).all(dim=2).all(dim=0).cpu()
        if not equal and not constant.any():
            return ()
    name = f"data set '{dataset.name}'"
    if equal:
        return (f"warning: {name}: all images are equal",)
    channels = ", ".join(map(str, constant.nonzero().flatten().tolist()))
    return (f"warning: {name}: constant over all pixels of all images: channel {channels} of {len(first)}",)


def _chunks(images: Tensor, first: int = 0) -> Iterator[tuple[int, Tensor]]:
    """Yield rows and images, `first` of them alone, the rest in chunks of a fitting size."""
    if first:
        yield 0, images[:first]
    for start in range(first, len(images), chunk_length(images)):
        yield start, images[start : start + chunk_length(images)]
