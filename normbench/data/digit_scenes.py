"""Scenes of one real digit among pieces of others: no files needed, and harder than the digits alone."""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from normbench.data.dataset import Dataset, content_hash
from normbench.data.digits import digits
from normbench.data.exact import draw_below, shuffled
from normbench.data.scenes import paint, place
from normbench.errors import DataError

CANVAS = 32
BACKGROUND = 64
BLOCKS = 50
"""Each has three or four digits of each class: enough blocks to split, enough digits in each for its scenes."""


def digit_scenes(
    num_scenes: int,
    min_size: int,
    max_size: int,
    clutter: int,
    overlap: float,
    contrast: float,
    generator_seed: int,
) -> Dataset:
    """Paste scikit-learn's digits into scenes of 32 x 32 pixels; the class is the digit that is shown as a whole.

    The digits are dealt into 50 blocks, class by class. A scene takes its digit and its pieces from one block, and a
    split has whole blocks. So no digit of a test scene is in a training scene, not even as a piece. A piece is a window
    of 4 x 4 of the 8 x 8 pixels. Only integer arithmetic and PCG64's raw bits are used, so the images are the same on
    every machine.

    Args:
        num_scenes: Images N; with a multiple of 500 all blocks have as many, so that runs can train together.
        min_size: Smallest height and width of the digit in pixels; pieces are half as large.
        max_size: Largest.
        clutter: Pieces in each scene.
        overlap: Share of the digit's box that each piece may cover if there is room; rounded to a thousandth.
        contrast: Weakest digits and pieces, as a share of the strongest; rounded to a thousandth.
        generator_seed: Determines the scenes; the run's seed does not affect them.

    Returns:
        The data set, (N, 1, 32, 32) uint8, with blocks as groups, without a test part of its own.

    Raises:
        DataError: An argument is out of range.
    """
    whole = digits()
    classes = whole.num_classes
    for key, value, low, high in (
        ("num_scenes", num_scenes, classes, None),
        ("min_size", min_size, 8, CANVAS),
        ("max_size", max_size, min_size, CANVAS),
        ("clutter", clutter, 0, None),
        ("overlap", overlap, 0, 1),
        ("contrast", contrast, 0.001, 1),
        ("generator_seed", generator_seed, 0, None),
    ):
        if value < low or (high is not None and value > high):
            most = "" if high is None else f" and at most {high}"
            raise DataError(f"data.{key} must be at least {low}{most}, got {value}")
    bits = np.random.PCG64(generator_seed)
    labels = np.arange(num_scenes) % classes
    blocks = np.arange(num_scenes) // classes % BLOCKS
    chosen, others = _choose(whole.labels.numpy(), labels, blocks, clutter, bits)
    pictures = whole.images[:, 0].numpy().astype(np.int64) * 255 // 16
    corners = draw_below(bits, 5, num_scenes, clutter, 2)[..., None] + np.arange(4)
    pieces = pictures[others[..., None, None], corners[..., 0, :, None], corners[..., 1, None, :]]
    put = partial(place, bits=bits, canvas=CANVAS, overlap=round(1000 * overlap), contrast=round(1000 * contrast))
    shown = put(pictures[chosen][:, None], sizes=(min_size, max_size))
    beside = put(pieces, sizes=(min_size // 2, max_size // 2), around=shown.boxes)
    shades = BACKGROUND + np.arange(256) * (255 - BACKGROUND) // 255
    images = torch.from_numpy(shades.astype(np.uint8)[paint((shown, beside), CANVAS)]).unsqueeze(1)
    targets, groups = torch.from_numpy(labels), torch.from_numpy(blocks)
    content = content_hash(images, targets, 0, groups=groups)
    return Dataset("digit_scenes", images, targets, 0, whole.class_names, content, groups=groups)


def _choose(
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
