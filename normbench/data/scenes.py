"""Composes scenes: small pictures pasted on a canvas at random places, in random sizes and inks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normbench.data.exact import draw_below, enlarge

TRIES = 16
"""Random places for a picture: the first that covers little enough is taken, or else the one that covers least."""


@dataclass(frozen=True)
class Layer:
    """M pictures in each of N scenes.

    Attributes:
        pictures: (N, M, G, G) int64, 0 to 255: the pictures before they are enlarged.
        boxes: (N, M, 3) int64: first row, first column, and height and width in the scene, in pixels.
        inks: (N, M) int64: the strength of each picture in thousandths.
    """

    pictures: NDArray[np.int64]
    boxes: NDArray[np.int64]
    inks: NDArray[np.int64]


def place(
    pictures: NDArray[np.int64],
    *,
    sizes: tuple[int, int],
    bits: np.random.PCG64,
    canvas: int,
    overlap: int,
    contrast: int,
    around: NDArray[np.int64] | None = None,
) -> Layer:
    """Draw a size, a place and an ink for each picture, all uniformly.

    Args:
        pictures: (N, M, G, G), 0 to 255: the pictures of each scene.
        sizes: Smallest and largest height and width of a picture in the scene, in pixels.
        bits: The generator.
        canvas: Height and width of a scene in pixels.
        overlap: Share of a box that a later picture may cover, in thousandths.
        contrast: Weakest ink, in thousandths of the strongest.
        around: (N, K, 3) boxes that have to stay visible; None for those of the earlier pictures.

    Returns:
        The pictures with their boxes and inks.
    """
    scenes, count = pictures.shape[:2]
    inks = contrast + draw_below(bits, 1001 - contrast, scenes, count)
    boxes = np.empty((scenes, count, 3), np.int64)
    boxes[..., 2] = sizes[0] + draw_below(bits, sizes[1] - sizes[0] + 1, scenes, count)
    for item in range(count):
        tries = np.repeat(boxes[:, item, None], TRIES, axis=1)
        tries[..., :2] = draw_below(bits, canvas + 1 - tries[..., 2:], scenes, TRIES, 2)
        covered = _covered(boxes[:, :item] if around is None else around, tries)
        first = np.maximum(covered, overlap).argmin(axis=1)
        boxes[:, item] = tries[np.arange(scenes), first]
    return Layer(pictures, boxes, inks)


def paint(layers: Sequence[Layer], canvas: int) -> NDArray[np.uint8]:
    """Paint layers into scenes; where pictures overlap, the stronger value is seen.

    Args:
        layers: Layers of N scenes each.
        canvas: Height and width of a scene in pixels.

    Returns:
        (N, canvas, canvas): 0 where nothing is, 255 for the strongest.
    """
    scenes = np.zeros((len(layers[0].boxes), canvas, canvas), np.uint8)
    for layer in layers:
        for size in np.unique(layer.boxes[..., 2]):
            # One picture of each scene at a time: two could share pixels.
            for item in range(layer.boxes.shape[1]):
                (here,) = np.nonzero(layer.boxes[:, item, 2] == size)
                ink = layer.inks[here, item, None, None]
                values = (enlarge(layer.pictures[here, item], int(size)) * ink // 1000).astype(np.uint8)
                rows, columns = (layer.boxes[here, item, axis, None] + np.arange(size) for axis in (0, 1))
                where = here[:, None, None], rows[:, :, None], columns[:, None, :]
                scenes[where] = np.maximum(scenes[where], values)
    return scenes


def _covered(boxes: NDArray[np.int64], tries: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the largest share of any of the boxes (N, K, 3) that each try (N, T, 3) covers, (N, T) in thousandths."""
    box, place = boxes[:, None], tries[:, :, None]
    ends = np.minimum(box[..., :2] + box[..., 2:], place[..., :2] + place[..., 2:])
    common = np.maximum(ends - np.maximum(box[..., :2], place[..., :2]), 0)
    shares: NDArray[np.int64] = 1000 * common.prod(axis=-1) // box[..., 2] ** 2
    return np.asarray(shares.max(axis=-1, initial=0))
