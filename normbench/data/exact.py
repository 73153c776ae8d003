"""Random, scaled and enlarged integers that are the same on every machine: PCG64's raw bits, and no rounding."""

import numpy as np
from numpy.typing import NDArray


def draw_below(bits: np.random.PCG64, high: int | NDArray[np.int64], *shape: int) -> NDArray[np.int64]:
    """Return uniform integers of a shape, from 0 to below `high`, which may be an array that broadcasts to it."""
    words: NDArray[np.uint64] = bits.random_raw(shape)
    return (words % np.asarray(high, np.uint64)).astype(np.int64)


def shuffled(bits: np.random.PCG64, count: int) -> NDArray[np.int64]:
    """Return the integers from 0 to below `count` in random order."""
    return np.argsort(bits.random_raw(count), kind="stable")


def draw_stratified(
    bits: np.random.PCG64, classes: NDArray[np.int64], rows: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Draw some rows at random, of each class its share rounded up or down.

    Args:
        bits: The source of randomness.
        classes: (N,) the class of each row.
        rows: The rows to draw from.
        count: How many to draw, at most as many as there are.

    Returns:
        (count,) in ascending order.
    """
    order = rows[shuffled(bits, len(rows))]
    order = order[np.argsort(classes[order], kind="stable")]
    # Every n-th of the rows sorted by class: exactly `count` in all.
    steps = np.arange(len(rows) + 1) * count // max(1, len(rows))
    return np.sort(order[np.diff(steps) > 0])


def nearest_pixels(old: int, new: int) -> NDArray[np.int64]:
    """Return the pixel (new,) of a side of `old` pixels whose centre is nearest to that of each of `new` pixels."""
    return (2 * np.arange(new) + 1) * old // (2 * new)


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
