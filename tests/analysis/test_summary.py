import errno
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from normbench.analysis.summary import csv_text, summarize, write_summary
from normbench.errors import StudyError
from normbench.record.columns import METRIC_COLUMNS

from .tables import regression_rows, runs_table

ROW = st.fixed_dictionaries(
    {
        "norm": st.sampled_from(["batch", "none"]),
        "norm_batch_size": st.sampled_from([None, 4, 16]),
        "status": st.sampled_from(["finished", "finished", "diverged", "failed"]),
        "test_accuracy": st.none() | st.floats(0, 1),
        "val_loss": st.none() | st.floats(0, 10),
        "steps_to_target": st.none() | st.integers(1, 100),
    }
)
CHANCE = {"test_accuracy": 0.1, "val_loss": np.log(10), "steps_to_target": None}


def slow_statistics(rows: list[dict[str, Any]], metric: str) -> list[float]:
    """Return mean, chance-imputed mean, sd and interval of one cell, one value at a time."""
    done = [row[metric] for row in rows if row["status"] == "finished" and row[metric] is not None]
    lost = [CHANCE[metric] for row in rows if row["status"] == "diverged" and CHANCE[metric] is not None]
    mean = statistics.fmean(done) if done else np.nan
    imputed = statistics.fmean(done + lost) if done + lost else np.nan
    if len(done) < 2:
        return [mean, imputed, np.nan, np.nan, np.nan]
    sd = statistics.stdev(done)
    half = stats.t.ppf(0.975, len(done) - 1) * sd / len(done) ** 0.5
    return [mean, imputed, sd, mean - half, mean + half]


@settings(max_examples=50, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=30))
def test_summary_is_that_of_a_loop(rows: list[dict[str, Any]]) -> None:
    """Each row is what a loop over the cell's runs finds."""
    summary = summarize(runs_table(*rows))
    keys = sorted({(row["norm"], row["norm_batch_size"] or 99) for row in rows})
    assert list(zip(summary["norm"], summary["norm_batch_size"].fillna(99), strict=True)) == keys
    for key, (_, found) in zip(keys, summary.iterrows(), strict=True):
        mine = [row for row in rows if (row["norm"], row["norm_batch_size"] or 99) == key]
        assert found["n"] == len(mine)
        for status in ("finished", "diverged", "failed"):
            assert found[f"n_{status}"] == sum(row["status"] == status for row in mine)
        for metric in CHANCE:
            names = [f"{metric}_{name}" for name in ("mean_finished", "mean_chance_imputed", "sd", "ci_low", "ci_high")]
            expected = slow_statistics(mine, metric)
            np.testing.assert_allclose(found[names].astype(float), expected, rtol=1e-9, atol=1e-9)


def test_summary_has_every_metric() -> None:
    """Config, counts and five columns a metric, in that order."""
    names = list(summarize(runs_table({"model.depth": 3})).columns)
    assert names[names.index("steps") + 1 : names.index("n")] == ["model.depth"]
    assert names[names.index("n") :][:5] == ["n", "n_finished", "n_diverged", "n_failed", "n_reached_target"]
    assert len(names[names.index("n") + 5 :]) == 5 * len(METRIC_COLUMNS)


def test_further_metrics_follow_where_a_run_has_them() -> None:
    """Five columns each, after those of every study, chance-imputed by the chance of the task."""
    summary = summarize(runs_table(*regression_rows()))
    names = list(summary.columns)
    assert names[names.index("steps") + 1] == "n"
    assert len(names[names.index("n") + 5 :]) == 5 * (len(METRIC_COLUMNS) + 6 + 4)
    (lost, *_) = summary[summary["lr"] == 8.0].to_dict("records")
    assert (lost["n_diverged"], lost["test_mse_mean_chance_imputed"], lost["val_loss_mean_chance_imputed"]) == (3, 2, 1)


def test_runs_that_miss_the_target_are_counted() -> None:
    """A finished run that never reached its target is no part of the mean, and is seen in the count."""
    summary = summarize(runs_table({"steps_to_target": 10}, {"seed": 1}, {"seed": 2, "status": "diverged"}))
    assert summary[["n", "n_reached_target", "steps_to_target_mean_finished"]].iloc[0].tolist() == [3, 1, 10]


def test_an_infinite_loss_has_an_infinite_mean_and_no_interval() -> None:
    """A loss that overflowed on the test set is shown, without a warning."""
    summary = summarize(runs_table({"test_loss": np.inf}, {"test_loss": 1.0, "seed": 1}))
    assert summary["test_loss_mean_finished"].iloc[0] == np.inf
    assert np.isnan(summary["test_loss_ci_low"].iloc[0])


def test_no_runs_no_cells() -> None:
    """A study of which nothing has ended has an empty summary."""
    assert summarize(runs_table()).empty


def test_order_of_the_runs_changes_nothing() -> None:
    """Cells are ordered by their config, numbers by size."""
    rows = [{"batch_size": size, "seed": seed} for size in (128, 2, 32) for seed in (1, 0)]
    summary = summarize(runs_table(*rows))
    assert summary["batch_size"].tolist() == [2, 32, 128]
    pd.testing.assert_frame_equal(summary, summarize(runs_table(*reversed(rows))))


def test_csv_has_every_digit() -> None:
    """Numbers survive the file, nothing is written for what is missing, and booleans are as YAML has them."""
    frame = pd.DataFrame({"x": [0.1 + 0.2, np.nan], "flag": pd.array([True, None], dtype="boolean")})
    assert csv_text(frame) == "x,flag\n0.30000000000000004,true\n,\n"


def test_summary_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A summary that cannot be written leaves the old one, and no draft."""
    path = tmp_path / "summary.csv"
    write_summary(runs_table({}), path)
    before = path.read_text()

    def fail(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(StudyError, match="disk full"):
        write_summary(runs_table({}, {"norm": "none"}), path)
    assert (path.read_text(), [file.name for file in tmp_path.iterdir()]) == (before, ["summary.csv"])


def test_a_hundred_thousand_runs_are_summarized_in_seconds() -> None:
    """100,000 runs of 10,000 cells take well under the time that one loop over cells would."""
    cell, rng = np.arange(100_000) // 10, np.random.default_rng(0)
    runs = runs_table({}).iloc[np.zeros(100_000, dtype=np.int64)].reset_index(drop=True)
    runs = runs.assign(seed=np.arange(100_000) % 10, lr=cell % 100, **{"model.depth": cell // 100})
    runs = runs.assign(**{metric: rng.random(100_000) for metric in METRIC_COLUMNS})
    start = time.perf_counter()
    summary = summarize(runs)
    assert time.perf_counter() - start < 4
    assert (len(summary), set(summary["n"])) == (10_000, {10})
