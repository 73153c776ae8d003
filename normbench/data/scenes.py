"""Composes scenes: small pictures pasted on a canvas at random places, in random sizes and inks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from normbench.data.exact import draw_below, enlarge
from normbench.errors import DataError

BACKGROUND = 64
"""Grey value of the canvas; the strongest ink is 255."""

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
        for pasted in _paste(layer):
            scenes[pasted.where] = np.maximum(scenes[pasted.where], pasted.values)
    return scenes


def show_classes(
    layers: Sequence[Layer], classes: Sequence[NDArray[np.int64]], canvas: int, least: int
) -> NDArray[np.uint8]:
    """Return the class of the picture that `paint` shows at each pixel.

    Args:
        layers: Layers of N scenes each.
        classes: (N, M) class of each picture, for each layer.
        canvas: Height and width of a scene in pixels.
        least: From this value on, of 255 and before its ink, a picture counts as seen.

    Returns:
        (N, canvas, canvas): 0 where no picture counts as seen; of equally strong ones the earlier.
    """
    strongest = np.zeros((len(layers[0].boxes), canvas, canvas), np.uint8)
    shown = np.zeros_like(strongest)
    for layer, own in zip(layers, classes, strict=True):
        for pasted in _paste(layer):
            stronger = pasted.values > strongest[pasted.where]
            here = np.where(pasted.grids >= least, own[pasted.scenes, pasted.item, None, None], 0)
            shown[pasted.where] = np.where(stronger, here, shown[pasted.where])
            strongest[pasted.where] = np.maximum(strongest[pasted.where], pasted.values)
    return shown


def enclose(layer: Layer, least: int) -> NDArray[np.int64]:
    """Return the smallest boxes around the pixels of the pictures that reach a value.

    Args:
        layer: Pictures, each of which reaches it somewhere.
        least: The value, of 255 and before its ink.

    Returns:
        (N, M, 4) x1 y1 x2 y2 in pixels of the scene; x2 and y2 are where the box ends.
    """
    boxes = np.empty((*layer.inks.shape, 4), np.int64)
    for pasted in _paste(layer):
        reached = pasted.grids >= least
        top_left = layer.boxes[pasted.scenes, pasted.item, :2]
        for corner, along in ((0, 1), (1, 2)):  # x along the rows of a picture, y along its columns
            hits = np.asarray(reached.any(axis=along))
            low, end = hits.argmax(axis=1), hits.shape[1] - hits[:, ::-1].argmax(axis=1)
            start = top_left[:, 1 - corner]
            boxes[pasted.scenes, pasted.item, corner] = start + low
            boxes[pasted.scenes, pasted.item, corner + 2] = start + end
    return boxes


class _Pasted(NamedTuple):
    """One picture in each of some scenes, all of the same size S.

    Attributes:
        scenes: (K,) the scenes.
        item: Number of the picture in its layer.
        where: Index of its pixels in an array (N, canvas, canvas).
        grids: (K, S, S) the pictures, enlarged.
        values: (K, S, S) uint8, weakened by their inks.
    """

    scenes: NDArray[np.int64]
    item: int
    where: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    grids: NDArray[np.int64]
    values: NDArray[np.uint8]


def _paste(layer: Layer) -> Iterator[_Pasted]:
    for size in np.unique(layer.boxes[..., 2]):
        # One picture of each scene at a time: two could share pixels.
        for item in range(layer.boxes.shape[1]):
            (here,) = np.nonzero(layer.boxes[:, item, 2] == size)
            ink = layer.inks[here, item, None, None]
            grids = enlarge(layer.pictures[here, item], int(size))
            rows, columns = (layer.boxes[here, item, axis, None] + np.arange(size) for axis in (0, 1))
            where = here[:, None, None], rows[:, :, None], columns[:, None, :]
            yield _Pasted(here, item, where, grids, (grids * ink // 1000).astype(np.uint8))


def cut_pieces(pictures: NDArray[np.int64], chosen: NDArray[np.int64], bits: np.random.PCG64) -> NDArray[np.int64]:
    """Cut a window of 4 x 4 of the 8 x 8 pixels out of each chosen picture, at a random place.

    Args:
        pictures: (D, 8, 8).
        chosen: (N, P) numbers of pictures.
        bits: The generator.

    Returns:
        (N, P, 4, 4).
    """
    corners = draw_below(bits, 5, *chosen.shape, 2)[..., None] + np.arange(4)
    pieces: NDArray[np.int64] = pictures[chosen[..., None, None], corners[..., 0, :, None], corners[..., 1, None, :]]
    return pieces


def shade(strengths: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return grey values of painted scenes, from `BACKGROUND` where nothing is to 255."""
    shades = BACKGROUND + np.arange(256) * (255 - BACKGROUND) // 255
    return shades.astype(np.uint8)[strengths]


def refuse_out_of_range(*arguments: tuple[str, float, float, float | None]) -> None:
    """Raise if an argument of a data set of scenes is out of range.

    Args:
        arguments: Key, value, least value, and greatest value or None.

    Raises:
        DataError: With the key and the range.
    """
    for key, value, low, high in arguments:
        if value < low or (high is not None and value > high):
            most = "" if high is None else f" and at most {high}"
            raise DataError(f"data.{key} must be at least {low}{most}, got {value}")


def _covered(boxes: NDArray[np.int64], tries: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the largest share of any of the boxes (N, K, 3) that each try (N, T, 3) covers, (N, T) in thousandths."""
    box, place = boxes[:, None], tries[:, :, None]
    ends = np.minimum(box[..., :2] + box[..., 2:], place[..., :2] + place[..., 2:])
    common = np.maximum(ends - np.maximum(box[..., :2], place[..., :2]), 0)
    shares: NDArray[np.int64] = 1000 * common.prod(axis=-1) // box[..., 2] ** 2
    return np.asarray(shares.max(axis=-1, initial=0))
