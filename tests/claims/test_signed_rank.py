"""The signed-rank machinery against enumeration of every sign pattern, against scipy, and against tables."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from normbench.analysis.intervals import Floats
from normbench.claims.signed_rank import hodges_lehmann, interval, p_values

tied_samples = st.lists(st.integers(-4, 4), min_size=1, max_size=9).map(lambda x: np.array(x, dtype=np.float64))
nulls = st.integers(-10, 10).map(lambda doubled: doubled / 2)


def rank_sums(values: Floats) -> tuple[float, Floats]:
    """Return the sum of the ranks of positive values (Pratt's zeros, mid-ranks), and that of every sign pattern."""
    ranks = stats.rankdata(np.abs(values)) * (values != 0)
    flips = np.array(list(itertools.product([0, 1], repeat=len(values))))
    return float(ranks[values > 0].sum()), flips @ ranks


@given(tied_samples, nulls)
def test_p_values_are_those_of_enumeration(values: Floats, null: float) -> None:
    """With ties and zeros, both p-values are the shares of all 2^n sign patterns that are at least as extreme."""
    above, sums = rank_sums(values - null)
    below, _ = rank_sums(null - values)
    np.testing.assert_array_equal(p_values(values, null), [np.mean(sums >= above), np.mean(sums >= below)])


@given(st.integers(1, 50), st.integers(0, 10_000), st.floats(-1, 1))
def test_p_values_are_scipys_without_ties(n: int, seed: int, null: float) -> None:
    """Without ties and zeros, the p-values are those of `scipy.stats.wilcoxon`."""
    values = np.random.default_rng(seed).normal(size=n)
    expected = [stats.wilcoxon(values - null, alternative=side, method="exact").pvalue for side in ("greater", "less")]
    np.testing.assert_allclose(p_values(values, null), expected, rtol=1e-12)


@given(tied_samples)
def test_the_level_holds_exactly(values: Floats) -> None:
    """Given the absolute values, zeros among them, at most a share p of the sign patterns has a p-value up to p."""
    signs = np.array(list(itertools.product([-1, 1], repeat=len(values))))
    p = p_values(signs * np.abs(values), 0)[0]
    assert all(np.mean(p <= one) <= one for one in np.unique(p))


@given(tied_samples)
def test_p_never_falls_as_the_null_rises(values: Floats) -> None:
    """A null further up is never easier to reject from above: so the level holds for every effect below it."""
    at_most, at_least = p_values(values, np.arange(-40, 41) / 8)
    assert (np.diff(at_most) >= 0).all() and (np.diff(at_least) <= 0).all()


def test_a_margin_that_is_attained_lies_between_its_neighbours() -> None:
    """Where seven of sixteen seeds sit on the margin, they count for neither side, and p lies between both."""
    values = np.array([4, 4, 4, 4, 4, 4, 4, 5, 6, 6, 7, 8, 8, 9, 3, 2]) / 360
    below, at, above = p_values(values, np.array([3.99, 4, 4.01]) / 360)[0]
    assert below < at < above


def test_rounding_breaks_no_tie() -> None:
    """Differences that are equal but for rounding are a tie, and one that should be the margin is a zero."""
    rounded = np.array([0.9 - 0.8, 0.8 - 0.7, 0.6 - 0.7, 0.3 - 0.1])
    assert len(set(np.abs(rounded[:3]))) > 1
    np.testing.assert_array_equal(p_values(rounded, 0), p_values([1, 1, -1, 2], 0))
    np.testing.assert_array_equal(p_values(rounded, 0.2), p_values([1, 1, -1, 2], 2))


@pytest.mark.parametrize("ties", [False, True], ids=["no ties", "ties"])
def test_sixty_four_seeds_are_exact_to_rounding(ties: bool) -> None:
    """The third look has more sign patterns than 64-bit numbers count; whole numbers of any size agree."""
    values = np.random.default_rng(5).normal(0.2, 1, 64)
    values = np.round(values, 1) if ties else values
    doubled = [round(2 * rank) for rank in stats.rankdata(np.abs(values))]
    ways = Counter({0: 1})
    for value, rank in zip(values, doubled, strict=True):
        if value:
            ways = ways + Counter({total + rank: count for total, count in ways.items()})
    above = sum(rank for value, rank in zip(values, doubled, strict=True) if value > 0)
    tail = sum(count for total, count in ways.items() if total >= above)
    assert p_values(values, 0.0)[0] == pytest.approx(tail / ways.total(), rel=1e-12)
    assert p_values(np.arange(1.0, 65), 0.0)[0] == 2.0**-64


def test_small_p_values_are_exact() -> None:
    """The smallest p-value of 32 seeds is 2^-32, and with the smallest rank negative it is twice that."""
    values = np.arange(1.0, 33)
    values[0] = -1
    assert p_values(np.arange(1.0, 33), 0)[0] == 2.0**-32
    assert p_values(values, 0)[0] == 2.0**-31


def test_p_values_are_elementwise() -> None:
    """Samples and nulls broadcast, and each result is that of its own sample and null."""
    samples = np.random.default_rng(0).normal(size=(3, 1, 7)).round(1)
    margins = np.array([-0.5, 0.0, 0.1, 0.5])
    above, below = p_values(samples, margins)
    assert above.shape == below.shape == (3, 4)
    for row, column in itertools.product(range(3), range(4)):
        expected = p_values(samples[row, 0], margins[column])
        np.testing.assert_array_equal([above[row, column], below[row, column]], expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_only_finite_numbers_are_tested(value: float) -> None:
    """An estimand that is not finite is a fault of the estimand."""
    with pytest.raises(AssertionError):
        p_values([0.1, value], 0)


@given(tied_samples)
def test_hodges_lehmann_is_the_median_of_pairs(values: Floats) -> None:
    """The estimate is the median over all pairs, each value paired with itself too."""
    pairs = [(one + other) / 2 for one, other in itertools.combinations_with_replacement(values, 2)]
    assert hodges_lehmann(values) == np.median(pairs)


def test_one_collapse_hardly_moves_the_typical_seed() -> None:
    """The estimate is the typical seed's: a collapse that moves the mean by 6 points moves it by a tenth of a point."""
    clean = np.linspace(0, 0.01, 16)
    collapsed = np.where(np.arange(16) == 8, -0.9, clean)
    assert abs(collapsed.mean() - clean.mean()) > 0.05
    assert abs(hodges_lehmann(collapsed) - hodges_lehmann(clean)) < 0.001


@settings(deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=12), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_interval_is_what_the_tests_do_not_reject(sample: list[int], level: float) -> None:
    """Every null strictly inside the interval is kept by both tests, and every one outside is rejected by one."""
    values = np.array(sample, dtype=np.float64)
    low, high = interval(values, level)
    tried = np.arange(-81, 82, 2) / 16  # between the Walsh averages, which are halves
    above, below = p_values(values, tried)
    kept = (above > (1 - level) / 2) & (below > (1 - level) / 2)
    np.testing.assert_array_equal(kept, (low < tried) & (tried < high))


@pytest.mark.parametrize(("n", "critical"), [(6, 0), (10, 8), (16, 29), (25, 89), (32, 159)])
def test_the_interval_is_the_tables(n: int, critical: int) -> None:
    """Without ties the ends are the Walsh averages after the two-sided 5 % point of the published tables."""
    values = np.random.default_rng(n).normal(size=n)
    pairs = sorted((one + other) / 2 for one, other in itertools.combinations_with_replacement(values, 2))
    np.testing.assert_array_equal(interval(values), [pairs[critical], pairs[-1 - critical]])


def test_five_seeds_exclude_nothing() -> None:
    """Below six seeds no effect is excluded at 95 %."""
    np.testing.assert_array_equal(interval([1.0, 2.0, 3.0, 4.0, 5.0]), [-np.inf, np.inf])


def test_intervals_are_elementwise() -> None:
    """An array of samples gives the interval of each."""
    samples = np.random.default_rng(1).normal(size=(2, 3, 12)).round(1)
    low, high = interval(samples)
    for row, column in itertools.product(range(2), range(3)):
        assert (low[row, column], high[row, column]) == interval(samples[row, column])


def test_equal_seeds_have_a_point_for_an_interval() -> None:
    """Where every seed says the same, nothing else is left."""
    np.testing.assert_array_equal(interval(np.full(16, 0.25)), [0.25, 0.25])


def test_no_end_is_minus_zero() -> None:
    """An end between opposite seeds is written as zero."""
    assert str(interval(np.repeat([-1.0, 1.0], [10, 6]))[1]) == "0.0"
