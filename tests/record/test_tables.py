"""Tests of the tables that are merged from the shards."""

import csv
import io
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measure.made_up import make_up

from normbench.analysis.study import load_runs
from normbench.errors import StudyError
from normbench.record.columns import CURVES, FIXED, cell_text, is_metric
from normbench.record.store import CellValue, Record, Study
from normbench.record.tables import PROVENANCE, RESULT, line, merge

CONTRACT = [
    "run_id",
    "study",
    "status",
    "model",
    "norm",
    "data",
    "batch_size",
    "norm_batch_size",
    "lr",
    "seed",
    "epochs",
    "steps",
    "num_params",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
    "test_accuracy_precise",
    "test_accuracy_batch",
    "steps_to_target",
    "diverged_at_step",
    "error",
]


def config(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "model": {"name": "mlp", "width": 8, "depth": 3},
        "norm": {"name": "batch", "eps": 1e-5},
        "data": {"name": "digits", "root": "data", "download": False},
        "optimizer": {"name": "sgd", "momentum": 0.9},
        "schedule": {"name": "constant"},
    }
    return {
        **values,
        "batch_size": 32,
        "norm_batch_size": None,
        "lr": 0.1,
        "seed": 0,
        "epochs": 1,
        "steps": None,
    } | changes


def record(
    run_id: str,
    status: str = "finished",
    curves: dict[str, list[float | None]] | None = None,
    **cells: CellValue,
) -> Record:
    values: dict[str, CellValue] = {"num_params": 10, "num_classes": 10, **cells}
    return Record(
        run_id=run_id,
        status=status,
        result=values,
        curves={
            **{"epoch": [1.0, 2.0], "step": [3, 6], "lr": [0.1, 0.1], "train_loss": [2.0, 1.0]},
            **{"train_accuracy": [0.1, 0.2], "val_loss": [2.0, 1.0], "val_accuracy": [0.1, 0.2], **(curves or {})},
        },
        provenance=dict.fromkeys(PROVENANCE[1:], "x"),
    )


def make(folder: Path, configs: dict[str, dict[str, Any]], changed: list[str] | None = None) -> Study:
    study = Study(folder)
    study.create()
    study.append_block({"changed": changed or []}, {key: {"config": value} for key, value in configs.items()}, [])
    return study


def rows(study: Study, table: str = "runs") -> list[dict[str, str]]:
    with (study.folder / f"{table}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def test_the_columns_of_the_contract_come_first_and_in_order(tmp_path: Path) -> None:
    """Other tools read these names."""
    study = make(tmp_path / "mine", {"a": config()})
    study.write_shard(1, 0, [record("a")])
    assert merge(study) == 1
    header = list(rows(study)[0])
    assert header == list(FIXED)
    assert [name for name in header if name in CONTRACT] == CONTRACT


def test_a_row_holds_what_the_config_and_the_training_say(tmp_path: Path) -> None:
    """A group's column is its name, null is empty, numbers are in full."""
    study = make(tmp_path / "mine", {"a": config(lr=1e-05)})
    study.write_shard(1, 0, [record("a", test_accuracy=0.123456789, val_loss=2.0)])
    merge(study)
    (row,) = rows(study)
    filled = {key: value for key, value in row.items() if value}
    assert filled == {
        "run_id": "a", "study": "mine", "status": "finished", "model": "mlp", "norm": "batch", "data": "digits",
        "batch_size": "32", "lr": "1e-05", "seed": "0", "epochs": "1", "num_params": "10", "num_classes": "10",
        "test_accuracy": "0.123456789", "val_loss": "2.0",
    }  # fmt: skip


def test_the_order_of_shards_leaves_no_trace(tmp_path: Path) -> None:
    """Rows are ordered by run_id, so that two runs of one plan give the same bytes."""
    ids = ["0c", "a1", "b2", "1234e6789012"]
    found = []
    for place, order in enumerate((ids, ids[::-1])):
        study = make(tmp_path / str(place) / "mine", {run_id: config(seed=ids.index(run_id)) for run_id in order})
        for pack, run_id in enumerate(order):
            study.write_shard(1, pack, [record(run_id)])
        merge(study)
        found.append([(study.folder / f"{table}.csv").read_bytes() for table in ("runs", "curves", "provenance")])
    assert found[0] == found[1]
    assert [row["run_id"] for row in rows(study)] == sorted(ids)


def test_merging_again_changes_nothing(tmp_path: Path) -> None:
    """Tables are made anew from the shards."""
    study = make(tmp_path / "mine", {"a": config()})
    study.write_shard(1, 0, [record("a")])
    merge(study)
    before = (study.folder / "runs.csv").read_bytes()
    merge(study)
    assert (study.folder / "runs.csv").read_bytes() == before


AWKWARD = 'a "b", c\nd\r\ne\rf'


def test_awkward_text_stays_in_its_cell(tmp_path: Path) -> None:
    """Commas, quotes and line breaks of an error or a name break no row."""
    odd = {"name": AWKWARD, "eps": 1e-5}
    study = make(tmp_path / "mine", {"a": config(norm=odd), "b": config()}, ["norm.name"])
    study.write_shard(1, 0, [record("a", "failed", error=AWKWARD)])
    study.write_shard(1, 1, [record("b")])
    merge(study)
    first, second = rows(study)
    assert (first["error"], first["norm"], first["norm.name"]) == (AWKWARD, AWKWARD, AWKWARD)
    assert second["run_id"] == "b"
    assert load_runs(study.folder)["error"].tolist()[0] == AWKWARD


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), min_size=2))
def test_a_line_reads_back(cells: list[str]) -> None:
    """Any text is one cell."""
    assert list(csv.reader(io.StringIO(line(cells), newline=""), strict=True)) == [cells]


def test_a_diverged_run_has_no_metrics(tmp_path: Path) -> None:
    """It has a row all the same, with the step at which it ended."""
    study = make(tmp_path / "mine", {"a": config()})
    study.write_shard(1, 0, [record("a", "diverged", diverged_at_step=7)])
    merge(study)
    (row,) = rows(study)
    assert (row["status"], row["diverged_at_step"], row["num_params"]) == ("diverged", "7", "10")
    assert {row[name] for name in RESULT if name.startswith(("train_", "val_", "test_"))} == {""}


def test_changed_columns_are_filled_for_every_row(tmp_path: Path) -> None:
    """A column that one command needs has a value for the runs of the others, where they have one."""
    study = make(tmp_path / "mine", {"a": config()})
    later = config(model={"name": "mlp", "width": 8, "depth": 5}, norm={"name": "group", "num_groups": 4})
    study.append_block({"changed": ["model.depth", "norm.num_groups", "norm", "lr"]}, {"b": {"config": later}}, [])
    study.write_shard(1, 0, [record("a")])
    study.write_shard(2, 0, [record("b")])
    merge(study)
    assert list(rows(study)[0])[len(FIXED) :] == ["model.depth", "norm.num_groups"]
    assert [(row["model.depth"], row["norm.num_groups"]) for row in rows(study)] == [("3", ""), ("5", "4")]


def test_an_empty_cell_is_written_empty(tmp_path: Path) -> None:
    """Not as a pair of quotes, also where it is the only one or the last."""
    study = make(tmp_path / "mine", {"a": config()}, ["norm.num_groups"])
    study.write_shard(1, 0, [record("a")])
    merge(study)
    assert '"' not in (study.folder / "runs.csv").read_text()


def test_values_are_written_as_yaml_has_them(tmp_path: Path) -> None:
    """Booleans and lists of a changed column."""
    schedule = {"name": "multistep", "milestones": [0.5, 0.75]}
    changed = ["norm.affine", "schedule", "schedule.milestones"]
    study = make(tmp_path / "mine", {"a": config(schedule=schedule, norm={"name": "batch", "affine": False})}, changed)
    study.write_shard(1, 0, [record("a")])
    merge(study)
    assert [rows(study)[0][name] for name in changed] == ["false", "multistep", "[0.5,0.75]"]


def test_a_yaml_edited_between_two_commands_gets_a_column(tmp_path: Path) -> None:
    """Two settings under one name would else be averaged as one cell."""
    study = make(tmp_path / "mine", {"a": config(), "b": config(norm={"name": "group", "eps": 1.0})})
    edited = config(norm={"name": "batch", "eps": 0.5}, data={"name": "digits", "root": "other", "download": False})
    study.append_block({"changed": []}, {"c": {"config": edited}}, [])
    for place, run_id in enumerate("abc"):
        study.write_shard(1, place, [record(run_id)])
    merge(study)
    assert list(rows(study)[0])[len(FIXED) :] == ["norm.eps"]
    assert [row["norm.eps"] for row in rows(study)] == ["1e-05", "1.0", "0.5"]


def test_fetched_data_are_no_setting_of_their_own(tmp_path: Path) -> None:
    """A cell whose first seed fetched the data is one cell with the others."""
    study = make(tmp_path / "mine", {"a": config()}, ["data.download"])
    study.write_shard(1, 0, [record("a")])
    merge(study)
    assert "data.download" not in rows(study)[0]


def test_curves_and_provenance_have_their_rows(tmp_path: Path) -> None:
    """One row a run and evaluation, one row a run."""
    study = make(tmp_path / "mine", {"a": config(), "b": config(seed=1)})
    study.write_shard(1, 0, [record("b")])
    study.write_shard(1, 1, [record("a")])
    merge(study)
    curves = rows(study, "curves")
    assert list(curves[0]) == list(CURVES)
    assert [(row["run_id"], row["step"]) for row in curves] == [("a", "3"), ("a", "6"), ("b", "3"), ("b", "6")]
    provenance = rows(study, "provenance")
    assert list(provenance[0]) == list(PROVENANCE)
    assert [row["run_id"] for row in provenance] == ["a", "b"]


def test_further_metrics_follow_the_fixed_columns(tmp_path: Path) -> None:
    """In runs.csv before those of the config, in curves.csv before those of probes; other runs have empty cells."""
    probed: dict[str, list[float | None]] = {"probe.x": [7.0, None], "val_map": [0.5, 0.25], "train_map": [0.0, 1.0]}
    study = make(tmp_path / "mine", {"a": config(), "b": config(), "c": config()}, ["model.depth"])
    study.write_shard(1, 0, [record("a", curves=probed, test_map=0.5, chance_map=0.125), record("b")])
    study.write_shard(1, 1, [record("c", curves={"probe.w": [1.0, 2.0], "probe.x": [3.0, 4.0]}, test_map_batch=1e-05)])
    merge(study)
    names = ["test_map", "test_map_batch", "chance_map", "model.depth"]
    runs, curves = rows(study), rows(study, "curves")
    assert list(runs[0])[len(FIXED) :] == names
    assert [[row[name] for name in names] for row in runs] == [
        ["0.5", "", "0.125", "3"],
        ["", "", "", "3"],
        ["", "1e-05", "", "3"],
    ]
    more = ["train_map", "val_map", "probe.w", "probe.x"]
    assert list(curves[0])[len(CURVES) :] == more
    assert [[row[name] for name in more] for row in curves] == [
        ["0.0", "0.5", "", "7.0"],
        ["1.0", "0.25", "", ""],
        ["", "", "", ""],
        ["", "", "", ""],
        ["", "", "1.0", "3.0"],
        ["", "", "2.0", "4.0"],
    ]
    assert all(is_metric(name) for name in (*names[:3], *more[:2], "val_loss", "test_accuracy_precise"))
    assert not any(is_metric(name) for name in ("target_accuracy", "test.x", "eval_every", "probe.x", "steps"))


def test_a_loss_that_is_infinite_is_written_as_python_has_it(tmp_path: Path) -> None:
    """JSON's name for it is another."""
    study = make(tmp_path / "mine", {"a": config()})
    study.write_shard(1, 0, [record("a", curves={"val_loss": [math.inf, -math.inf]})])
    merge(study)
    assert [row["val_loss"] for row in rows(study, "curves")] == ["inf", "-inf"]


def test_an_empty_study_has_empty_tables(tmp_path: Path) -> None:
    """A header and no rows, before the first run has ended."""
    study = make(tmp_path / "mine", {"a": config()})
    assert merge(study) == 0
    assert (study.folder / "runs.csv").read_text() == ",".join(FIXED) + "\n"


def test_a_shard_without_a_plan_is_named(tmp_path: Path) -> None:
    """A plan that was lost is an error for a user, not a KeyError."""
    study = make(tmp_path / "mine", {"a": config()})
    study.write_shard(1, 0, [record("a")])
    (study.folder / "plan.jsonl").unlink()
    with pytest.raises(StudyError, match=r"plan\.jsonl lacks run a, which has a shard"):
        merge(study)


def test_a_full_disk_leaves_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables of before stay whole; the shards hold what is new."""
    study = make(tmp_path / "mine", {"a": config(), "b": config(seed=1)})
    study.write_shard(1, 0, [record("a")])
    merge(study)
    before = (study.folder / "runs.csv").read_bytes()
    study.write_shard(1, 1, [record("b")])

    def fsync(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StudyError, match=r"cannot write .*runs\.csv: No space left on device"):
        merge(study)
    assert (study.folder / "runs.csv").read_bytes() == before
    assert not list(study.folder.glob(".*.tmp"))


def test_run_ids_are_text(tmp_path: Path) -> None:
    """An id of digits and an e is no number when it is read back."""
    study = make(tmp_path / "mine", {"1234e6789012": config()})
    study.write_shard(1, 0, [record("1234e6789012")])
    merge(study)
    assert load_runs(study.folder)["run_id"].tolist() == ["1234e6789012"]
    assert json.loads((study.folder / "plan.jsonl").read_text().splitlines()[1])["run"] == "1234e6789012"


def look_up(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return config.get("name", config) if isinstance(config, dict) else config


def naive_tables(folder: Path, changed: list[str]) -> dict[str, str]:
    """Return runs.csv and curves.csv of a study, read with nothing of the record's own code and kept in memory."""
    plan = [json.loads(entry) for entry in (folder / "plan.jsonl").read_text().splitlines()]
    configs = {entry["run"]: entry["config"] for entry in plan if "run" in entry}
    shards = [json.loads(path.read_text()) for path in sorted((folder / "shards").glob("*.json"))]
    records = {entry["run_id"]: entry for shard in shards for entry in shard["runs"]}
    runs, curves = io.StringIO(), io.StringIO()
    writer = csv.writer(runs, lineterminator="\n")
    writer.writerow([*FIXED, *changed])
    curves.write(",".join(CURVES) + "\n")
    for run_id, entry in sorted(records.items()):
        cells = {"run_id": run_id, "study": folder.name, "status": entry["status"], **entry["result"]}
        writer.writerow(
            cell_text(cells[name] if name in cells else look_up(configs[run_id], name)) for name in [*FIXED, *changed]
        )
        for place in range(len(entry["curves"]["step"])):
            point = (cell_text(entry["curves"][name][place]) for name in list(CURVES)[1:])
            curves.write(",".join((run_id, *point)) + "\n")
    return {"runs": runs.getvalue(), "curves": curves.getvalue()}


def test_two_thousand_runs_merge_as_they_would_without_shortcuts(tmp_path: Path) -> None:
    """What is shared between rows leaves no trace: other types, quotes and later edits come out whole."""
    study = make_up(tmp_path / "a, study", 2000)
    first = next(iter(study.blocks()[0].runs.values()))["config"]
    odd: dict[str, Any] = {
        "11": {"lr": 1, "model": {**first["model"], "depth": True}},
        "12": {"lr": 1.0, "model": {**first["model"], "depth": 1}},
        "13": {"norm": {"name": 'a "b", c', "groups": [1, 2], "of": {"b": 1.0}}, "epochs": None, "steps": 7},
        "14": {
            "lr": -0.0,
            "model": {**first["model"], "depth": 1.0},
            "optimizer": {**first["optimizer"], "momentum": 0},
        },
        "15": {"model": {"name": "", "depth": "x\ny"}, "schedule": first["norm"]},
    }
    entries = {key: {"content": "0" * 64, "config": {**first, **own}} for key, own in odd.items()}
    study.append_block({"changed": ["norm.groups"]}, entries, [])
    study.write_shard(2, 0, [record(key) for key in odd])
    assert merge(study) == 2005
    header = (study.folder / "runs.csv").read_text().partition("\n")[0].split(",")
    assert {"norm.groups", "model.depth", "optimizer.momentum"} <= set(header)
    expected = naive_tables(study.folder, header[len(FIXED) :])
    assert (study.folder / "runs.csv").read_bytes().decode() == expected["runs"]
    assert (study.folder / "curves.csv").read_bytes().decode() == expected["curves"]


def test_equal_parts_of_configs_are_one_object(tmp_path: Path) -> None:
    """A plan of 100,000 runs fits into memory; what is only equal as a number stays apart."""
    parts = [{"name": "x", "value": value} for value in (1, 1.0, True, 1)]
    configs = {f"{place}": config(model=part) for place, part in enumerate(parts)}
    study = make(tmp_path / "mine", configs)
    (block,) = study.blocks()
    models = [block.runs[run_id]["config"]["model"] for run_id in configs]
    assert [repr(model["value"]) for model in models] == ["1", "1.0", "True", "1"]
    assert models[0] is models[3]
    assert block.runs["0"]["config"]["norm"] is block.runs["1"]["config"]["norm"]
