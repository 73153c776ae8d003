"""Tests of rates at equal distances on a logarithmic scale."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normbench.config.logspace import logspace


@given(start=st.floats(-8, 8), stop=st.floats(-8, 8), count=st.integers(1, 30))
def test_values_are_those_of_numpy(start: float, stop: float, count: int) -> None:
    """To the nine digits that they are rounded to."""
    expected = [float(value) for value in np.logspace(start, stop, count)]
    assert logspace(start, stop, count).list == pytest.approx(expected, rel=6e-9)


@given(start=st.integers(-12, 12), decades=st.integers(0, 8), each=st.integers(1, 4))
def test_powers_of_ten_are_exact(start: int, decades: int, each: int) -> None:
    """1e-3 is the 0.001 that a user types, so that both are one run."""
    values = logspace(start, start + decades, decades * each + 1).list
    assert values[::each] == [float(f"1e{start + decade}") for decade in range(decades + 1)]


@given(start=st.floats(-8, 8), stop=st.floats(-8, 8), count=st.integers(1, 30))
def test_values_have_nine_digits(start: float, stop: float, count: int) -> None:
    """As many as a table holds, so that a rate read from a table is the rate that was trained."""
    values = logspace(start, stop, count).list
    assert values == [float(f"{value:.9g}") for value in values]
