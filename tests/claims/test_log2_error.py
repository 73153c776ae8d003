import numpy as np
import pandas as pd
import pytest

from normbench.claims.estimands import Contrast, check
from normbench.claims.estimands.log2_error import smallest_count
from normbench.errors import ConfigError, StudyError

from .made_up import BATCH, NONE, Row, batch_minus_none, judged, runs_of, seeds_of

OCTAVES = {"name": "log2_error"}


def of_scores(batch: float, none: float, **more: object) -> Contrast:
    """Return batch minus none of one run each, the column test_accuracy unless a metric is given."""
    column = str(more.get("metric", "test_accuracy"))
    return batch_minus_none([{**BATCH, column: batch}, {**NONE, column: none}], {**OCTAVES, **more})


def test_half_the_errors_is_one_octave() -> None:
    """Two percent of errors against four."""
    assert seeds_of(of_scores(0.98, 0.96)) == {0: 1.0}


@pytest.mark.parametrize("metric", ["test_accuracy_precise", "test_accuracy_batch", "val_accuracy", "test_miou"])
def test_any_share_has_errors(metric: str) -> None:
    """Running, precise and batch statistics, every part, and other metrics of which 1 is perfect."""
    rows: list[Row] = [{**BATCH, metric: 0.75, "chance_miou": 0.1}, {**NONE, metric: 0.5, "chance_miou": 0.1}]
    assert seeds_of(batch_minus_none(rows, {**OCTAVES, "metric": metric})) == {0: 1.0}


@pytest.mark.parametrize("metric", ["test_loss", "test_bleu", "test_r2"])
def test_only_shares_have_errors(metric: str) -> None:
    """What is no share has no share of errors: it is refused before anything is read."""
    with pytest.raises(ConfigError, match=rf"measure.metric: unknown value '{metric}'"):
        check("difference", {"measure": {**OCTAVES, "metric": metric}, "treatment": BATCH, "control": NONE})


def test_a_seed_chooses_as_for_its_score() -> None:
    """The rate is the best on validation, and `by` may name another criterion."""
    rows = runs_of(BATCH, {0: {0.25: 0.9, 0.5: 0.95}}) + runs_of(NONE, {0: {0.25: 0.9, 0.5: 0.8}})
    rows[0]["val_loss"] = rows[2]["val_loss"] = 0.1
    assert seeds_of(batch_minus_none(rows, OCTAVES)) == {0: 1.0}
    assert seeds_of(batch_minus_none(rows, {**OCTAVES, "by": "val_loss"})) == {0: 0.0}


def test_a_diverged_run_has_the_errors_of_chance() -> None:
    """Nine in ten with ten classes, against nine in twenty."""
    rows = [{**BATCH, "test_accuracy": 0.55}, {**NONE, "status": "diverged"}]
    assert seeds_of(batch_minus_none(rows, OCTAVES)) == {0: 1.0}


def test_no_error_counts_as_half_an_error() -> None:
    """One error in 360 is an octave from none; that there are 360 is read from all runs on these data."""
    scores = {"batch": (1.0, 0.975, float(f"{353 / 360:.9g}")), "none": (float(f"{359 / 360:.9g}"), 0.9, 0.8)}
    rows = [
        {"norm": norm, "seed": seed, "test_accuracy": score}
        for norm, own in scores.items()
        for seed, score in enumerate(own)
    ]
    assert seeds_of(batch_minus_none(rows, OCTAVES))[0] == 1.0


def test_the_number_of_samples_may_be_given() -> None:
    """A perfect run of 200 samples is at a quarter of a percent."""
    assert seeds_of(of_scores(1.0, 0.995, samples=200)) == {0: 1.0}


def test_each_data_set_has_its_own_number_of_samples() -> None:
    """Scores in tenths on one data set do not make those of another coarser or finer."""
    rows: list[Row] = [
        {**arm, "data": data, "test_accuracy": score}
        for data, none in (("digits", 0.9), ("wine", 0.95))
        for arm, score in ((BATCH, 1.0), (NONE, none))
    ]
    for data in ("digits", "wine"):
        contrast = judged("difference", rows, measure=OCTAVES, treatment=BATCH, control=NONE, levels=[{"data": data}])
        assert seeds_of(contrast) == {0: 1.0}


def test_a_perfect_score_that_is_no_count_needs_the_samples() -> None:
    """The mean of shares is no multiple of one over anything in reach."""
    rows: list[Row] = [
        {**NONE, "seed": seed, "test_balanced_accuracy": score, "chance_balanced_accuracy": 0.1}
        for seed, score in enumerate(np.random.default_rng(0).random(4).round(9))
    ]
    rows += [{**row, **BATCH, "test_balanced_accuracy": 1.0} for row in rows]
    with pytest.raises(StudyError, match=r"run 0{11}4 has no error in test_balanced_accuracy.*set samples"):
        batch_minus_none(rows, {**OCTAVES, "metric": "test_balanced_accuracy"})


@pytest.mark.parametrize("samples", [1, 7, 360, 10_000, 50_000])
def test_samples_are_found_in_nine_digits(samples: int) -> None:
    """Of a hundred counts of samples as the tables have them."""
    counts = np.random.default_rng(samples).integers(0, samples + 1, 100)
    shares = np.array([float(f"{count / samples:.9g}") for count in (*counts, samples, samples - 1)])
    assert smallest_count(shares) == samples


@pytest.mark.parametrize("value", [0, -3, float("inf"), True, "many"])
def test_a_number_of_samples_is_above_zero(value: object) -> None:
    """It is refused when the claim is read."""
    with pytest.raises(ConfigError, match=r"measure.samples: got "):
        check("difference", {"measure": {**OCTAVES, "samples": value}, "treatment": BATCH, "control": NONE})


def test_errors_in_octaves_have_no_best_value() -> None:
    """There is always half as much; so there is no room to run out of."""
    assert of_scores(1.0, 0.5, samples=100).room is None
    assert isinstance(of_scores(0.9, 0.8).values, pd.Series)
