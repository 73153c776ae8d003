from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from normbench.data.exact import enlarge
from normbench.data.scenes import Layer, enclose, paint, place, show_classes

CANVAS = 32


def placed(count: int = 3, *, around: NDArray[np.int64] | None = None, **changes: Any) -> Layer:
    """Return `count` random pictures of 4 x 4 in each of 200 scenes."""
    pictures = np.random.default_rng(0).integers(0, 256, (200, count, 4, 4))
    dials: dict[str, Any] = {"sizes": (6, 9), "overlap": 0, "contrast": 500, **changes}
    return place(pictures, bits=np.random.PCG64(1), canvas=CANVAS, around=around, **dials)


def cover(box: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Return the share of a box that another covers, counted pixel by pixel."""
    marks = np.zeros((2, CANVAS, CANVAS), bool)
    for mark, (top, left, size) in zip(marks, (box, other), strict=True):
        mark[top : top + size, left : left + size] = True
    return float((marks[0] & marks[1]).sum() / marks[0].sum())


def test_boxes_are_inside_the_canvas_and_everywhere() -> None:
    """Every size is drawn, and every place that has room for it."""
    boxes = placed().boxes
    assert set(boxes[..., 2].flatten()) == {6, 7, 8, 9}
    assert boxes[..., :2].min() == 0
    assert (boxes[..., :2] + boxes[..., 2:]).max() == CANVAS


@pytest.mark.parametrize("overlap", [0, 250])
def test_pictures_cover_no_more_of_earlier_ones_than_allowed(overlap: int) -> None:
    """Where there is room enough, and up to the limit they do."""
    boxes = placed(overlap=overlap).boxes
    found = [cover(scene[i], scene[j]) for scene in boxes for j in range(3) for i in range(j)]
    assert (1000 * max(found)) // 1 <= overlap
    assert overlap == 0 or max(found) > 0.15


def test_pictures_keep_clear_of_given_boxes_alone() -> None:
    """A second layer leaves the first visible, and may cover itself."""
    first = placed(1)
    second = placed(12, around=first.boxes)
    pairs = zip(first.boxes, second.boxes, strict=True)
    assert not any(cover(shown, box) for (shown,), boxes in pairs for box in boxes)
    assert any(cover(boxes[0], boxes[1]) > 0.5 for boxes in second.boxes)


def test_without_room_the_least_is_covered() -> None:
    """A picture as large as the canvas is covered, but scenes are made all the same."""
    whole = np.tile(np.array([0, 0, CANVAS]), (200, 1, 1))
    assert placed(around=whole).boxes.shape == (200, 3, 3)


def test_inks_are_from_the_weakest_to_the_strongest() -> None:
    """In thousandths; at a contrast of one all are the strongest."""
    inks = placed(contrast=500).inks
    assert 500 <= inks.min() < 510 and 990 < inks.max() <= 1000
    assert (placed(contrast=1000).inks == 1000).all()


def test_paint_is_the_loop_over_pictures() -> None:
    """One picture after the other, the stronger value where they overlap."""
    layers = placed(overlap=1000), placed(overlap=1000, sizes=(12, 14))
    expected = np.zeros((200, CANVAS, CANVAS), np.int64)
    for layer in layers:
        for scene, pictures, boxes, inks in zip(expected, layer.pictures, layer.boxes, layer.inks, strict=True):
            for picture, (top, left, size), ink in zip(pictures, boxes, inks, strict=True):
                window = scene[top : top + size, left : left + size]
                np.maximum(window, enlarge(picture[None], size)[0] * ink // 1000, out=window)
    np.testing.assert_array_equal(paint(layers, CANVAS), expected)


def test_classes_are_those_of_the_loop_over_pictures() -> None:
    """One picture after the other, the class of the stronger value, and of none where it is too faint."""
    layers = placed(overlap=1000), placed(overlap=1000, sizes=(12, 14))
    classes = [np.random.default_rng(2).integers(1, 9, (200, 3)), np.zeros((200, 3), np.int64)]
    strongest, expected = np.zeros((2, 200, CANVAS, CANVAS), np.int64)
    for layer, own in zip(layers, classes, strict=True):
        for scene in range(200):
            for item in range(3):
                top, left, size = layer.boxes[scene, item]
                grid = enlarge(layer.pictures[scene, item][None], size)[0]
                window = scene, slice(top, top + size), slice(left, left + size)
                stronger = grid * layer.inks[scene, item] // 1000 > strongest[window]
                expected[window][stronger] = (own[scene, item] * (grid >= 100))[stronger]
                strongest[window] = np.maximum(strongest[window], grid * layer.inks[scene, item] // 1000)
    shown = show_classes(layers, classes, CANVAS, 100)
    ties = shown != expected  # equally strong: sizes are painted one after the other
    assert ties.mean() < 0.005 and shown.max() == 8


def test_boxes_enclose_what_reaches_the_value() -> None:
    """Column first, and each ends behind the last pixel."""
    layer = placed()
    for scene, boxes in enumerate(enclose(layer, 150)):
        for item, box in enumerate(boxes):
            top, left, size = layer.boxes[scene, item]
            rows, columns = np.nonzero(enlarge(layer.pictures[scene, item][None], size)[0] >= 150)
            assert box.tolist() == [
                *(left + columns.min(), top + rows.min()),
                *(left + columns.max() + 1, top + rows.max() + 1),
            ]
