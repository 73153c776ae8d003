import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from normbench.analysis.chance import imputed_values
from normbench.analysis.study import load_curves, load_pair, load_provenance, load_runs, load_verdicts, read_curves
from normbench.errors import StudyError
from normbench.record.columns import CURVES, FIXED

from .tables import write_regression, write_study


def edit(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Edit the lines of a `runs.csv` as a hand would."""
    path = folder / "runs.csv"
    path.write_text("\n".join(change(path.read_text().split("\n"))), newline="")


def test_text_that_looks_like_something_else_stays_text(tmp_path: Path) -> None:
    """Run ids that look like numbers, and names that look like missing values, are text."""
    error = 'a "quoted", two-line\nreason'
    folder = write_study(
        tmp_path / "s",
        {"run_id": "1234e6789012", "norm": "none", "data": "NA", "status": "failed", "error": error},
        {"run_id": "000000000001", "norm": "null"},
    )
    runs = load_runs(folder)
    assert runs["run_id"].tolist() == ["1234e6789012", "000000000001"]
    assert runs[["norm", "data"]].to_numpy().tolist() == [["none", "NA"], ["null", "digits"]]
    assert runs["error"].iloc[0] == error
    assert pd.isna(runs["error"].iloc[1])


def test_fixed_columns_have_their_dtypes(tmp_path: Path) -> None:
    """Whole numbers stay whole beside empty cells, and an empty metric is NaN."""
    runs = load_runs(write_study(tmp_path / "s", {"steps_to_target": 7}, {"test_loss": 0.1, "norm_batch_size": 4}))
    assert {name: str(runs[name].dtype) for name in FIXED} == {name: spec.dtype for name, spec in FIXED.items()}
    assert runs["steps_to_target"].iloc[0] == 7
    assert np.isnan(runs["test_loss"].iloc[0])
    assert runs["norm_batch_size"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        pytest.param([3, None, 12], "Int64", [3, pd.NA, 12], id="whole numbers"),
        pytest.param([1e-05, 0.5, 1], "float64", [1e-05, 0.5, 1.0], id="floats"),
        pytest.param([True, None, False], "boolean", [True, pd.NA, False], id="booleans"),
        pytest.param(["auto", 4, None], "str", ["auto", "4", np.nan], id="mixed is text"),
        pytest.param([True, "zero", None], "str", ["true", "zero", np.nan], id="booleans among text"),
        pytest.param(["007", "1_000", "nan"], "str", ["007", "1_000", "nan"], id="not quite numbers"),
        pytest.param([10**20, 1, 2], "float64", [1e20, 1.0, 2.0], id="beyond int64"),
        pytest.param([None, None, None], "str", [np.nan] * 3, id="all empty"),
        pytest.param([[1, 2], {"a": 1}, None], "str", ["[1,2]", '{"a":1}', np.nan], id="lists"),
    ],
)
def test_other_config_is_kept_faithfully(tmp_path: Path, values: list[Any], dtype: str, expected: list[Any]) -> None:
    """A dotted column is as narrow as all its values allow, and otherwise what was written."""
    found = load_runs(write_study(tmp_path / "s", *({"norm.x": value} for value in values)))["norm.x"]
    pd.testing.assert_series_equal(found, pd.Series(expected, dtype=dtype, name="norm.x"))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.text(st.characters(exclude_categories=["C"])))
    )
)
def test_what_is_written_is_what_is_read(tmp_path: Path, rows: list[tuple[float, str]]) -> None:
    """Floats come back to the last bit, and any text with them."""
    runs = load_runs(write_study(tmp_path / "s", *({"val_loss": loss, "error": error} for loss, error in rows)))
    assert runs["val_loss"].tolist() == [loss for loss, _ in rows]
    assert runs["error"].fillna("").tolist() == [error for _, error in rows]


def test_studies_load_together(tmp_path: Path) -> None:
    """A column that only one study has is missing in the other, and values are read alike in both."""
    one = write_study(tmp_path / "one", {"norm.groups": 4})
    two = write_study(tmp_path / "two", {"norm.groups": "auto"})
    three = write_study(tmp_path / "three", {})
    runs = load_runs(one, two, three)
    assert runs["study"].tolist() == ["one", "two", "three"]
    assert runs["norm.groups"].fillna("-").tolist() == ["4", "auto", "-"]


def test_further_metrics_are_floats(tmp_path: Path) -> None:
    """Whole numbers among them too; where another study has none, they are missing."""
    one = write_study(tmp_path / "one", {"val_miou": 1, "test_map_precise": 0, "chance_map": 0, "model.depth": 3})
    runs = load_runs(one, write_study(tmp_path / "two", {}))
    assert runs[["val_miou", "test_map_precise", "chance_map"]].dtypes.astype(str).tolist() == ["float64"] * 3
    assert runs["val_miou"].isna().tolist() == [False, True]
    assert str(runs["model.depth"].dtype) == "Int64"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("test_miou", 1.5, "test_miou is '1.5'; miou is at most 1"),
        ("val_perplexity", 0.5, "val_perplexity is '0.5'; perplexity is at least 1"),
        ("test_mse_batch", -1, "test_mse_batch is '-1'; mse is at least 0"),
        ("train_r2", 1.1, "train_r2 is '1.1'; r2 is at most 1"),
        ("chance_map", 2, "chance_map is '2'; map is at most 1"),
    ],
)
def test_impossible_values_of_other_metrics_are_refused(tmp_path: Path, name: str, value: float, reason: str) -> None:
    """Each metric has bounds of its own."""
    with pytest.raises(StudyError) as caught:
        load_runs(write_study(tmp_path / "s", {name: value}))
    assert reason in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("train_r2", -7.0), ("val_perplexity", 1e6), ("test_bleu", 41.5)])
def test_possible_values_of_other_metrics_are_taken(tmp_path: Path, name: str, value: float) -> None:
    """No bound of a share holds for them."""
    assert load_runs(write_study(tmp_path / "s", {name: value}))[name].tolist() == [value]


def test_a_diverged_run_without_classes_needs_its_chance(tmp_path: Path) -> None:
    """A task without classes says by itself what no skill scores, or not at all."""
    runs = load_runs(write_regression(tmp_path / "s"))
    assert runs["num_classes"].isna().all()
    assert imputed_values(runs, "val_mse")[runs["status"] == "diverged"].tolist() == [2.0] * 6


def test_a_study_of_which_nothing_has_ended_yet(tmp_path: Path) -> None:
    """A file of a header alone has no runs, in the right dtypes."""
    runs = load_runs(write_study(tmp_path / "s"))
    assert (len(runs), str(runs["seed"].dtype), str(runs["run_id"].dtype)) == (0, "int64", "str")


def set_cell(line: int, name: str, value: str) -> Callable[[list[str]], list[str]]:
    """Return an edit that overwrites one cell."""

    def change(lines: list[str]) -> list[str]:
        cells = lines[line - 1].split(",")
        cells[list(FIXED).index(name)] = value
        return [*lines[: line - 1], ",".join(cells), *lines[line:]]

    return change


IMPOSSIBLE = {
    "test_accuracy": "inf",
    "test_accuracy_precise": "7",
    "test_accuracy_batch": "-5",
    "train_accuracy": "-inf",
    "val_accuracy": "1e400",
}
"""Accuracies that no run has."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda lines: [lines[0].replace(",lr,", ",x,"), *lines[1:]], "1: missing columns: lr", id="no lr"),
        pytest.param(lambda lines: [lines[0] + ",lr", *lines[1:]], "1: duplicate columns: lr", id="lr twice"),
        pytest.param(lambda lines: [*lines[:2], lines[2][:40]], "3: the file ends in the middle of a line", id="cut"),
        pytest.param(lambda lines: [*lines[:2], lines[2][:40], *lines[3:]], "3: 6 fields, but", id="too few"),
        pytest.param(lambda lines: [*lines[:2], lines[2] + ",", *lines[3:]], "3: 26 fields, but", id="too many"),
        pytest.param(
            lambda lines: [lines[0], lines[1] + ",", lines[2][:-1], *lines[3:]], "2: 26 fields", id="many and few"
        ),
        pytest.param(lambda lines: [*lines[:2], "", *lines[2:]], "3: 0 fields, but", id="blank line"),
        pytest.param(lambda lines: [*lines[:2], lines[2] + '"x', *lines[3:]], "line 2: unexpected end", id="quote"),
        pytest.param(set_cell(3, "run_id", "0" * 12), "3: run_id is '000000000000'; an earlier", id="run_id twice"),
        pytest.param(set_cell(3, "run_id", ""), "3: run_id is empty; every run needs one", id="no run_id"),
        pytest.param(set_cell(3, "status", "done"), "3: status is 'done'; allowed: finished,", id="status"),
        pytest.param(set_cell(3, "lr", "fast"), "3: lr is 'fast', not a number", id="number"),
        pytest.param(set_cell(3, "steps", "1.5"), "3: steps is '1.5', not a whole number", id="whole number"),
        pytest.param(set_cell(3, "seed", ""), "3: seed is '', not a whole number", id="no seed"),
        *(
            pytest.param(
                set_cell(3, name, value),
                f"3: {name} is '{value}'; accuracy is at {'least 0' if value[0] == '-' else 'most 1'}",
                id=f"{name} {value}",
            )
            for name, value in IMPOSSIBLE.items()
        ),
        pytest.param(set_cell(3, "test_accuracy", "nan"), "3: test_accuracy is 'nan', not a number", id="nan"),
        pytest.param(set_cell(3, "val_loss", "1_000"), "3: val_loss is '1_000', not a number", id="underscore"),
        pytest.param(
            set_cell(3, "val_loss", "inf"), "3: val_loss is 'inf'; a run with a non-finite loss", id="infinite loss"
        ),
        pytest.param(set_cell(3, "num_classes", "0"), "3: num_classes is '0'; it must be at least 1", id="no classes"),
        pytest.param(lambda lines: [lines[0], f'"a"{lines[1]}', *lines[2:]], "below line 1: ',' expected", id="quoted"),
        pytest.param(set_cell(2, "num_classes", ""), "2: num_classes is empty; a diverged run", id="no chance"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: Callable[[list[str]], list[str]], message: str) -> None:
    """What is wrong is said with the file and the line."""
    folder = write_study(tmp_path / "s", {"status": "diverged"}, {"seed": 1}, {"seed": 2})
    edit(folder, change)
    with pytest.raises(StudyError) as caught:
        load_runs(folder)
    assert str(folder / "runs.csv") in str(caught.value)
    assert message in str(caught.value)


def test_an_error_after_a_two_line_cell_names_the_line_of_the_file(tmp_path: Path) -> None:
    """Lines are counted as an editor counts them."""
    folder = write_study(tmp_path / "s", {"error": "two\nlines"}, {"status": "done"})
    with pytest.raises(StudyError, match="line 4: status is 'done'"):
        load_runs(folder)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """A file that is no UTF-8 is unreadable."""
    (tmp_path / "runs.csv").write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(StudyError, match="unreadable"):
        load_runs(tmp_path)


def test_no_runs_yet(tmp_path: Path) -> None:
    """A study without a `runs.csv` says that no run has ended."""
    with pytest.raises(StudyError, match="no run of this study has ended yet"):
        load_runs(tmp_path)


def test_curves(tmp_path: Path) -> None:
    """Curves have their fixed columns, and probe scalars as floats."""
    lines = [",".join([*CURVES, "grad_norm"]), "1234e6789012,1,40,0.1,2.3,0.1,2.2,0.2,", "a,,80,0.1,1,1,1,1,3"]
    (tmp_path / "curves.csv").write_text("\n".join([*lines, ""]))
    curves = load_curves(tmp_path)
    assert curves["run_id"].tolist() == ["1234e6789012", "a"]
    assert curves["epoch"].isna().tolist() == [False, True]
    assert curves["grad_norm"].tolist()[1:] == [3.0]


@pytest.mark.parametrize(
    ("lines", "fields"),
    [
        pytest.param(["a,1,40,0.1"], 4, id="too few"),
        pytest.param(["1,1,1,1,1,1,1,1,1", "2,1,1,1,1,1,1"], 9, id="one too many and one too few"),
    ],
)
def test_damaged_curves_are_refused(tmp_path: Path, lines: list[str], fields: int) -> None:
    """A line of curves with other fields than the header is named, though all be numbers."""
    (tmp_path / "curves.csv").write_text("\n".join([",".join(CURVES), *lines, ""]))
    with pytest.raises(StudyError, match=rf"curves\.csv, line 2: {fields} fields, but the header has 8"):
        load_curves(tmp_path)


@pytest.mark.parametrize(
    ("name", "cell", "reason"),
    [
        pytest.param("train_accuracy", "7", "; accuracy is at most 1", id="above one"),
        pytest.param("val_accuracy", "-0.5", "; accuracy is at least 0", id="below zero"),
        pytest.param("val_loss", "nan", ", not a number", id="nan"),
    ],
)
def test_impossible_curves_are_refused(tmp_path: Path, name: str, cell: str, reason: str) -> None:
    """With file, line, column and what stands there."""
    row = dict.fromkeys(CURVES, "1") | {name: cell}
    lines = [",".join(CURVES), ",".join("1" for _ in CURVES), ",".join(row.values()), ""]
    (tmp_path / "curves.csv").write_text("\n".join(lines))
    with pytest.raises(StudyError, match=rf"curves\.csv, line 3: {name} is '{cell}'{reason}"):
        load_curves(tmp_path)


@pytest.mark.parametrize("size", [1, 40, 1 << 26])
def test_a_table_read_in_parts_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """However small the parts, also where a cell has two lines; an error names the line of the whole file."""
    monkeypatch.setattr("normbench.analysis.study._PART_SIZE", size)
    lines = [",".join(CURVES), '"two\nlines",1,1,1,1,1,1,1', *(f"b,,{step},1,1,1,1,1" for step in range(5)), ""]
    (tmp_path / "curves.csv").write_text("\n".join(lines))
    curves = load_curves(tmp_path)
    assert curves["run_id"].tolist() == ["two\nlines", *"bbbbb"]
    assert curves["step"].tolist() == [1, 0, 1, 2, 3, 4]
    assert curves["epoch"].isna().sum() == 5
    assert curves.index.tolist() == list(range(6))
    assert len(list(read_curves(tmp_path))) == {1: 6, 40: 3}.get(size, 1)
    lines[5] = "b,,3,1,1,2,1,1"
    (tmp_path / "curves.csv").write_text("\n".join(lines))
    with pytest.raises(StudyError, match=r"curves\.csv, line 7: train_accuracy is '2'"):
        load_curves(tmp_path)


def test_infinite_probes_and_losses_of_curves_are_kept(tmp_path: Path) -> None:
    """The rate of a weight of zero is infinite, and the curve of a run that diverges may be."""
    (tmp_path / "curves.csv").write_text("\n".join([",".join([*CURVES, "probe.rate"]), "a,1,40,0.1,inf,0,2,1,inf", ""]))
    assert load_curves(tmp_path)[["train_loss", "probe.rate"]].to_numpy().tolist() == [[np.inf, np.inf]]


def test_a_run_that_has_not_finished_may_lack_its_numbers(tmp_path: Path) -> None:
    """Empty metrics, and no classes where the model was never built."""
    runs = load_runs(write_study(tmp_path / "s", {"status": "failed", "num_classes": None}, {"status": "diverged"}))
    assert runs["test_accuracy"].isna().all()


def plan(folder: Path, **configs: dict[str, Any]) -> None:
    """Write a plan of one block with these configs by run_id."""
    entries: list[dict[str, Any]] = [{"block": 1, "lines": len(configs), "changed": []}]
    data = {"data": {"name": "digits"}}
    entries += [{"run": run_id, "content": "c", "config": {**data, **config}} for run_id, config in configs.items()]
    (folder / "plan.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def test_a_pair_of_studies_has_the_same_columns(tmp_path: Path) -> None:
    """What one study does not record, as it never varied there, is looked up in its plan."""
    first = write_study(tmp_path / "a", {"run_id": "a" * 12, "model.depth": 3}, {"run_id": "b" * 12, "model.depth": 6})
    second = write_study(tmp_path / "b", {"run_id": "a" * 12, "eval_every": 7})
    plan(first, **{name * 12: {"model": {"name": "mlp", "depth": 3}, "eval_every": None} for name in "ab"})
    plan(second, **{"a" * 12: {"model": {"name": "mlp", "depth": 3}, "eval_every": 7}})
    a, b, unknown = load_pair(first, second)
    assert a["model.depth"].tolist() == [3, 6] and b["model.depth"].tolist() == [3]
    assert a["eval_every"].isna().all() and b["eval_every"].tolist() == [7]
    assert unknown == ()


def test_a_metric_of_one_study_is_no_column_to_look_up(tmp_path: Path) -> None:
    """It is missing in the other, and no reason to pool."""
    first, second = write_study(tmp_path / "a", {"val_miou": 0.5}), write_study(tmp_path / "b", {})
    a, b, unknown = load_pair(first, second)
    assert (a["val_miou"].tolist(), b["val_miou"].isna().tolist(), unknown) == ([0.5], [True], ())


def test_a_pair_without_a_plan_loses_the_column(tmp_path: Path) -> None:
    """Without a plan nobody knows the value, so the column is left out and named."""
    first = write_study(tmp_path / "a", {"model.depth": 3}, {"model.depth": 6})
    a, b, unknown = load_pair(first, write_study(tmp_path / "b", {}))
    assert "model.depth" not in a and "model.depth" not in b
    assert unknown == ("model.depth",)


@pytest.mark.parametrize("load", [load_verdicts, load_provenance])
def test_a_table_that_a_study_may_lack(tmp_path: Path, load: Callable[[Path], pd.DataFrame]) -> None:
    """A study that was never judged, or came without its provenance, has no rows of it."""
    assert load(tmp_path).empty
    name = load.__name__.removeprefix("load_")
    (tmp_path / f"{name}.csv").write_text("claim\n")
    with pytest.raises(StudyError, match=rf"{name}\.csv, line 1: missing columns"):
        load(tmp_path)


@pytest.mark.parametrize(("ending", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_a_compressed_table_is_read_as_the_plain_one(
    tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]
) -> None:
    """What is kept small has the same rows; one cut short is an error that names it."""
    plain = write_study(tmp_path / "a", {"lr": 0.5}, {"lr": 0.25})
    packed = tmp_path / "b"
    packed.mkdir()
    data = compress((plain / "runs.csv").read_bytes())
    table = packed / f"runs.csv{ending}"
    table.write_bytes(data)
    pd.testing.assert_frame_equal(load_runs(packed), load_runs(plain))
    table.write_bytes(data[:-20])
    with pytest.raises(StudyError, match=rf"{table.name} is unreadable"):
        load_runs(packed)
