import numpy as np
import pandas as pd
import pytest

from normbench.claims.estimands import Contrast
from normbench.claims.manipulation import check_manipulation


def of_values(*columns: list[float]) -> Contrast:
    """Return a contrast of these numbers a seed, seeds from 32 on."""
    index = pd.RangeIndex(32, 32 + len(columns[0]), name="seed")
    values = (
        pd.Series(columns[0], index)
        if len(columns) == 1
        else pd.DataFrame(dict(zip("ab", columns, strict=True)), index)
    )
    return Contrast(values, pd.Series(False, index))


def test_a_manipulation_is_shown_by_the_exact_test() -> None:
    """Five seeds above the margin have p = 1/32, four 1/16."""
    five, four = (check_manipulation(of_values([1.0, 2.0, 3.0, 4.0, 5.0][:n]), 0.5) for n in (5, 4))
    assert (five.shown, five.p, five.n_seeds) == (True, 1 / 32, 5)
    assert (four.shown, four.p) == (False, 1 / 16)
    assert five.effect == 3


@pytest.mark.parametrize(("margin", "shown"), [(0.0, True), (2.0, False)])
def test_it_has_to_exceed_the_margin(margin: float, shown: bool) -> None:
    """An effect of about one is more than nothing, and not more than two."""
    values = (1 + np.random.default_rng(0).normal(0, 0.3, 16)).tolist()
    found = check_manipulation(of_values(values), margin)
    assert found.shown == shown and found.ci_low < found.effect < found.ci_high


def test_a_manipulation_the_wrong_way_round_is_not_shown() -> None:
    """The test is one-sided."""
    assert check_manipulation(of_values([-1.0] * 16), 0).p == 1


def test_it_is_judged_on_the_seeds_of_the_cell() -> None:
    """Here the first five of sixteen, by their numbers."""
    contrast = of_values([1.0] * 5 + [-9.0] * 11)
    assert check_manipulation(contrast, 0, range(32, 37)).shown
    assert not check_manipulation(contrast, 0).shown


def test_every_level_has_to_show_it() -> None:
    """The level with the largest p is the one that is told."""
    found = check_manipulation(of_values([1.0] * 8, [1.0] * 4 + [-1.0] * 4), 0)
    assert (found.shown, found.level, found.effect) == (False, "b", 0)
    assert check_manipulation(of_values([1.0] * 8, [2.0] * 8), 0).shown


def test_it_is_told_in_one_line() -> None:
    """What, how much, how sure, of how many seeds, against what."""
    words = check_manipulation(of_values([1.5] * 8), 0.5).words("shift after the noise", "octaves")
    assert words == (
        "manipulation shown: shift after the noise, effect 1.5 [1.5, 1.5] octaves over 8 seeds, p = 0.0039 that it is "
        "at most 0.5"
    )
