"""Parts of the user's texts that are the same in every run, because vocabularies come from the training part."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from normbench.data.exact import draw_stratified
from normbench.errors import DataError

PARTS = ("train", "val", "test")
TRAIN, VAL, TEST = range(3)


def complete(
    given: NDArray[np.int64],
    classes: NDArray[np.int64],
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    name: str,
) -> NDArray[np.int64]:
    """Return the part of each sample: the given one, or one drawn from the training samples if a part has none.

    Args:
        given: (N,) `TRAIN`, `VAL` or `TEST`.
        classes: (N,) the class of each sample, zeros if there are none; parts have them in equal proportion.
        val_fraction: Share of the given training samples for validation, if it has none.
        test_fraction: Share of them for the test, likewise.
        seed: Seed of the draw.
        name: What is divided, for the error.

    Raises:
        DataError: A part would have no samples.
    """
    parts, bits = given.copy(), np.random.PCG64(seed)
    size = int((given == TRAIN).sum())
    for part, share in ((TEST, test_fraction), (VAL, val_fraction)):
        if not (given == part).any():
            rows = np.flatnonzero(parts == TRAIN)
            parts[draw_stratified(bits, classes, rows, min(len(rows), round(size * share)))] = part
    refuse_empty(parts, name)
    return parts


def refuse_empty(parts: NDArray[np.int64], name: str) -> None:
    """Raise a DataError if a part has no sample; see `complete`."""
    counts = np.bincount(parts, minlength=len(PARTS)).tolist()
    if min(counts) < 1:
        found = ", ".join(f"{part} {count}" for part, count in zip(PARTS, counts, strict=True))
        raise DataError(f"{name}: each part needs a sample, got {found}; see data.val_fraction and data.test_fraction")


def copies(samples: Sequence[Hashable], training: int) -> int:
    """Return how many samples behind the first `training` ones are equal to one of these."""
    seen = set(samples[:training])
    return sum(sample in seen for sample in samples[training:])


def by_part(parts: NDArray[np.int64]) -> tuple[tuple[int, int, int], NDArray[np.int64]]:
    """Return how many samples each part has, and all samples in the order of their parts."""
    train, val, test = np.bincount(parts, minlength=len(PARTS)).tolist()
    return (train, val, test), np.argsort(parts, kind="stable")
