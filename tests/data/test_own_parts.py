"""Parts that are the same in every run."""

import numpy as np
import pytest

from normbench.data.own_parts import TEST, TRAIN, VAL, by_part, complete, copies
from normbench.errors import DataError


def draw(given: list[int], classes: list[int], seed: int = 0, share: float = 0.2) -> list[int]:
    values = np.array(given), np.array(classes)
    parts = complete(*values, val_fraction=share, test_fraction=share, seed=seed, name="x")
    return [int(part) for part in parts]


def test_parts_are_drawn_in_proportion_to_the_classes() -> None:
    """Another seed draws others, the same seed the same."""
    classes = [0] * 50 + [1] * 30 + [2] * 20
    parts = np.array(draw([TRAIN] * 100, classes))
    for part, counts in ((TEST, [10, 6, 4]), (VAL, [10, 6, 4]), (TRAIN, [30, 18, 12])):
        assert np.bincount(np.array(classes)[parts == part]).tolist() == counts
    assert draw([TRAIN] * 100, classes) == parts.tolist()
    assert draw([TRAIN] * 100, classes, seed=1) != parts.tolist()


def test_given_parts_stay() -> None:
    """A missing one is drawn from the training samples alone."""
    given = [TRAIN] * 10 + [TEST] * 10
    parts = draw(given, [0] * 20)
    assert parts[10:] == [TEST] * 10
    assert sorted(parts[:10]) == [TRAIN] * 8 + [VAL] * 2
    whole = [TRAIN, VAL, TEST, TRAIN]
    assert draw(whole, [0] * 4) == whole


def test_samples_in_the_order_of_their_parts() -> None:
    """And of their places within a part."""
    counts, order = by_part(np.array([TEST, TRAIN, VAL, TRAIN]))
    assert (counts, order.tolist()) == ((2, 1, 1), [1, 3, 2, 0])


def test_copies_are_counted() -> None:
    """Those of the training part behind it."""
    assert copies(["a", "b", "a", "a", "c", "b", "c"], 3) == 2


def test_an_empty_part_is_refused() -> None:
    """The counts are given."""
    with pytest.raises(DataError, match=r"x: each part needs a sample, got train 2, val 0, test 0; see data\.val_"):
        draw([TRAIN] * 2, [0] * 2)
