from typing import Any

import pandas as pd
import pytest

from normbench.analysis.summary import summarize
from normbench.analysis.table import aggregate
from normbench.errors import ConfigError

from .tables import regression_rows, runs_table


def sweep(**scores: list[float | None]) -> list[dict[str, Any]]:
    """Return runs of two rates and two seeds for each norm: scores of (rate .1: seed 0, 1; rate .2: seed 0, 1)."""
    cells = [(lr, seed) for lr in (0.1, 0.2) for seed in (0, 1)]
    return [
        {"norm": norm, "lr": lr, "seed": seed, "status": "finished" if score is not None else "diverged"}
        | dict.fromkeys(["val_accuracy", "test_accuracy"], score)
        for norm, row in scores.items()
        for (lr, seed), score in zip(cells, row, strict=True)
    ]


def test_rows_are_cells_by_default() -> None:
    """Without `by` a row is a cell, and its numbers are those of the summary."""
    runs = runs_table(*sweep(batch=[0.9, 0.8, 0.7, 0.9], none=[0.5, 0.6, None, 0.2]))
    table, summary = aggregate(runs), summarize(runs)
    assert table.by == ("norm", "lr")
    assert table.rows["n"].tolist() == [2, 2, 2, 2]
    assert table.rows["diverged"].tolist() == [0, 0, 0, 1]
    named = {"mean": "mean_finished", "ci_low": "ci_low", "ci_high": "ci_high", "sd": "sd"}
    for name, source in {**named, "mean_chance_imputed": "mean_chance_imputed"}.items():
        pd.testing.assert_series_equal(table.rows[name], summary[f"test_accuracy_{source}"], check_names=False)


def test_columns_that_say_nothing_are_left_out() -> None:
    """Without failure or divergence there is no column for either's effect."""
    names = list(aggregate(runs_table(*sweep(batch=[0.9, 0.8, 0.7, 0.9]))).rows.columns)
    assert names == ["lr", "n", "diverged", "mean", "ci_low", "ci_high", "sd", "among_best"]


def test_best_scores_what_each_seed_chose() -> None:
    """With `best` a row has one value a seed, the rate chosen most often, and how many chose at the edge."""
    runs = runs_table(*sweep(batch=[0.9, 0.5, 0.7, 0.6], none=[0.5, 0.6, None, 0.2]))
    rows = aggregate(runs, best="lr").rows
    assert rows[["norm", "lr", "chosen_by", "at_edge", "n"]].to_numpy().tolist() == [
        ["batch", 0.1, 1, 2, 2],
        ["none", 0.1, 2, 2, 2],
    ]
    assert rows["mean"].tolist() == pytest.approx([0.75, 0.55])


def test_the_value_shown_is_the_commonest_choice() -> None:
    """Two votes for the higher rate win over one for the lower."""
    scores = {0: (0.9, 0.8), 1: (0.8, 0.9), 2: (0.8, 0.9)}
    runs = [
        {"seed": seed, "lr": lr, "val_accuracy": score}
        for seed, pair in scores.items()
        for lr, score in zip((0.1, 0.2), pair, strict=True)
    ]
    assert aggregate(runs_table(*runs), best="lr").rows[["lr", "chosen_by"]].to_numpy().tolist() == [[0.2, 2]]


def test_an_arm_that_only_failed_keeps_its_row() -> None:
    """Where no seed has a candidate, the row is there, with nothing chosen and its failures counted."""
    failed = [{"norm": "none", "lr": lr, "status": "failed"} for lr in (0.1, 0.2)]
    rows = aggregate(runs_table(*sweep(batch=[0.9, 0.5, 0.7, 0.6]), *failed), best="lr").rows
    assert rows[["norm", "chosen_by", "n", "failed"]].to_numpy().tolist() == [["batch", 1, 2, 0], ["none", 0, 0, 2]]
    assert rows[["lr", "mean", "at_edge"]].isna().to_numpy().tolist() == [[False] * 3, [True] * 3]


def test_a_choice_may_be_a_missing_value() -> None:
    """Where leaving a value unset wins, the row shows it as missing and counts its votes."""
    runs = runs_table({"norm_batch_size": 4, "val_accuracy": 0.5}, {"norm_batch_size": None, "val_accuracy": 0.9})
    rows = aggregate(runs, best="norm_batch_size").rows
    assert pd.isna(rows["norm_batch_size"].iloc[0])
    assert rows["chosen_by"].tolist() == [1]


def test_studies_have_rows_of_their_own() -> None:
    """Several studies are not pooled unless asked, and then a run that lies in two counts once."""
    runs = [{"run_id": f"r{seed}", "seed": seed, "test_accuracy": seed} for seed in (0, 1)]
    rows = [{**run, "study": study} for study in "ab" for run in runs]
    assert aggregate(runs_table(*rows)).rows[["study", "n"]].to_numpy().tolist() == [["a", 2], ["b", 2]]
    pooled = aggregate(runs_table(*rows), by=["norm"])
    assert pooled.rows["n"].tolist() == [2]
    assert "2 runs are copies of a run in another study and count once." in pooled.notes


def test_a_single_cell_is_named_by_its_norm() -> None:
    """Where nothing varies, the row still says what it is."""
    assert aggregate(runs_table({}, {"seed": 1})).by == ("norm",)


def test_no_runs_no_rows() -> None:
    """A study of which nothing has ended has an empty table, with and without a choice."""
    assert aggregate(runs_table()).rows.empty
    assert aggregate(runs_table(), best="lr").rows.empty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "test_acc"}, "unknown metric 'test_acc'; did you mean 'test_accuracy'"),
        ({"by": ["nrom"]}, "unknown column to group by 'nrom'; did you mean 'norm'"),
        ({"by": ["test_loss"]}, "unknown column to group by 'test_loss'"),
        ({"best": "learning_rate"}, "unknown config column to tune 'learning_rate'"),
        ({"best": "seed"}, "unknown config column to tune 'seed'"),
        ({"by": ["lr"], "best": "lr"}, "'lr' cannot be both tuned and grouped by"),
    ],
)
def test_unknown_names(options: dict[str, Any], message: str) -> None:
    """A name that is none is an error that says what there is."""
    with pytest.raises(ConfigError) as caught:
        aggregate(runs_table({}), **options)
    assert message in str(caught.value)


REGRESSION = runs_table(*regression_rows())
"""Two norms, three rates of which the highest diverges, three seeds: scores of r2 and mse, and no accuracy."""


def test_a_task_without_accuracy_is_shown_by_its_first_metric() -> None:
    """Chosen, averaged and judged by r2 where no metric is named; a diverged run counts as its own chance."""
    table = aggregate(REGRESSION, best="lr")
    assert (table.metric, table.by) == ("test_r2", ("norm",))
    assert table.rows["lr"].tolist() == [0.1, 0.1]
    assert table.rows["mean"].tolist() == pytest.approx([0.81, 0.51])
    assert table.rows["among_best"].tolist() == [True, False]
    assert "chose by their own validation r2," in " ".join(table.notes)
    lost = aggregate(REGRESSION, by=["lr"]).rows.iloc[-1]
    assert (lost["diverged"], lost["mean_chance_imputed"]) == (6, 0.0)


def test_the_lowest_error_is_the_best() -> None:
    """The direction is the metric's, by precise statistics too."""
    table = aggregate(REGRESSION, metric="test_mse_precise", best="lr", pivot="norm")
    assert table.rows["mean"].tolist() == pytest.approx([0.38, 0.98])
    assert table.rows["among_best"].tolist() == [True, False]


def test_an_unknown_chance_is_said() -> None:
    """A diverged run then enters no mean, and nothing claims that it does."""
    table = aggregate(REGRESSION.drop(columns=["chance_r2"]), by=["lr"])
    assert "mean_chance_imputed" not in table.rows
    assert "the chance level of test_r2 is not recorded" in " ".join(table.notes)


def test_no_row_pools_tasks() -> None:
    """Whatever rows are made by, each is of one task, and none is the best of two."""
    rows = [{**row, "task": "targets", "test_loss": 9.0} for row in regression_rows()]
    images = [{"task": "images", "norm": "batch", "seed": seed, "test_loss": 0.1} for seed in range(3)]
    table = aggregate(runs_table(*rows, *images), by=["norm"], metric="test_loss")
    assert table.by == ("task", "norm")
    assert table.rows[["task", "norm"]].to_numpy().tolist() == [
        ["images", "batch"],
        ["targets", "batch"],
        ["targets", "none"],
    ]
    assert table.rows["among_best"].isna().tolist() == [True, False, False]


def test_the_chance_of_a_task_is_no_metric_to_average() -> None:
    """It is the same in every run."""
    with pytest.raises(ConfigError, match="unknown metric 'chance_r2'"):
        aggregate(REGRESSION, metric="chance_r2")
