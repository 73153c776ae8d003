"""Scenes of several real digits among pieces of others, with exact boxes and masks: no files needed."""

from functools import partial
from typing import Any

import numpy as np
import torch

from normbench.data.digit_blocks import BLOCKS, choose
from normbench.data.digits import digits
from normbench.data.exact import draw_below
from normbench.data.fields import fields_hash
from normbench.data.moved import NO_BOX
from normbench.data.pictures import Pictures
from normbench.data.scenes import cut_pieces, enclose, paint, place, refuse_out_of_range, shade, show_classes

CANVAS = 64

INK = 96
"""From this value on, of 255 and before it is weakened, a pixel counts as ink: fainter edges are hardly seen."""


def picture_scenes(
    num_scenes: int,
    min_size: int,
    max_size: int,
    min_digits: int,
    max_digits: int,
    clutter: int,
    overlap: float,
    contrast: float,
    generator_seed: int,
) -> Pictures:
    """Paste scikit-learn's digits into scenes of 64 x 64 pixels, each with its box and its pixels.

    A digit's box is the smallest rectangle around its own ink, also where something stronger covers it. A pixel has the
    class of the digit whose ink is seen there; all else is background: the canvas, the pieces and the faint edges of
    the digits. As in `digit_scenes`, a scene takes all that it shows from one of 50 blocks, a split has whole blocks,
    and the bits are the same on every machine.

    Args:
        num_scenes: Pictures N; with a multiple of 500 all blocks have as many, so that runs can train together.
        min_size: Smallest height and width of a digit in pixels; pieces are half as large.
        max_size: Largest.
        min_digits: Fewest digits in a scene.
        max_digits: Most.
        clutter: Pieces of digits in each scene.
        overlap: Share of a digit that each later digit or piece may cover if there is room; rounded to a thousandth.
        contrast: Weakest digits and pieces, as a share of the strongest; rounded to a thousandth.
        generator_seed: Determines the scenes; the run's seed does not affect them.

    Returns:
        The data set, (N, 1, 64, 64) uint8, with boxes and masks and blocks as groups, without a test part of its own.

    Raises:
        DataError: An argument is out of range.
    """
    whole = digits()
    refuse_out_of_range(
        ("num_scenes", num_scenes, whole.num_classes, None),
        ("min_size", min_size, 8, CANVAS),
        ("max_size", max_size, min_size, CANVAS),
        ("min_digits", min_digits, 0, None),
        ("max_digits", max_digits, max(1, min_digits), None),
        ("clutter", clutter, 0, None),
        ("overlap", overlap, 0, 1),
        ("contrast", contrast, 0.001, 1),
        ("generator_seed", generator_seed, 0, None),
    )
    bits, classes = np.random.PCG64(generator_seed), whole.labels.numpy()
    blocks = np.arange(num_scenes) // whole.num_classes % BLOCKS
    first, others = choose(classes, np.arange(num_scenes) % whole.num_classes, blocks, max_digits - 1 + clutter, bits)
    chosen = np.column_stack((first, others[:, : max_digits - 1]))
    pictures = whole.images[:, 0].numpy().astype(np.int64) * 255 // 16
    pieces = cut_pieces(pictures, others[:, max_digits - 1 :], bits)
    counts = min_digits + draw_below(bits, max_digits - min_digits + 1, num_scenes)
    absent = np.arange(max_digits) >= counts[:, None]
    put = partial(place, bits=bits, canvas=CANVAS, overlap=round(1000 * overlap), contrast=round(1000 * contrast))
    shown = put(pictures[chosen], sizes=(min_size, max_size))
    boxes = enclose(shown, INK)
    # An absent digit has no ink, and keeps no piece away: it lies where the first one is.
    shown.inks[absent] = 0
    shown.boxes[absent] = np.broadcast_to(shown.boxes[:, :1], shown.boxes.shape)[absent]
    beside = put(pieces, sizes=(min_size // 2, max_size // 2), around=shown.boxes)
    layers, of_layers = (shown, beside), (classes[chosen] + 1, np.zeros(pieces.shape[:2], np.int64))
    boxes[absent] = 0
    tensors: dict[str, Any] = {
        "images": torch.from_numpy(shade(paint(layers, CANVAS))).unsqueeze(1),
        "boxes": torch.from_numpy(boxes).float(),
        "box_labels": torch.from_numpy(np.where(absent, NO_BOX, classes[chosen])),
        "box_ignored": torch.zeros(num_scenes, max_digits, dtype=torch.bool),
        "masks": torch.from_numpy(show_classes(layers, of_layers, CANVAS, INK)),
        "groups": torch.from_numpy(blocks),
    }
    return Pictures(
        "picture_scenes",
        num_test=0,
        content=fields_hash(tensors, 0),
        class_names=whole.class_names,
        mask_names=("background", *whole.class_names),
        **tensors,
    )
