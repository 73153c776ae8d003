from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench.analysis.select import arm_columns, best
from normbench.errors import ConfigError, StudyError

from .tables import runs_table


def grid(scores: dict[int, dict[float, float | None]], **config: Any) -> list[dict[str, Any]]:
    """Return one run for each seed and learning rate; a score of None is a diverged run."""
    return [
        {"seed": seed, "lr": lr, "val_accuracy": score, "status": "diverged" if score is None else "finished", **config}
        for seed, row in scores.items()
        for lr, score in row.items()
    ]


def chosen_rates(runs: pd.DataFrame) -> list[float]:
    """Return what each seed chose, in the order of seeds."""
    return best(runs)["lr"].tolist()


def test_each_seed_chooses_on_its_own_validation_set() -> None:
    """Seeds do not share a choice."""
    runs = runs_table(*grid({0: {0.1: 0.8, 0.2: 0.9, 0.4: 0.7}, 1: {0.1: 0.9, 0.2: 0.8, 0.4: 0.7}}))
    assert chosen_rates(runs) == [0.2, 0.1]


def test_ties_take_the_lowest() -> None:
    """Of equal rates the lowest is taken, in whatever order they stand."""
    assert chosen_rates(runs_table(*grid({0: {0.4: 0.9, 0.2: 0.9, 0.1: 0.5, 0.8: 0.9}}))) == [0.2]


def test_the_test_set_has_no_say() -> None:
    """A better test accuracy does not change the choice, and what is scored is the chosen run's."""
    rows = grid({0: {0.1: 0.9, 0.2: 0.8}})
    runs = runs_table({**rows[0], "test_accuracy": 0.1}, {**rows[1], "test_accuracy": 0.99})
    assert best(runs)["test_accuracy"].tolist() == [0.1]


@pytest.mark.parametrize("metric", ["test_accuracy", "test_loss", "test_accuracy_batch", "train_accuracy"])
def test_choosing_on_anything_but_validation_is_an_error(metric: str) -> None:
    """A criterion off the validation set is refused."""
    with pytest.raises(ConfigError, match="never a test one"):
        best(runs_table({}), metric=metric)


def test_arms_are_tuned_apart() -> None:
    """Each setting of the other factors has its own choice, in their order."""
    rows = grid({0: {0.1: 0.5, 0.2: 0.6}}, norm="none") + grid({0: {0.1: 0.9, 0.2: 0.8}}, norm="batch")
    assert best(runs_table(*rows))[["norm", "lr"]].to_numpy().tolist() == [["batch", 0.1], ["none", 0.2]]


def test_studies_are_tuned_apart() -> None:
    """A study never chooses among the runs of another."""
    rows = grid({0: {0.1: 0.5}}, study="a") + grid({0: {0.2: 0.6}}, study="b")
    runs = runs_table(*rows)
    assert arm_columns(runs, ["lr"]) == ["study"]
    assert chosen_rates(runs) == [0.1, 0.2]


def test_a_diverged_run_counts_as_chance() -> None:
    """Divergence loses to anything above chance, and wins over what is below."""
    assert chosen_rates(runs_table(*grid({0: {0.1: None, 0.2: 0.11}, 1: {0.1: 0.05, 0.2: None}}))) == [0.2, 0.2]


def test_a_seed_that_always_diverges_takes_the_lowest() -> None:
    """All at chance is a tie; the seed stays, and its choice is a diverged run."""
    chosen = best(runs_table(*grid({0: {0.2: None, 0.1: None}})))
    assert chosen[["lr", "status"]].to_numpy().tolist() == [[0.1, "diverged"]]


def test_a_failed_run_is_no_candidate() -> None:
    """A run that failed is never chosen, whatever it left behind; a seed without others drops out."""
    rows = grid({0: {0.1: 0.9, 0.2: 0.8}, 1: {0.1: 0.7}})
    rows[0]["status"] = rows[2]["status"] = "failed"
    assert best(runs_table(*rows))[["seed", "lr"]].to_numpy().tolist() == [[0, 0.2]]


def test_loss_is_chosen_downwards() -> None:
    """By validation loss the lowest wins."""
    runs = runs_table({"lr": 0.1, "val_loss": 0.5}, {"lr": 0.2, "val_loss": 0.4})
    assert best(runs, metric="val_loss")["lr"].tolist() == [0.2]


@pytest.mark.parametrize(("metric", "rate"), [("r2", 0.4), ("mse", 0.2)])
def test_a_task_chooses_by_its_first_metric(metric: str, rate: float) -> None:
    """In the direction of the metric, where chance, of a diverged run, is worse than any."""
    rows = [
        {
            "lr": lr, f"val_{metric}": score, "val_loss": lr, f"chance_{metric}": {"r2": 0.0, "mse": 9.0}[metric],
            "status": "diverged" if score is None else "finished", "num_classes": None,
        }
        for lr, score in ((0.1, None), (0.2, 0.3), (0.4, 0.5), (0.8, 0.4))
    ]  # fmt: skip
    assert chosen_rates(runs_table(*rows)) == [rate]
    assert best(runs_table(*rows), metric="val_loss")["lr"].tolist() == [0.2]


def test_tasks_choose_each_by_their_own_metric() -> None:
    """Also where accuracy says something else of the other task's runs."""
    rows: list[dict[str, Any]] = [
        {"task": "images", "lr": 0.1, "val_accuracy": 0.9, "val_loss": 5.0},
        {"task": "images", "lr": 0.2, "val_accuracy": 0.8, "val_loss": 1.0},
        {"task": "targets", "lr": 0.1, "val_mse": 3.0, "val_loss": 1.0},
        {"task": "targets", "lr": 0.2, "val_mse": 2.0, "val_loss": 5.0},
    ]
    assert chosen_rates(runs_table(*rows)) == [0.1, 0.2]


def test_a_diverged_run_is_the_worst_where_chance_is_not_known() -> None:
    """A task may not say what no skill scores."""
    lost = {"status": "diverged", "num_classes": None}
    rows: list[dict[str, Any]] = [{"lr": 0.1, **lost}, {"lr": 0.2, "val_mse": 1e9}]
    assert chosen_rates(runs_table(*rows)) == [0.2]
    assert chosen_rates(runs_table(*rows, {"lr": 0.1, "seed": 1, **lost}, {"lr": 0.2, "seed": 1, **lost})) == [0.2, 0.1]


def test_two_columns_are_tuned_together() -> None:
    """Every pair of values is a candidate; the first column breaks ties, then the second."""
    tuned = ["lr", "optimizer.momentum"]
    rows = [{"lr": lr, tuned[1]: momentum, "val_accuracy": 0.9} for lr in (0.2, 0.1) for momentum in (0.9, 0.0)]
    rows[3]["val_accuracy"] = 0.8
    assert best(runs_table(*rows), over=tuned)[tuned].to_numpy().tolist() == [[0.1, 0.9]]


@pytest.mark.parametrize(
    ("scores", "at_edge"),
    [
        pytest.param({0.1: 0.9, 0.2: 0.8, 0.4: 0.7}, True, id="lowest"),
        pytest.param({0.1: 0.7, 0.2: 0.8, 0.4: 0.9}, True, id="highest"),
        pytest.param({0.1: 0.7, 0.2: 0.9, 0.4: 0.8}, False, id="inside"),
        pytest.param({0.1: 0.7, 0.2: 0.9}, True, id="two values are both edges"),
        pytest.param({0.1: 0.7}, None, id="one value is no choice"),
    ],
)
def test_edge(scores: dict[float, float | None], at_edge: bool | None) -> None:
    """A choice at an end of its arm's grid is flagged."""
    flag = best(runs_table(*grid({0: scores})))["at_edge"].iloc[0]
    assert (None if pd.isna(flag) else bool(flag)) == at_edge


def test_the_edge_is_that_of_the_arm() -> None:
    """A wider grid in another arm moves no edge, and what another seed tried does."""
    rows = grid({0: {0.1: 0.7, 0.2: 0.9}, 1: {0.2: 0.9, 0.4: 0.8}}) + grid({0: {0.8: 0.5, 0.05: 0.6}}, norm="none")
    assert best(runs_table(*rows))["at_edge"].tolist() == [False, False, True]


def test_a_column_of_one_value_makes_no_edge() -> None:
    """Beside a tuned rate, a column in which there was nothing to choose flags nothing."""
    rows = [{**row, "optimizer.momentum": 0.9} for row in grid({0: {0.1: 0.7, 0.2: 0.9, 0.4: 0.8}})]
    assert best(runs_table(*rows), over=["lr", "optimizer.momentum"])["at_edge"].tolist() == [False]


def test_text_has_no_edge() -> None:
    """A choice among names lies at no edge."""
    runs = runs_table({"norm": "batch", "val_accuracy": 0.9}, {"norm": "none", "val_accuracy": 0.8})
    assert best(runs, over=["norm"])["at_edge"].isna().all()


def test_no_validation_metric_is_an_error() -> None:
    """Where validation was not measured there is nothing to tune by."""
    with pytest.raises(StudyError, match="run 000000000000 has no val_accuracy to tune lr by"):
        best(runs_table({"lr": 0.1}, {"lr": 0.2}))


def test_an_unknown_column_is_an_error() -> None:
    """A tuned column that no run has is named, with the nearest."""
    with pytest.raises(ConfigError, match=r"did you mean 'model\.depth'"):
        best(runs_table({"model.depth": 3}), over=["model.dept"])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | st.sampled_from([0.05, 0.1, 0.5, 0.9]), min_size=12, max_size=12), st.randoms())
def test_choices_are_those_of_a_loop(scores: list[float | None], random: Any) -> None:
    """For any scores and order of rows, a loop over arms and seeds chooses the same."""
    cells = [(norm, seed, lr) for norm in ("batch", "none") for seed in (0, 1) for lr in (0.1, 0.2, 0.4)]
    rows = [row for cell, s in zip(cells, scores, strict=True) for row in grid({cell[1]: {cell[2]: s}}, norm=cell[0])]
    table = dict(zip(cells, (0.1 if score is None else score for score in scores), strict=True))
    expected = [
        min((0.1, 0.2, 0.4), key=lambda lr: (-table[norm, seed, lr], lr))
        for norm, seed in [("batch", 0), ("batch", 1), ("none", 0), ("none", 1)]
    ]
    random.shuffle(rows)
    np.testing.assert_array_equal(chosen_rates(runs_table(*rows)), expected)
