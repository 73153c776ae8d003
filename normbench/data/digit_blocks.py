"""Scikit-learn's digits dealt into blocks, so that scenes of different parts of a split share no digit."""

import numpy as np
from numpy.typing import NDArray

from normbench.data.exact import draw_below, shuffled

BLOCKS = 50
"""Each has three or four digits of each class: enough blocks to split, enough digits in each for its scenes."""


def choose(
    classes: NDArray[np.int64],
    labels: NDArray[np.int64],
    blocks: NDArray[np.int64],
    clutter: int,
    bits: np.random.PCG64,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the digits of N scenes, all of a scene from its block.

    Args:
        classes: Class of each digit.
        labels: (N,) class of each scene.
        blocks: (N,) block of each scene.
        clutter: Digits P besides the one of the class.
        bits: The generator.

    Returns:
        (N,) digits of the class, and (N, P) other digits of any class.
    """
    # Blocks one after the other, and in each the classes one after the other.
    cells = _deal(classes, bits) * 10 + classes
    order = np.argsort(cells, kind="stable")
    counts = np.bincount(cells, minlength=10 * BLOCKS)
    starts = counts.cumsum() - counts
    cell = blocks * 10 + labels
    chosen = starts[cell] + draw_below(bits, counts[cell], len(cell))
    start, size = starts[blocks * 10, None], counts.reshape(BLOCKS, 10).sum(axis=1)[blocks, None]
    steps = 1 + draw_below(bits, size - 1, len(cell), clutter)
    others = start + (chosen[:, None] - start + steps) % size
    return order[chosen], order[others]


def _deal(classes: NDArray[np.int64], bits: np.random.PCG64) -> NDArray[np.int64]:
    """Return the block of each digit; the sizes of blocks, and of a class in them, differ by at most one."""
    order = shuffled(bits, len(classes))
    order = order[np.argsort(classes[order], kind="stable")]
    blocks = np.empty_like(order)
    blocks[order] = np.arange(len(order)) % BLOCKS
    return blocks
