import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from normbench.claims.estimands import MEASURES, REGISTRY, Contrast, Edge, MissingCells, check, evaluate
from normbench.claims.estimands.records import is_trained
from normbench.errors import ConfigError, StudyError

from .made_up import (
    BATCH,
    NONE,
    SCORE,
    Row,
    batch_minus_none,
    curves_table,
    judged,
    runs_of,
    seeds_of,
    table,
)


def test_each_seed_is_scored_where_its_own_validation_set_points() -> None:
    """The choice is a seed's own, the test accuracy has no say in it, and the difference is in points."""
    rows = [
        {**BATCH, "seed": 0, "lr": 0.25, "val_accuracy": 0.9, "test_accuracy": 0.8},
        {**BATCH, "seed": 0, "lr": 0.5, "val_accuracy": 0.8, "test_accuracy": 0.99},
        {**BATCH, "seed": 1, "lr": 0.25, "val_accuracy": 0.7, "test_accuracy": 0.6},
        {**BATCH, "seed": 1, "lr": 0.5, "val_accuracy": 0.9, "test_accuracy": 0.95},
        *runs_of(NONE, {0: {0.25: 0.5, 0.5: 0.6}, 1: {0.25: 0.7, 0.5: 0.6}}),
    ]
    assert seeds_of(batch_minus_none(rows, SCORE)) == {0: 20.0, 1: 25.0}


def test_ties_take_the_lowest_rate() -> None:
    """Of equal validation accuracies the lower rate's test score counts."""
    rows = [
        {**BATCH, "lr": 0.5, "val_accuracy": 0.9, "test_accuracy": 0.7},
        {**BATCH, "lr": 0.25, "val_accuracy": 0.9, "test_accuracy": 0.8},
        *runs_of(NONE, {0: {0.25: 0.5, 0.5: 0.5}}),
    ]
    assert seeds_of(batch_minus_none(rows, SCORE)) == {0: 30.0}


@pytest.mark.parametrize(
    "lost",
    [{"status": "diverged", "val_accuracy": None, "test_accuracy": None}, {"test_loss": None, "test_accuracy": None}],
    ids=["diverged", "finished with NaN"],
)
def test_a_diverged_run_is_chance_and_collapsed(lost: Row) -> None:
    """An arm with nothing but a diverged run scores one in ten; a NaN is no gap but a divergence."""
    rows = [{**BATCH, "test_accuracy": 0.9}, {**NONE, **lost}]
    contrast = batch_minus_none(rows, SCORE)
    assert seeds_of(contrast) == {0: 80.0}
    assert contrast.collapsed.to_dict() == {0: True}


def test_a_score_that_is_not_a_number_is_chance() -> None:
    """A run may be fit for all but its precise statistics."""
    rows = [{**BATCH, "test_accuracy_precise": 0.9}, NONE]
    contrast = batch_minus_none(rows, {"name": "tuned_score", "metric": "test_accuracy_precise"})
    assert seeds_of(contrast) == {0: 80.0}
    assert contrast.collapsed.to_dict() == {0: False}


def test_losses_of_diverged_runs_are_chance() -> None:
    """A diverged run's loss is ln 10."""
    rows = [{**BATCH, "test_loss": 0.25}, {**NONE, "status": "diverged"}]
    contrast = batch_minus_none(rows, {"name": "tuned_score", "metric": "test_loss"})
    assert seeds_of(contrast) == {0: pytest.approx(0.25 - np.log(10), abs=1e-6)}


@pytest.mark.parametrize(("accuracy", "collapsed"), [(0.55, True), (0.56, False)])
def test_collapsed_is_at_most_halfway_from_chance_to_one(accuracy: float, collapsed: bool) -> None:
    """With ten classes halfway is 0.55, of the training accuracy; a single arm is enough."""
    rows = [{**BATCH, "train_accuracy": accuracy}, NONE]
    assert batch_minus_none(rows, SCORE).collapsed.to_dict() == {0: collapsed}


@pytest.mark.parametrize(("change", "collapsed"), [({}, False), ({"status": "diverged"}, True)])
def test_a_single_step_trains_nothing(change: Row, collapsed: bool) -> None:
    """Gradients at the start come from a run that had no chance to train: only divergence is a collapse."""
    rows = [{**BATCH, "steps": 1, "train_accuracy": 0.1, **change}, {**NONE, "steps": 1}]
    assert batch_minus_none(rows, SCORE).collapsed.to_dict() == {0: collapsed}


def test_equal_differences_of_nine_digits_are_ties() -> None:
    """Shares of 360 samples as the tables have them: equal differences are ties, and next to none is 0, not -0."""
    rows = [
        row
        for norm, samples in (("batch", (132, 133, 134)), ("none", (131, 132, 134.0000003)))
        for row in runs_of(
            {"norm": norm}, {seed: {0.5: float(f"{hits / 360:.9g}")} for seed, hits in enumerate(samples)}
        )
    ]
    # As they are: `seeds_of` rounds.
    values = batch_minus_none(rows, {"name": "tuned_score"}).values.to_numpy()
    assert values[0] == values[1] == pytest.approx(100 / 360, abs=1e-6)
    assert math.copysign(1, values[2]) == 1 and values[2] == 0


def test_edges_name_arm_end_and_number_of_seeds() -> None:
    """An optimum at the lowest or highest rate is told; one inside is not."""
    rows = runs_of(BATCH, {0: {0.25: 0.9, 0.5: 0.8, 1.0: 0.7}, 1: {0.25: 0.9, 0.5: 0.8, 1.0: 0.7}})
    rows += runs_of(NONE, {0: {0.25: 0.1, 0.5: 0.2, 1.0: 0.3}, 1: {0.25: 0.1, 0.5: 0.9, 1.0: 0.3}})
    assert batch_minus_none(rows, SCORE).edges == (Edge("norm=batch", "low", 2), Edge("norm=none", "high", 1))


def test_a_single_rate_has_no_edges() -> None:
    """Where there is no choice there is no grid."""
    assert batch_minus_none([BATCH, NONE], SCORE).edges == ()


def test_only_the_first_tuned_column_has_edges() -> None:
    """A choice among dropout rates is no grid to extend."""
    rows = [
        {**arm, "lr": lr, "model.dropout": p, "val_accuracy": 1 - abs(lr - 0.5) - p}
        for arm in (BATCH, NONE)
        for lr in (0.25, 0.5, 0.75)
        for p in (0.0, 0.1)
    ]
    assert batch_minus_none(rows, {"name": "tuned_score", "over": ["lr", "model.dropout"]}).edges == ()


def test_levels_are_averaged() -> None:
    """The difference is the mean of the levels' differences: (10 + 30) / 2."""
    rows = [
        {**arm, "batch_size": size, "test_accuracy": score}
        for arm, scores in ((BATCH, (0.9, 0.8)), (NONE, (0.8, 0.5)))
        for size, score in zip((8, 32), scores, strict=True)
    ]
    contrast = batch_minus_none(rows, SCORE, levels=[{"batch_size": 8}, {"batch_size": 32}])
    assert seeds_of(contrast) == {0: 20.0}


def test_interaction_is_the_difference_in_differences() -> None:
    """(90 - 50) at batch 2 minus (80 - 70) at batch 32."""
    scores = {("group", 2): 0.9, ("batch", 2): 0.5, ("group", 32): 0.8, ("batch", 32): 0.7}
    rows: list[Row] = [
        {"norm": norm, "batch_size": size, "test_accuracy": score} for (norm, size), score in scores.items()
    ]
    contrast = judged(
        "interaction",
        rows,
        measure=SCORE,
        treatment={"norm": "group"},
        control=BATCH,
        at={"batch_size": 2},
        against={"batch_size": 32},
    )
    assert seeds_of(contrast) == {0: 30.0}


@pytest.mark.parametrize(("falling", "expected"), [(False, -5.0), (True, 5.0)])
def test_slope_is_by_octave_of_the_factor(falling: bool, expected: float) -> None:
    """Scores that lose 10 points from 8 to 32, two octaves, have a slope of -5."""
    rows: list[Row] = [
        {"batch_size": size, "test_accuracy": score} for size, score in ((8, 0.9), (16, 0.87), (32, 0.8))
    ]
    contrast = judged(
        "slope", rows, measure=SCORE, treatment=BATCH, factor="batch_size", values=[8, 16, 32], falling=falling
    )
    assert seeds_of(contrast) == {0: expected}


def test_a_cell_that_a_slope_lacks_is_named_as_its_design_names_it() -> None:
    """Sizes are numbers to the slope, and whole ones to whoever is to train them."""
    rows: list[Row] = [{"batch_size": 8, "test_accuracy": 0.9}]
    with pytest.raises(MissingCells, match="batch_size=16, norm=batch, every seed"):
        judged("slope", rows, measure=SCORE, treatment=BATCH, factor="batch_size", values=[8, 16])


def test_slope_may_be_less_another_slope() -> None:
    """A slope of 10 points an octave less one of 4."""
    rows: list[Row] = [
        {"norm": norm, "batch_size": size, "test_accuracy": score}
        for norm, scores in (("batch", (0.5, 0.6)), ("none", (0.5, 0.54)))
        for size, score in zip((8, 16), scores, strict=True)
    ]
    contrast = judged("slope", rows, measure=SCORE, treatment=BATCH, control=NONE, factor="batch_size", values=[8, 16])
    assert seeds_of(contrast) == {0: 6.0}


def test_combination_weighs_arms() -> None:
    """70 - 90 / 2 - 40 / 2."""
    scores = {"noisy": 0.7, "batch": 0.9, "none": 0.4}
    rows: list[Row] = [{"norm": norm, "test_accuracy": score} for norm, score in scores.items()]
    terms = [
        {"weight": weight, "arm": {"norm": norm}} for norm, weight in (("noisy", 1), ("batch", -0.5), ("none", -0.5))
    ]
    assert seeds_of(judged("combination", rows, measure=SCORE, terms=terms)) == {0: 5.0}


def test_over_levels_has_a_column_a_level() -> None:
    """Each level is the arm there minus the control, which takes all else from the level."""
    rows: list[Row] = [
        {"norm": norm, "batch_size": size, "seed": seed, "test_accuracy": score + seed / 100}
        for norm, scores in (("layer", (0.8, 0.9)), ("group", (0.7, 0.6)))
        for size, score in zip((2, 32), scores, strict=True)
        for seed in (0, 1)
    ]
    contrast = judged(
        "over_levels",
        rows,
        measure=SCORE,
        treatment={},
        control={"batch_size": 32},
        levels=[{"norm": "layer", "batch_size": 2}, {"norm": "group", "batch_size": 2}],
    )
    assert isinstance(contrast.values, pd.DataFrame)
    assert contrast.values.round(9).to_dict() == {
        "norm=layer, batch_size=2": {0: -10.0, 1: -10.0},
        "norm=group, batch_size=2": {0: 10.0, 1: 10.0},
    }


@pytest.mark.parametrize("name", ["difference", "over_levels"])
def test_an_arm_goes_before_its_level(name: str) -> None:
    """What an arm sets itself the level does not change."""
    rows: list[Row] = [{"batch_size": size, "test_accuracy": score} for size, score in ((2, 0.5), (8, 0.6), (32, 0.9))]
    contrast = judged(
        name,
        rows,
        measure=SCORE,
        treatment={"batch_size": 2},
        control={"batch_size": 32},
        levels=[{"norm": "batch", "batch_size": 8}],
    )
    assert contrast.values.to_numpy().ravel().round(9).tolist() == [-40.0]


def test_two_scores_of_one_run_can_be_compared() -> None:
    """Running minus precise accuracy of the run that validation chooses."""
    rows: list[Row] = [{"test_accuracy": 0.9, "test_accuracy_precise": 0.93}]
    contrast = judged(
        "over_levels",
        rows,
        measure=SCORE,
        control_measure={"name": "tuned_score", "metric": "test_accuracy_precise"},
        treatment={},
        control={},
        levels=[{"norm": "batch"}],
    )
    assert isinstance(contrast.values, pd.DataFrame)
    assert contrast.values.round(9).to_numpy().tolist() == [[-3.0]]


def test_largest_rate_is_in_octaves() -> None:
    """2 against 0.5 is two octaves; accuracy at or under halfway is not trained, and neither is a diverged run."""
    rows = [
        {**BATCH, "lr": lr, "train_accuracy": accuracy}
        for lr, accuracy in ((0.5, 0.9), (1.0, 0.5), (2.0, 0.9), (4.0, 0.55))
    ]
    rows += [{**NONE, "lr": lr, "status": status} for lr, status in ((0.5, "finished"), (1.0, "diverged"))]
    rows += [{**NONE, "lr": lr, "train_accuracy": 0.1} for lr in (2.0, 4.0)]
    contrast = batch_minus_none(rows, {"name": "largest_rate"})
    assert seeds_of(contrast) == {0: 2.0}
    assert contrast.edges == ()


def test_a_limit_at_the_end_of_the_grid_is_an_edge() -> None:
    """All rates train: edge above. None does: one step below the grid, edge below, collapsed."""
    rows = [{**BATCH, "lr": lr} for lr in (0.5, 2**-0.5, 1.0)]
    rows += [{**NONE, "lr": lr, "train_accuracy": 0.2} for lr in (0.5, 2**-0.5, 1.0)]
    contrast = batch_minus_none(rows, {"name": "largest_rate"})
    assert seeds_of(contrast) == {0: 1.5}
    assert contrast.edges == (Edge("norm=batch", "high", 1), Edge("norm=none", "low", 1, trains=False))
    assert contrast.collapsed.to_dict() == {0: True}


def test_equal_differences_of_octaves_are_equal() -> None:
    """Ties of the signed-rank test must not be broken by rounding: half an octave, wherever it lies."""
    grid = [math.ldexp(math.sqrt(2) if place % 2 else 1.0, place // 2) for place in range(-24, 9)]
    rows = [
        {**arm, "seed": seed, "lr": rate, "train_accuracy": 0.9 if place <= seed + (arm is BATCH) else 0.1}
        for arm in (BATCH, NONE)
        for seed in range(28)
        for place, rate in enumerate(grid)
    ]
    contrast = batch_minus_none(rows, {"name": "largest_rate"})
    assert isinstance(contrast.values, pd.Series)
    assert set(contrast.values) == {0.5}


STEPS = {"name": "steps_to_target"}


def none_minus_batch(rows: list[Row], measure: Row) -> Contrast:
    return judged("difference", rows, measure=measure, treatment=NONE, control=BATCH)


def test_steps_to_target_are_those_of_the_fastest_rate() -> None:
    """16 steps against 4 are two octaves, whatever the rate of the best final accuracy."""
    rows = [
        {**BATCH, "lr": 0.25, "steps_to_target": 32, "val_accuracy": 0.99},
        {**BATCH, "lr": 0.5, "steps_to_target": 4},
        {**NONE, "lr": 0.25, "steps_to_target": 16},
        {**NONE, "lr": 0.5, "steps_to_target": 32},
    ]
    assert seeds_of(none_minus_batch(rows, STEPS)) == {0: 2.0}
    by_accuracy = none_minus_batch(rows, {**STEPS, "by": "val_accuracy"})
    assert seeds_of(by_accuracy) == {0: -1.0}


def test_time_to_target_counts_what_a_step_costs() -> None:
    """16 cheap steps against 4 that take twice as long are one octave."""
    rows = [{**BATCH, "steps_to_target": 4}, {**NONE, "steps_to_target": 16}]
    time = {"name": "time_to_target", "step_cost": 1}
    dear = {**time, "step_cost": 2}
    found = judged("difference", rows, measure=time, control_measure=dear, treatment=NONE, control=BATCH)
    assert seeds_of(found) == {0: 1.0}


@pytest.mark.parametrize(
    "never",
    [{}, {"status": "diverged", "steps_to_target": 8}, {"steps_to_target": 640}],
    ids=["not within the budget", "diverged after it", "beyond the budget"],
)
def test_a_run_that_never_arrives_counts_as_the_budget(never: Row) -> None:
    """64 steps of budget against 4 are four octaves."""
    rows = [{**BATCH, "steps_to_target": 4}, {**NONE, **never}]
    assert seeds_of(none_minus_batch(rows, STEPS)) == {0: 4.0}


def test_a_budget_in_epochs_cannot_be_censored_at() -> None:
    """Without a number of steps there is no time that ran out."""
    rows = [{**BATCH, "steps": None, "epochs": 3}, NONE]
    with pytest.raises(StudyError, match="run 000000000000 has no budget in steps"):
        none_minus_batch(rows, STEPS)


def test_trained_is_one_or_zero_of_the_chosen_run() -> None:
    """The chosen run decides, not the best trained one; only an arm that is not trained has an edge to extend."""
    rows = [
        {**BATCH, "lr": 0.25, "val_accuracy": 0.9},
        {**BATCH, "lr": 0.5, "val_accuracy": 0.8},
        {**NONE, "lr": 0.25, "val_accuracy": 0.5},
        {**NONE, "lr": 0.5, "val_accuracy": 0.6, "train_accuracy": 0.4},
    ]
    contrast = batch_minus_none(rows, {"name": "trained"})
    assert seeds_of(contrast) == {0: 1.0}
    assert contrast.edges == (Edge("norm=none", "high", 1, trains=False),)


def test_the_worst_case_is_tuned_at_each_point() -> None:
    """Batch norm's worst scale has 80 at its best rate, none's 30."""
    rows = runs_of({**BATCH, "model.init_scale": 0.1}, {0: {0.25: 0.2, 0.5: 0.8}})
    rows += runs_of({**BATCH, "model.init_scale": 10.0}, {0: {0.25: 0.9, 0.5: 0.1}})
    rows += runs_of({**NONE, "model.init_scale": 0.1}, {0: {0.25: 0.3, 0.5: 0.2}})
    rows += runs_of({**NONE, "model.init_scale": 10.0}, {0: {0.25: 0.9, 0.5: 0.95}})
    contrast = batch_minus_none(rows, {"name": "worst_case", "grid": ["model.init_scale"]})
    assert seeds_of(contrast) == {0: 50.0}
    assert contrast.edges == (Edge("norm=batch", "high", 1), Edge("norm=none", "low", 1))


def test_the_worst_loss_is_the_highest() -> None:
    """A worst case is the worst of its metric: batch norm's highest loss is 2, none's 3."""
    rows: list[Row] = [
        {**arm, "model.init_scale": scale, "test_loss": loss}
        for arm, losses in ((BATCH, (0.5, 2.0)), (NONE, (0.1, 3.0)))
        for scale, loss in zip((0.1, 10.0), losses, strict=True)
    ]
    measure = {"name": "worst_case", "grid": ["model.init_scale"], "metric": "test_loss"}
    assert seeds_of(batch_minus_none(rows, measure)) == {0: -1.0}


def test_grid_share_counts_what_is_trained_and_close() -> None:
    """Of four points three are within 2 points of the choice, of which one is not trained; a collapsed arm has none."""
    rows = runs_of(BATCH, {0: {0.25: 0.9, 0.5: 0.89, 1.0: 0.881, 2.0: 0.87}})
    rows[2]["train_accuracy"] = 0.5
    rows += [{**row, "train_accuracy": 0.1} for row in runs_of(NONE, {0: dict.fromkeys((0.25, 0.5, 1.0, 2.0), 0.1)})]
    contrast = batch_minus_none(rows, {"name": "grid_share", "over": ["lr"], "within": 2})
    assert seeds_of(contrast) == {0: 0.5}
    assert contrast.edges == ()


PROBED = [{**BATCH, "run_id": "a"}, {**NONE, "run_id": "b"}]
SLOPE = "probe.gradients.slope"


def looks(**by_run: list[float | None]) -> list[Row]:
    """Return a probe's scalar of each run at steps 10, 20, ..."""
    return [
        {"run_id": run, "step": 10 * place, SLOPE: value, "probe.gradients.norm.0": 1.0}
        for run, values in by_run.items()
        for place, value in enumerate(values, start=1)
    ]


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ({"step": "last"}, 4.0 - -2.0),
        ({"step": "first"}, 1.0 - -8.0),
        ({"step": 10}, 1.0 - -8.0),
        ({"step": "mean"}, 2.5 - -5.0),
        ({"step": "last", "absolute": True}, 4.0 - 2.0),
        ({"step": "last", "absolute": True, "log2": True}, 1.0),
    ],
    ids=str,
)
def test_a_probe_is_read_at_a_step(measure: Row, expected: float) -> None:
    """First, last, mean or a numbered step; absolute first, then log2."""
    contrast = batch_minus_none_probe(looks(a=[1.0, 4.0], b=[-8.0, -2.0]), **measure)
    assert seeds_of(contrast) == {0: expected}


def batch_minus_none_probe(curves: list[Row], rows: list[Row] = PROBED, **measure: Any) -> Contrast:
    return batch_minus_none(rows, {"name": "probe", "column": SLOPE, **measure}, curves=curves)


@pytest.mark.parametrize(
    ("curves", "step"),
    [(looks(a=[1.0, 4.0]), "last"), (looks(a=[1.0, 4.0], b=[1.0]), 20), ([{"run_id": "a", "step": 1}], "last")],
    ids=["no look", "none at this step", "no such column"],
)
def test_a_run_without_its_probe_is_missing(curves: list[Row], step: Any) -> None:
    """A finished run that was not looked at has to be trained again with the probe."""
    with pytest.raises(MissingCells, match=f"norm=none: {SLOPE} at step {step} of run b"):
        batch_minus_none_probe(curves, step=step, if_diverged=7)


def test_a_probe_that_saw_no_finite_number_counts_as_diverged() -> None:
    """The probe has looked, as its other scalars show, so nothing is missing."""
    curves = looks(a=[1.0, 4.0], b=[1.0, None])
    assert seeds_of(batch_minus_none_probe(curves, if_diverged=7)) == {0: -3.0}
    with pytest.raises(StudyError, match=f"run b has no finite {SLOPE} at step last"):
        batch_minus_none_probe(curves)


def test_a_run_that_diverged_before_any_look_is_not_missing() -> None:
    """Training it again would not help."""
    rows = [PROBED[0], {**PROBED[1], "status": "diverged"}]
    assert seeds_of(batch_minus_none_probe(looks(a=[1.0]), rows, step="first", if_diverged=7)) == {0: -6.0}


@pytest.mark.parametrize(("step", "expected"), [("last", -3.0), ("mean", 2.5 - 7), ("first", -1.0)])
def test_a_run_that_diverged_after_a_look_has_no_end(step: str, expected: float) -> None:
    """Its last look and its mean are not those of the budget; its first look is as good as any."""
    rows = [PROBED[0], {**PROBED[1], "status": "diverged"}]
    contrast = batch_minus_none_probe(looks(a=[1.0, 4.0], b=[2.0]), rows, step=step, if_diverged=7)
    assert seeds_of(contrast) == {0: expected}


def test_a_gradient_of_zero_has_a_logarithm() -> None:
    """Zero counts as the smallest float32, 2 to the minus 149."""
    assert seeds_of(batch_minus_none_probe(looks(a=[1.0], b=[0.0]), log2=True)) == {0: 149.0}


GAP_RUNS = [{**BATCH, "run_id": "a"}, {"norm": "group", "run_id": "b"}]
GAP_CURVES: list[Row] = [
    {"run_id": "a", "step": 10, "train_loss": 2.0, "val_loss": 2.1, "train_accuracy": 0.5, "val_accuracy": 0.5},
    {"run_id": "a", "step": 20, "train_loss": 1.0, "val_loss": 1.3, "train_accuracy": 0.7, "val_accuracy": 0.6},
    {"run_id": "a", "step": 30, "train_loss": 0.1, "val_loss": 9.0, "train_accuracy": 0.9, "val_accuracy": 0.1},
    {"run_id": "b", "step": 10, "train_loss": 1.8, "val_loss": 2.0, "train_accuracy": 0.5, "val_accuracy": 0.5},
    {"run_id": "b", "step": 20, "train_loss": 1.5, "val_loss": 2.3, "train_accuracy": 0.8, "val_accuracy": 0.5},
]


@pytest.mark.parametrize(("metric", "expected"), [("loss", 0.8 - 0.2), ("accuracy", 30.0 - 5.0)])
def test_the_gap_is_compared_at_equal_training_loss(metric: str, expected: float) -> None:
    """At 1.5, the lowest that both reach: there batch norm's gap lies halfway between its first two rows."""
    contrast = judged(
        "matched_gap", GAP_RUNS, curves=GAP_CURVES, treatment=BATCH, control={"norm": "group"}, metric=metric
    )
    assert seeds_of(contrast) == {0: round(expected, 9)}


def test_a_diverged_run_has_the_gap_of_chance() -> None:
    """It stays at ln 10 with no gap; the other is read where it comes down to that, which is its first row."""
    rows = [GAP_RUNS[0], {**GAP_RUNS[1], "status": "diverged"}]
    contrast = judged("matched_gap", rows, curves=GAP_CURVES, treatment=BATCH, control={"norm": "group"})
    assert seeds_of(contrast) == {0: -0.1}
    assert contrast.collapsed.to_dict() == {0: True}


def test_a_run_without_a_curve_is_missing() -> None:
    """A gap needs both curves."""
    with pytest.raises(MissingCells, match="norm=group: the curve of run b"):
        judged("matched_gap", GAP_RUNS, curves=GAP_CURVES[:3], treatment=BATCH, control={"norm": "group"})


def test_a_gap_reports_what_it_compared() -> None:
    """Each arm with its own gap at the level that both reach, not with a score of another name."""
    contrast = judged("matched_gap", GAP_RUNS, curves=GAP_CURVES, treatment=BATCH, control={"norm": "group"})
    assert [(one.arm, round(one.measured.values[0], 9)) for one in contrast.arms] == [
        (BATCH, 0.2),
        ({"norm": "group"}, 0.8),
    ]
    assert {one.measured.words for one in contrast.arms} == {"gap of loss at equal training loss"}


WORDS = {
    "test_accuracy in points": SCORE,
    "test_loss": {**SCORE, "metric": "test_loss"},
    "worst test_accuracy in points": {"name": "worst_case", "grid": ["batch_size"]},
    "share of the grid that is near the best": {"name": "grid_share", "over": ["lr"], "within": 2.0},
    "log2 of the largest rate that trains": {"name": "largest_rate"},
    "log2 of the steps to the target": {"name": "steps_to_target"},
    "trains (1) or not (0)": {"name": "trained"},
}


@pytest.mark.parametrize(("words", "measure"), WORDS.items(), ids=WORDS)
def test_an_estimand_reports_its_arms(words: str, measure: Row) -> None:
    """What was measured of each, its number a seed, and the runs that the seeds are scored on."""
    rows = runs_of(BATCH, {0: {0.25: 0.9, 0.5: 0.8}, 1: {0.25: 0.7, 0.5: 0.9}})
    rows += runs_of(NONE, {0: {0.25: 0.8, 0.5: 0.7}, 1: {0.25: 0.6, 0.5: 0.8}})
    contrast = batch_minus_none(rows, measure)
    assert [one.arm for one in contrast.arms] == [BATCH, NONE]
    batch, none = (one.measured for one in contrast.arms)
    np.testing.assert_array_equal((batch.values - none.values).round(6), contrast.values)
    assert (batch.words, none.words) == (words, words)
    scored = [(0, 0.25), (0, 0.5), (1, 0.25), (1, 0.5)] if measure["name"] == "largest_rate" else [(0, 0.25), (1, 0.5)]
    if measure["name"] == "steps_to_target":
        scored = [(0, 0.25), (1, 0.25)]
    assert list(zip(batch.rows["seed"], batch.rows["lr"], strict=True)) == scored
    assert batch.chosen == (() if measure["name"] == "largest_rate" else ("lr",))


def missing_cells(rows: list[Row]) -> tuple[str, ...]:
    with pytest.raises(MissingCells) as caught:
        batch_minus_none(rows, SCORE)
    return caught.value.cells


def test_an_arm_without_a_run_is_missing() -> None:
    """The arm is named, of both arms both."""
    assert missing_cells([{"norm": "layer"}]) == ("norm=batch, every seed", "norm=none, every seed")


def test_an_arm_off_a_default_that_no_run_leaves_is_missing() -> None:
    """A column that the study lacks is empty for all runs, so that no run has a value there."""
    with pytest.raises(MissingCells, match=r"model\.init=fixup, norm=batch, every seed"):
        batch_minus_none([BATCH, NONE], SCORE, levels=[{"model.init": "fixup"}])


@pytest.mark.parametrize("gone", ["absent", "failed"])
def test_a_cell_that_one_seed_lacks_is_missing(gone: str) -> None:
    """A run that failed is as good as none."""
    rows = runs_of(BATCH, {0: {0.25: 0.9, 0.5: 0.8}, 1: {0.25: 0.9, 0.5: 0.8}})
    rows += runs_of(NONE, {0: {0.25: 0.9, 0.5: 0.8}, 1: {0.25: 0.9, 0.5: 0.8}})
    rows = rows[:-1] if gone == "absent" else [*rows[:-1], {**rows[-1], "status": "failed"}]
    assert missing_cells(rows) == ("norm=none, lr=0.5, seed=1",)


def test_a_seed_that_an_arm_lacks_altogether_is_missing() -> None:
    """Seeds are those of all runs, and those of runs that failed."""
    rows = [{**BATCH, "seed": 0}, {**BATCH, "seed": 1, "status": "failed"}, {**NONE, "seed": 0}]
    assert missing_cells(rows) == ("norm=batch, lr=0.5, seed=1", "norm=none, lr=0.5, seed=1")


def test_a_rate_that_only_one_arm_has_tried_is_missing() -> None:
    """Every arm gets the same grid."""
    assert missing_cells(runs_of(BATCH, {0: {0.25: 0.9, 0.5: 0.8}}) + runs_of(NONE, {0: {0.25: 0.9}})) == (
        "norm=none, lr=0.5",
    )


def test_many_missing_cells_are_counted() -> None:
    """A message names eight."""
    assert str(MissingCells(f"seed={seed}" for seed in range(10))).endswith("seed=7; and 2 more")


def test_a_run_that_is_there_twice_is_an_error() -> None:
    """Two rows of one run would count double."""
    with pytest.raises(StudyError, match="run a occurs twice"):
        batch_minus_none([{**BATCH, "run_id": "a"}, {**NONE, "run_id": "a"}], SCORE)


def test_a_run_without_classes_is_an_error() -> None:
    """Nobody knows what chance is."""
    with pytest.raises(StudyError, match="run 000000000001 has no num_classes"):
        batch_minus_none([BATCH, {**NONE, "num_classes": None}], SCORE)


@pytest.mark.parametrize("measure", [SCORE, STEPS, {"name": "largest_rate"}], ids=lambda measure: str(measure["name"]))
def test_a_factor_left_open_is_an_error(measure: Row) -> None:
    """An arm that mixes batch sizes is no arm."""
    rows = [{**arm, "batch_size": size, "lr": lr} for arm in (BATCH, NONE) for size in (2, 32) for lr in (0.25, 0.5)]
    with pytest.raises(StudyError, match="the arm norm=batch does not set batch_size"):
        batch_minus_none(rows, measure)


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        ({"norm_batch_size": None}, 0.1),
        ({"norm_batch_size": 8}, 0.2),
        ({"norm.affine": False}, 0.2),
        ({"model.init": "he"}, 0.1),
        ({"model.init": ["fixup", "skipinit"]}, 0.2),
        ({"never.changed": None, "seed": 1}, 0.2),
    ],
    ids=str,
)
def test_arms_are_picked_by_any_kind_of_value(arm: Row, expected: float) -> None:
    """An empty cell, a number, a boolean, a text, one of several, a column that no run of the study changes."""
    first: Row = {"norm_batch_size": None, "norm.affine": True, "model.init": "he", "seed": 0, "test_accuracy": 0.1}
    second: Row = {"norm_batch_size": 8, "norm.affine": False, "model.init": "fixup", "seed": 1, "test_accuracy": 0.2}
    rows = table([first, second]).astype({"norm.affine": "boolean"})
    own = rows[rows["test_accuracy"] == expected]
    one = evaluate("combination", {"measure": SCORE, "terms": [{"weight": 1, "arm": arm}]}, own, curves_table([]))
    assert isinstance(one.values, pd.Series)
    assert one.values.tolist() == [100 * expected]
    other = rows[rows["test_accuracy"] != expected]
    with pytest.raises(MissingCells):
        evaluate("combination", {"measure": SCORE, "terms": [{"weight": 1, "arm": arm}]}, other, curves_table([]))


GOOD = {"measure": SCORE, "treatment": BATCH, "control": NONE}


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("diference", GOOD, "unknown name 'diference'; did you mean 'difference'"),
        ("difference", {**GOOD, "treatmnt": {}}, "unknown argument 'treatmnt'; did you mean 'treatment'"),
        ("difference", {"measure": SCORE, "control": NONE}, "the argument 'treatment' is missing"),
        ("difference", {**GOOD, "treatment": "batch"}, "treatment: got 'batch', expected a mapping of config columns"),
        ("difference", {**GOOD, "treatment": {"norm": {}}}, "treatment.norm: got {}, expected a single value"),
        ("difference", {**GOOD, "levels": []}, "levels: got [], expected a list"),
        ("difference", {**GOOD, "levels": [3]}, "levels: got 3, expected a mapping of config columns"),
        ("difference", {**GOOD, "measure": "tuned_score"}, "measure: got 'tuned_score', expected a mapping"),
        ("difference", {**GOOD, "measure": {"name": "score"}}, "unknown measure 'score'; did you mean 'tuned_score'"),
        ("difference", {**GOOD, "measure": {**SCORE, "metric": "acc"}}, "measure.metric: unknown value 'acc'"),
        ("difference", {**GOOD, "measure": {**SCORE, "metric": []}}, "measure.metric: unknown value '[]'"),
        ("difference", {**GOOD, "measure": {**SCORE, "over": "lr"}}, "measure.over: got 'lr', expected a list"),
        ("difference", {**GOOD, "measure": {**SCORE, "over": [1]}}, "measure.over: got 1, expected a text"),
        ("difference", {**GOOD, "measure": {"name": "worst_case"}}, "measure: the argument 'grid' is missing"),
        ("difference", {**GOOD, "measure": {"name": "probe", "column": "x", "step": 1.5}}, "unknown value '1.5'"),
        ("difference", {**GOOD, "measure": {"name": "probe", "column": "x", "log2": 1}}, "got 1, expected true or fal"),
        (
            "difference",
            {**GOOD, "measure": {"name": "probe", "column": "x", "if_diverged": "1"}},
            "if_diverged: got '1', expected a number",
        ),
        ("slope", {"measure": SCORE, "treatment": {}, "factor": "lr", "values": [2]}, "at least two"),
        ("slope", {"measure": SCORE, "treatment": {}, "factor": "lr", "values": [0, 1]}, "above 0"),
        ("slope", {"measure": SCORE, "treatment": {}, "factor": "lr", "values": [1, 1, 2]}, "different numbers"),
        ("combination", {"measure": SCORE, "terms": [{"arm": {}}]}, "expected mappings with weight and arm"),
    ],
)
def test_wrong_arguments_name_themselves(name: str, args: Row, message: str) -> None:
    """What a YAML has wrong is found before any record is read."""
    with pytest.raises(ConfigError) as caught:
        check(name, args)
    assert message in str(caught.value)


@pytest.mark.parametrize("step", [3, "last", "mean"])
@pytest.mark.parametrize("if_diverged", [None, 1, 0.5])
def test_arguments_of_several_types_are_taken(step: int | str, if_diverged: float | None) -> None:
    """A step is a number or a word, a default a number or null."""
    measure = {"name": "probe", "column": "x", "step": step, "if_diverged": if_diverged}
    found = check("difference", {**GOOD, "measure": measure})["measure"].args
    assert (found["step"], found["if_diverged"]) == (step, if_diverged)


@pytest.mark.parametrize("function", [*REGISTRY.values(), *MEASURES.values()], ids=lambda function: function.__name__)
def test_registries_bear_the_functions_own_names(function: Any) -> None:
    """One name for the YAML and for the code."""
    assert {**REGISTRY, **MEASURES}[function.__name__] is function


TARGETS: Row = {
    "task": "targets",
    "num_classes": None,
    "chance_loss": 1.0,
    "chance_r2": 0.0,
    "chance_mse": 2.0,
    **{f"{part}_accuracy": None for part in ("train", "val", "test")},
    **{f"{part}_r2": 0.75 for part in ("train", "val", "test")},
    **{f"{part}_mse": 0.5 for part in ("train", "val", "test")},
}
"""A run of a task without classes."""


def test_a_run_has_the_scores_of_its_own_task() -> None:
    """A finished run is none the worse for an accuracy that its task has not, and is chosen by its first metric."""
    rows = [
        {**TARGETS, **BATCH, "lr": 0.25, "val_r2": 0.75, "test_r2": 0.75},
        {**TARGETS, **BATCH, "lr": 0.5, "val_r2": 0.5, "test_r2": 1.0},
        {**TARGETS, **NONE, "lr": 0.25, "test_r2": 0.25},
        {**TARGETS, **NONE, "lr": 0.5, "status": "diverged"},
        {"task": "images", "norm": "layer"},
    ]
    contrast = batch_minus_none(rows, {"name": "tuned_score", "metric": "test_r2"})
    assert seeds_of(contrast) == {0: 0.5}
    assert contrast.collapsed.to_dict() == {0: False}


@pytest.mark.parametrize("name", ["test_loss", "val_r2", "train_mse"])
def test_a_score_of_the_task_that_is_missing_is_a_divergence(name: str) -> None:
    """What other runs of the task have; the arm then scores chance, in the unit of the metric."""
    rows = [{**TARGETS, **BATCH}, {**TARGETS, **NONE, name: None}]
    contrast = batch_minus_none(rows, {"name": "tuned_score", "metric": "test_mse"})
    assert seeds_of(contrast) == {0: 0.5 - 2.0}
    assert contrast.collapsed.to_dict() == {0: True}


@pytest.mark.parametrize(
    ("scores", "trained"),
    [
        ({"train_r2": 0.5}, False),
        ({"train_r2": 0.51}, True),
        ({"train_r2": 0.1, "chance_r2": None}, True),
        ({**dict.fromkeys(TARGETS), "train_mse": 1.01, "val_mse": 1.0, "chance_mse": 2.0}, False),
        ({**dict.fromkeys(TARGETS), "train_mse": 0.99, "val_mse": 1.0, "chance_mse": 2.0}, True),
        ({**dict.fromkeys(TARGETS), "train_loss": 1.1, "chance_loss": 1.0}, False),
        ({**dict.fromkeys(TARGETS), "train_loss": 0.9, "chance_loss": 1.0}, True),
    ],
)
def test_trained_is_halfway_from_chance_to_the_best_value(scores: Row, trained: bool) -> None:
    """In the direction of the first metric; one without a best value has to be better than chance."""
    assert is_trained(table([{**TARGETS, **scores}])).tolist() == [trained]


def test_an_error_has_a_gap_too() -> None:
    """How much worse it is in validation, at equal training loss; a diverged run stays at the chance of its task."""
    curves: list[Row] = [
        {"run_id": "a", "step": step, "train_loss": loss, "train_mse": loss, "val_mse": loss + 0.25}
        for step, loss in ((10, 1.5), (20, 0.5))
    ]
    rows = [{**TARGETS, **row} for row in GAP_RUNS]
    rows[1] |= {"status": "diverged"}
    contrast = judged("matched_gap", rows, curves=curves, treatment={"norm": "group"}, control=BATCH, metric="mse")
    assert seeds_of(contrast) == {0: 0.25}


def test_a_score_without_a_chance_level_is_an_error() -> None:
    """Nobody knows what a diverged run counts as."""
    rows = [{**TARGETS, **BATCH}, {**TARGETS, **NONE, "status": "diverged", "chance_r2": None}]
    with pytest.raises(StudyError, match="run 000000000001 has neither test_r2 nor its chance level"):
        batch_minus_none(rows, {"name": "tuned_score", "metric": "test_r2"})


@pytest.mark.parametrize(
    ("argument", "value", "taken"),
    [
        ("metric", "test_miou_precise", True),
        ("metric", "chance_miou", False),
        ("metric", "val_miou_batch", False),
        ("by", "val_mse", True),
        ("by", "fastest", True),
        ("by", None, True),
        ("by", "test_mse", False),
    ],
)
def test_any_metric_may_be_measured_and_chosen_by(argument: str, value: str | None, taken: bool) -> None:
    """But chosen on the validation part alone."""
    args = {**GOOD, "measure": {**SCORE, argument: value}}
    if taken:
        assert check("difference", args)["measure"].args == {argument: value}
        return
    with pytest.raises(ConfigError, match=f"measure.{argument}: unknown value '{value}'"):
        check("difference", args)
