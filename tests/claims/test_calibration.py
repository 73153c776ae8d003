"""The judge is judged: its error rates where the truth is known, and a judge that is wrong is found out."""

import numpy as np
import pytest

from normbench.claims import calibration
from normbench.claims.calibration import POWERS, Rate, compare_with_itself, simulate


@pytest.fixture(scope="module")
def simulated() -> list[Rate]:
    return simulate(100, 25)


def test_false_verdicts_stay_below_five_percent_of_families(simulated: list[Rate]) -> None:
    """On cells and on claims of two, in every scenario and noise: 100 families, within the error of the simulation."""
    rates = [rate for rate in simulated if rate.bound is not None]
    assert len(rates) == 3 * 5 * len(calibration.NOISES)
    assert [rate for rate in rates if not rate.held] == []


def test_claims_of_two_cells_are_seldom_falsely_supported(simulated: list[Rate]) -> None:
    """Where the effect is beyond the margin in one cell and at it in the other, no verdict on both is true."""
    apart = [rate for rate in simulated if "one cell of two" in rate.scenario and "claim of two cells" in rate.counted]
    assert {rate.counted.rpartition(" ")[2] for rate in apart} == {"supported", "refuted", "depends"}
    assert all(rate.hits == 0 for rate in apart if rate.counted.endswith("refuted"))
    assert 0 < sum(rate.hits for rate in apart) < 0.1 * sum(rate.trials for rate in apart)


def power(rates: list[Rate], seeds: int, noise: str = "normal") -> list[float]:
    return [rate.share for rate in rates if rate.beyond and (rate.seeds, rate.noise) == (seeds, noise)]


def test_power_grows_with_the_effect(simulated: list[Rate]) -> None:
    """From next to nothing to next to one, in two looks and in three; the third look finds more."""
    two, three = power(simulated, 32), power(simulated, 64)
    for found in (two, three):
        assert len(found) == len(POWERS)
        assert found == sorted(found)
        assert found[0] < 0.3
        assert found[-1] > 0.99
    assert three[1] > two[1] + 0.2


def test_a_claim_of_two_cells_needs_both(simulated: list[Rate]) -> None:
    """It is supported more seldom than a cell, and about as often as two that know nothing of each other."""
    half = "effect 0.5 deviations beyond the margin, at most 64 seeds"
    cell, claim = (rate.share for rate in simulated if rate.scenario == half and rate.noise == "normal")
    assert 0.5 * cell**2 < claim < cell
    assert {rate.seeds for rate in simulated if "at most 32 seeds" in rate.scenario} == {32}


def test_an_arm_is_no_better_than_itself() -> None:
    """At most 5 % of families of real-looking seeds hold a verdict."""
    scores = 95 + np.random.default_rng(1).normal(size=400)
    assert [rate.held for rate in compare_with_itself(scores, 400)] == [True, True]


def test_a_judge_that_forgets_the_other_claims_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Holm far more families than promised hold a false verdict."""
    monkeypatch.setattr(calibration, "holm", lambda p: p)
    assert not all(rate.held for rate in simulate(100, 25) if rate.bound is not None)
