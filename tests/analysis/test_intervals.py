import statistics
import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from normbench.analysis.intervals import clopper_pearson, moments, t_interval


def exact_moments(values: list[float]) -> tuple[float, float, float]:
    """Return number, mean and variance in rational arithmetic, rounded at the end alone."""
    n = len(values)
    if not n or not np.isfinite(values).all():
        return n, sum(values) / n if n else np.nan, np.nan
    return n, statistics.mean(values), statistics.variance(values) if n > 1 else np.nan


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, -np.inf])), max_size=40
    )
)
@example([(0, 349525.734375), (0, 349525.734375), (0, 349525.75)])
def test_moments_are_exact(rows: list[tuple[int, float]]) -> None:
    """Number, mean and variance of each group, without a warning, and NaN where a group has too few values.

    Where values differ by less than a float64 of their size can tell, the variance is zero up to that, squared. Pandas
    is no oracle here: its variance of the example is off by 2e-9 of itself.
    """
    groups = np.array([group for group, _ in rows], dtype=np.int64)
    values = np.array([value for _, value in rows], dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = np.column_stack(moments(values, groups, 5))
    expected = [exact_moments([v for g, v in rows if g == group and not np.isnan(v)]) for group in range(5)]
    size = max((abs(value) for value in values if np.isfinite(value)), default=0.0)
    rounding = np.finfo(np.float64).eps * size
    np.testing.assert_allclose(found[:, :2], [row[:2] for row in expected], rtol=1e-12, atol=8 * rounding)
    np.testing.assert_allclose(found[:, 2], [row[2] for row in expected], rtol=1e-9, atol=(8 * rounding) ** 2)


@given(
    mean=st.floats(-1e3, 1e3), sd=st.floats(1e-3, 1e3), n=st.integers(2, 1000), level=st.sampled_from([0.5, 0.95, 0.99])
)
def test_t_interval_is_scipys(mean: float, sd: float, n: int, level: float) -> None:
    """The t interval is that of `scipy.stats.t`."""
    expected = stats.t.interval(level, n - 1, loc=mean, scale=sd / np.sqrt(n))
    np.testing.assert_allclose(t_interval(mean, sd, n, level), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [0, 1])
def test_t_interval_needs_two_values(n: int) -> None:
    """Fewer than two values have no interval, whatever stands in for their spread."""
    assert np.isnan(t_interval(0.5, 0.1, n)).all()


def test_t_interval_is_elementwise() -> None:
    """Arrays give the intervals of their elements."""
    low, high = t_interval([1.0, 2.0], [0.5, 0.25], [4, 1])
    assert (low[0], high[0]) == t_interval(1.0, 0.5, 4)
    assert np.isnan([low[1], high[1]]).all()


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_clopper_pearson_is_scipys(case: tuple[int, int]) -> None:
    """The exact interval is that of `scipy.stats.binomtest`."""
    expected = stats.binomtest(*case).proportion_ci(0.95, method="exact")
    np.testing.assert_allclose(clopper_pearson(*case), expected, rtol=1e-9, atol=1e-12)


def test_clopper_pearson_of_nothing() -> None:
    """No trial excludes nothing."""
    np.testing.assert_array_equal(clopper_pearson(0, 0), [0.0, 1.0])


def test_twelve_clean_seeds_leave_a_quarter_open() -> None:
    """Twelve seeds without a collapse cannot exclude a rate of 26 %."""
    assert clopper_pearson(0, 12)[1] == pytest.approx(0.2646, abs=1e-4)


def test_intervals_warn_of_nothing_at_the_ends() -> None:
    """Proportions of 0 and 1 are computed without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = clopper_pearson(np.array([0, 5]), np.array([5, 5]))
    assert (low[0], high[1]) == (0.0, 1.0)
