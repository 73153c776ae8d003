"""Number lines in tables."""

import re

import numpy as np
import pytest

from normbench.report.strip import SIDE, WIDTH, Scale, strip

NONE = np.empty(0)


def test_an_even_scale_places_its_ends_and_its_middle() -> None:
    """And labels round numbers within them."""
    scale = Scale.around([0.0, 10.0])
    assert [scale.place(value) for value in (0, 5, 10)] == [SIDE, WIDTH / 2, WIDTH - SIDE]
    assert scale.ticks == (0.0, 2.5, 5.0, 7.5, 10.0)


def test_a_scale_of_one_value_or_none_is_no_division_by_zero() -> None:
    """The value lies in the middle."""
    assert Scale.around([3.0, np.nan]).place(3.0) == WIDTH / 2
    assert Scale.around([np.inf]).low < Scale.around([np.inf]).high


def test_margins_are_mirrored_and_bent() -> None:
    """Effects from a tenth of a margin to thirty are all told apart; farther ones lie at the end."""
    scale = Scale.in_margins([0.1, 500.0])
    places = [scale.place(value) for value in (-30, -3, -1, 0, 0.1, 1, 3, 30)]
    assert places == sorted(set(places))
    assert places[2] + places[5] == WIDTH
    assert scale.place(500) == scale.place(30)


def test_the_scale_of_margins_is_no_longer_than_needed() -> None:
    """Three margins where no effect is beyond."""
    assert Scale.in_margins([0.5]).high == 3
    assert Scale.in_margins([]).high == 3


@pytest.mark.parametrize(("low", "high", "arrows"), [(-1, 1, 0), (-99, 1, 1), (-np.inf, np.inf, 2)])
def test_an_interval_beyond_the_scale_ends_in_arrows(low: float, high: float, arrows: int) -> None:
    """So that a cut line is not taken for a short one."""
    drawn = strip(Scale.in_margins([1.0]), NONE, 0.0, low, high, "ink", "")
    assert drawn.count('z" fill=') == arrows


def test_an_effect_beyond_the_scale_has_an_arrow_and_no_dot() -> None:
    """Its place is not known here, only its side."""
    drawn = strip(Scale.in_margins([500.0]), NONE, 500.0, 400.0, 600.0, "ink", "")
    assert "<circle" not in drawn and 'z" fill=' in drawn


def test_every_seed_is_a_dot() -> None:
    """Equal ones share one, and what is not finite has none."""
    drawn = strip(Scale.around([0.0, 1.0]), np.array([0.0, 0.5, 0.5, np.nan]), 0.4, 0.2, 0.6, "blue", "")
    assert len(re.findall(r"h0", drawn)) == 2


def test_words_are_escaped() -> None:
    """They come from configs."""
    assert 'aria-label="&quot;&gt;&lt;script&gt;"' in strip(
        Scale.around([0.0]), NONE, np.nan, 0, 0, "ink", '"><script>'
    )
