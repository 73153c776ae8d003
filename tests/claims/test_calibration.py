"""The judge is judged: its error rates where the truth is known, and a judge that is wrong is found out."""

import numpy as np
import pytest

from normbench.claims import calibration
from normbench.claims.calibration import POWERS, Rate, compare_with_itself, simulate


@pytest.fixture(scope="module")
def simulated() -> list[Rate]:
    return simulate(100, 25)


def test_false_verdicts_stay_below_five_percent_of_families(simulated: list[Rate]) -> None:
    """At the margin and at zero, for every noise: 100 families of 25 claims, within the error of the simulation."""
    rates = [rate for rate in simulated if rate.bound is not None]
    assert len(rates) == 4 * len(calibration.NOISES)
    assert [rate for rate in rates if not rate.held] == []


def test_power_grows_with_the_effect(simulated: list[Rate]) -> None:
    """From next to nothing to next to one."""
    power = [rate.share for rate in simulated if rate.counted == "claims supported" and rate.noise == "normal"]
    assert len(power) == len(POWERS)
    assert power == sorted(power)
    assert power[0] < 0.3
    assert power[-1] > 0.99


def test_an_arm_is_no_better_than_itself() -> None:
    """At most 5 % of families of real-looking seeds hold a verdict."""
    scores = 95 + np.random.default_rng(1).normal(size=400)
    assert [rate.held for rate in compare_with_itself(scores, 400)] == [True, True]


def test_a_judge_that_forgets_the_other_claims_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Holm far more families than promised hold a false verdict."""
    monkeypatch.setattr(calibration, "holm", lambda p: p)
    assert not all(rate.held for rate in simulate(100, 25) if rate.bound is not None)
