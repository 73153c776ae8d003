"""Random and enlarged integers that are the same on every machine: PCG64's raw bits, and no rounding."""

import numpy as np
from numpy.typing import NDArray


def draw_below(bits: np.random.PCG64, high: int | NDArray[np.int64], *shape: int) -> NDArray[np.int64]:
    """Return uniform integers of a shape, from 0 to below `high`, which may be an array that broadcasts to it."""
    words: NDArray[np.uint64] = bits.random_raw(shape)
    return (words % np.asarray(high, np.uint64)).astype(np.int64)


def shuffled(bits: np.random.PCG64, count: int) -> NDArray[np.int64]:
    """Return the integers from 0 to below `count` in random order."""
    return np.argsort(bits.random_raw(count), kind="stable")


def enlarge(grids: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Enlarge square grids bilinearly; the corners keep their values.

    Args:
        grids: (N, G, G).
        size: The new height and width, at least 2.

    Returns:
        (N, size, size), rounded down.
    """
    cells = grids.shape[-1]
    position = np.arange(size) * (cells - 1)
    cell = np.minimum(position // (size - 1), cells - 2)
    offset = position - cell * (size - 1)
    weights = np.zeros((size, cells), np.int64)
    weights[np.arange(size), cell] = size - 1 - offset
    weights[np.arange(size), cell + 1] = offset
    enlarged: NDArray[np.int64] = weights @ grids @ weights.T // (size - 1) ** 2
    return enlarged
