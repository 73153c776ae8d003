"""Scenes of one real digit among pieces of others: no files needed, and harder than the digits alone."""

from functools import partial

import numpy as np
import torch

from normbench.data.dataset import Dataset, content_hash
from normbench.data.digit_blocks import BLOCKS, choose
from normbench.data.digits import digits
from normbench.data.scenes import cut_pieces, paint, place, refuse_out_of_range, shade

CANVAS = 32


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
    refuse_out_of_range(
        ("num_scenes", num_scenes, classes, None),
        ("min_size", min_size, 8, CANVAS),
        ("max_size", max_size, min_size, CANVAS),
        ("clutter", clutter, 0, None),
        ("overlap", overlap, 0, 1),
        ("contrast", contrast, 0.001, 1),
        ("generator_seed", generator_seed, 0, None),
    )
    bits = np.random.PCG64(generator_seed)
    labels = np.arange(num_scenes) % classes
    blocks = np.arange(num_scenes) // classes % BLOCKS
    chosen, others = choose(whole.labels.numpy(), labels, blocks, clutter, bits)
    pictures = whole.images[:, 0].numpy().astype(np.int64) * 255 // 16
    pieces = cut_pieces(pictures, others, bits)
    put = partial(place, bits=bits, canvas=CANVAS, overlap=round(1000 * overlap), contrast=round(1000 * contrast))
    shown = put(pictures[chosen][:, None], sizes=(min_size, max_size))
    beside = put(pieces, sizes=(min_size // 2, max_size // 2), around=shown.boxes)
    images = torch.from_numpy(shade(paint((shown, beside), CANVAS))).unsqueeze(1)
    targets, groups = torch.from_numpy(labels), torch.from_numpy(blocks)
    content = content_hash(images, targets, 0, groups=groups)
    return Dataset("digit_scenes", images, targets, 0, whole.class_names, content, groups=groups)
