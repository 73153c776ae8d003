import math

import pytest

from normbench.data.boxes import Corners, fault, inside

SIZE = (40, 30)


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ((0, 0, 40, 30), ""),
        ((-1, -1, 41, 31), ""),
        ((-1.5, 0, 4, 4), "outside the picture"),
        ((0, 0, 4, 31.5), "outside the picture"),
        ((-1, 0, 0, 4), "outside the picture"),
        ((40, 0, 41, 4), "outside the picture"),
        ((5, 5, 4, 9), "with corners in the wrong order"),
        ((5, 9, 6, 5), "with corners in the wrong order"),
        ((5, 5, 5, 9), "without area"),
        ((5, 5, 9, 5), "without area"),
        ((math.nan, 5, 9, 9), "whose corners are no numbers"),
        ((0, 0, math.inf, 9), "whose corners are no numbers"),
    ],
    ids=str,
)
def test_faults_are_found(corners: Corners, expected: str) -> None:
    """A pixel outside is none, because programs count pixels from 0 or from 1."""
    assert fault(corners, SIZE) == expected


@pytest.mark.parametrize(
    ("corners", "whole", "fractional"),
    [
        ((-1, -0.5, 41, 30.5), (0, 0, 40, 30), (0, 0, 40, 30)),
        ((0.5, 1.5, 2.5, 3.5), (0, 2, 2, 4), (0.5, 1.5, 2.5, 3.5)),
        ((4.1, 5.2, 4.3, 5.3), (4, 5, 5, 6), (4.1, 5.2, 4.3, 5.3)),
        ((-0.6, -0.6, 0.4, 0.4), (0, 0, 1, 1), (0, 0, 0.4, 0.4)),
        ((39.7, 29.7, 39.9, 29.9), (39, 29, 40, 30), (39.7, 29.7, 39.9, 29.9)),
    ],
    ids=["clipped", "halves to even", "one pixel is left", "across a corner", "at the edge"],
)
def test_boxes_are_fitted_into_the_picture(corners: Corners, whole: Corners, fractional: Corners) -> None:
    """Whole pixels are rounded as VOC files have them, and a box keeps an area."""
    assert inside(corners, SIZE, True) == whole
    assert inside(corners, SIZE, False) == fractional
