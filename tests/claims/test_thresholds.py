from typing import Any

import pytest

from normbench.claims.estimands import Contrast, Edge, check
from normbench.claims.estimands.records import Threshold, has_collapsed, is_trained
from normbench.errors import ConfigError, StudyError

from .made_up import BATCH, NONE, Row, batch_minus_none, judged, seeds_of, table

RATES = (0.25, 0.5, 1.0, 2.0)


def arm_of(norm: str, accuracies: tuple[float | None, ...], seed: int = 0) -> list[Row]:
    """Return a run a rate with this training accuracy; None is a diverged run."""
    return [
        {"norm": norm, "seed": seed, "lr": lr}
        | ({"status": "diverged"} if accuracy is None else {"train_accuracy": accuracy})
        for lr, accuracy in zip(RATES, accuracies, strict=True)
    ]


@pytest.mark.parametrize(("threshold", "expected"), [(0.3, True), (0.5, False), (0.97, False)])
def test_a_threshold_is_a_share_of_the_way_from_chance_to_one(threshold: Any, expected: bool) -> None:
    """At 0.5 of ten classes the limit is 0.55 to the bit, and a run at it is not above it."""
    runs = table([{"train_accuracy": 0.55}])
    assert is_trained(runs, threshold).tolist() == [expected]
    assert has_collapsed(runs, threshold).tolist() == [not expected]


def test_the_default_is_the_rule_of_halfway_to_the_bit() -> None:
    """No verdict on record moves: the limit is the same float as half the sum, for any number of classes."""
    classes = [classes for classes in range(2, 500) for _ in range(2)]
    limits = [(1 + 1 / number) / 2 + 1e-15 * (place % 2) for place, number in enumerate(classes)]
    runs = table(
        [{"train_accuracy": limit, "num_classes": number} for limit, number in zip(limits, classes, strict=True)]
    )
    assert is_trained(runs).tolist() == [False, True] * (len(classes) // 2)


def test_the_largest_rate_depends_on_the_threshold() -> None:
    """Batch norm trains halfway up to 1 and nearly perfectly up to 0.5; none the other way."""
    rows = arm_of("batch", (0.99, 0.99, 0.6, 0.2)) + arm_of("none", (0.99, 0.6, 0.2, None))
    measured = {
        threshold: seeds_of(batch_minus_none(rows, {"name": "largest_rate", "threshold": threshold}))[0]
        for threshold in (0.3, 0.5, 0.97)
    }
    assert measured == {0.3: 1.0, 0.5: 1.0, 0.97: 1.0}
    assert batch_minus_none(rows, {"name": "largest_rate"}).arms[0].measured.values.to_dict() == {0: 0.0}
    strict = batch_minus_none(rows, {"name": "largest_rate", "threshold": 0.97})
    assert [one.measured.values[0] for one in strict.arms] == [-1.0, -2.0]


def test_trained_depends_on_the_threshold() -> None:
    """So does whether it collapsed, and whether the end of the grid trains."""
    rows: list[Row] = [
        {"norm": norm, "lr": lr, "train_accuracy": accuracy, "val_accuracy": lr}
        for norm, accuracy in (("batch", 0.8), ("none", 0.2))
        for lr in (0.25, 0.5)
    ]
    loose, strict = (batch_minus_none(rows, {"name": "trained", "threshold": value}) for value in (0.5, 0.9))
    assert seeds_of(loose) == {0: 1.0} and seeds_of(strict) == {0: 0.0}
    assert loose.edges == (Edge("norm=none", "high", 1, trains=False),)
    assert len(strict.edges) == 2 and all(one.measured.collapsed[0] for one in strict.arms)


@pytest.mark.parametrize("value", [0, 1, 1.5, -0.5, True, "half"])
@pytest.mark.parametrize("measure", ["trained", "largest_rate"])
def test_a_threshold_is_between_zero_and_one(measure: str, value: object) -> None:
    """It is refused when the claim is read."""
    with pytest.raises(ConfigError, match=r"measure.threshold: got .*, expected a number"):
        check("difference", {"measure": {"name": measure, "threshold": value}, "treatment": BATCH, "control": NONE})


def test_without_a_best_value_there_is_no_threshold() -> None:
    """A loss only has to be better than chance: a threshold would do nothing."""
    runs = table([{"train_accuracy": None, "val_accuracy": None, "num_classes": 10}])
    assert is_trained(runs).tolist() == [True]
    with pytest.raises(StudyError, match=r"train_loss has no best value, so there is no threshold of 0.7: omit it"):
        is_trained(runs, Threshold(0.7))


BEYOND = {"name": "diverged_beyond", "beyond": NONE, "octaves": 2}


def beyond(rows: list[Row], **more: Any) -> Contrast:
    """Return the share that diverges of batch norm's rates beyond the limit of no norm."""
    return judged("combination", rows, measure={**BEYOND, **more}, terms=[{"weight": 1, "arm": BATCH}])


def test_divergence_is_counted_beyond_the_other_arms_limit() -> None:
    """Without a norm 0.5 still trains, so that 1 and 2 count; divergence at a lower rate does not."""
    rows = arm_of("batch", (None, 0.9, 0.9, None)) + arm_of("none", (0.9, 0.9, 0.2, None))
    found = beyond(rows)
    assert seeds_of(found) == {0: 0.5}
    assert found.collapsed.to_dict() == {0: True} and found.edges == ()


def test_runs_that_do_not_train_count_if_asked() -> None:
    """At 1 batch norm finishes at chance: no divergence, but not trained either."""
    rows = arm_of("batch", (0.9, 0.9, 0.1, 0.9)) + arm_of("none", (0.9, 0.9, 0.2, None))
    assert seeds_of(beyond(rows)) == {0: 0.0}
    assert seeds_of(beyond(rows, threshold=0.5)) == {0: 0.5}


def test_each_seed_has_its_own_limit() -> None:
    """The second seed's is an octave lower; what is beyond two octaves does not count."""
    rows = arm_of("batch", (0.9, 0.9, None, 0.9)) + arm_of("none", (0.9, 0.9, 0.2, None))
    rows += arm_of("batch", (0.9, 0.9, 0.9, None), seed=1) + arm_of("none", (0.9, 0.1, 0.2, None), seed=1)
    assert seeds_of(beyond(rows)) == {0: 0.5, 1: 0.0}


def test_a_grid_that_ends_too_early_is_told() -> None:
    """Rates two octaves beyond a limit at the third of four are not all there; nor are those of a limit below it."""
    rows = arm_of("batch", (0.9, 0.9, 0.9, None)) + arm_of("none", (0.9, 0.9, 0.9, None))
    assert beyond(rows).edges == (Edge("norm=batch", "high", 1),)
    rows = arm_of("batch", (0.9, 0.9, 0.9, 0.9)) + arm_of("none", (0.1, 0.1, 0.1, None))
    assert beyond(rows).edges == (Edge("norm=none", "low", 1, trains=False),)


def test_diverged_is_of_the_run_that_the_seed_chooses() -> None:
    """Of no norm nothing else is there to choose."""
    rows: list[Row] = [*arm_of("batch", (0.9, None, None, None)), *arm_of("none", (None, None, None, None))]
    assert seeds_of(batch_minus_none(rows, {"name": "diverged"})) == {0: -1.0}


AROUND = {"name": "grid_share", "over": ["lr", "optimizer.weight_decay"], "within": 2, "around": 1}


def test_settings_are_counted_around_each_arms_own_best_rate() -> None:
    """Both arms are as tolerant, at rates two octaves apart: the shares of the whole grid would differ by its end."""
    near = {"batch": (0.5, 0.89, 0.9, 0.89, 0.5, 0.5, 0.5), "none": (0.5, 0.5, 0.5, 0.89, 0.9, 0.89, 0.89)}
    rows = [
        {"norm": norm, "lr": 2.0**place, "optimizer.weight_decay": decay, "val_accuracy": score, "test_accuracy": score}
        for norm, scores in near.items()
        for place, score in enumerate(scores)
        for decay in (0.0, 0.1)
    ]
    assert seeds_of(batch_minus_none(rows, AROUND)) == {0: 0.0}
    whole = batch_minus_none(rows, {key: value for key, value in AROUND.items() if key != "around"})
    assert seeds_of(whole)[0] == pytest.approx(-1 / 7)


def test_second_factors_count_in_full() -> None:
    """One of two decays is near at each of three rates."""
    rows = [
        {"norm": norm, "lr": 2.0**place, "optimizer.weight_decay": decay, "val_accuracy": score, "test_accuracy": score}
        for norm, other in (("batch", 0.0), ("none", 0.5))
        for place, best in enumerate((0.9, 0.91, 0.9))
        for decay, score in ((0.0, best), (0.1, best - other))
    ]
    assert seeds_of(batch_minus_none(rows, AROUND)) == {0: 0.5}


def test_a_grid_that_ends_within_reach_is_told() -> None:
    """Its share is taken over what is there, and the end asks for a longer grid."""
    rows = [
        {"norm": norm, "lr": lr, "optimizer.weight_decay": 0.0, "val_accuracy": lr / 4, "test_accuracy": 0.9}
        for norm in ("batch", "none")
        for lr in (0.5, 1.0, 2.0)
    ]
    assert batch_minus_none(rows, AROUND).edges == (Edge("norm=batch", "high", 1), Edge("norm=none", "high", 1))
