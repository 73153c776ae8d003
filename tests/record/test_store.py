"""Tests of a study's folder: the plan in blocks, and the shards."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from normbench.errors import StudyError
from normbench.record.store import Block, Ended, Record, Study

PACKS = [{"runs": ["a", "b"], "mode": "solo", "threads": 1, "reason": "because\nso"}]
RUNS: dict[str, dict[str, Any]] = {
    "a": {"content": "c", "config": {"lr": 0.1, "name": "é,\n"}},
    "b": {"content": "c", "config": {"lr": None}},
}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Return a study whose folder has been made."""
    made = Study(tmp_path / "mine")
    made.create()
    return made


def record(run_id: str, error: str = "", status: str = "finished") -> Record:
    return Record(run_id, status, {"error": error}, {"step": [1]}, {"mode": "solo"})


def test_a_new_study_is_empty(tmp_path: Path) -> None:
    """Neither a missing folder nor an empty one holds anything."""
    study = Study(tmp_path / "mine")
    assert (study.name, study.blocks(), study.records()) == ("mine", [], {})
    assert not study.folder.exists()
    study.create()
    assert (study.blocks(), study.records()) == ([], {})


def test_a_block_comes_back_as_it_was_written(study: Study) -> None:
    """Blocks are numbered from one in the order of the commands."""
    first = study.append_block({"changed": ["lr"]}, RUNS, PACKS)
    second = study.append_block({"changed": []}, {"c": RUNS["a"]}, [])
    assert study.blocks() == [first, second]
    assert (first.number, second.number) == (1, 2)
    assert (first.runs, first.packs, first.header["changed"]) == (RUNS, tuple(PACKS), ["lr"])
    assert second == Block(2, {"block": 2, "lines": 1, "changed": []}, {"c": RUNS["a"]}, ())


def test_a_block_that_was_cut_off_is_not_there(study: Study) -> None:
    """A command killed at any byte leaves the blocks before, and the next command repairs the file."""
    path = study.folder / "plan.jsonl"
    first = study.append_block({"changed": []}, RUNS, PACKS)
    kept = path.stat().st_size
    study.append_block({"changed": []}, {"c": RUNS["a"], "d": RUNS["b"]}, PACKS)
    whole = path.read_bytes()
    for cut in range(kept, len(whole)):
        path.write_bytes(whole[:cut])
        assert study.blocks() == [first]
        again = study.append_block({"changed": []}, {"c": RUNS["a"], "d": RUNS["b"]}, PACKS)
        assert (again.number, path.read_bytes()) == (2, whole)


def test_a_first_block_that_was_cut_off_is_not_there(study: Study) -> None:
    """Also where nothing is before it."""
    path = study.folder / "plan.jsonl"
    study.append_block({"changed": []}, RUNS, PACKS)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert study.blocks() == []
        study.append_block({"changed": []}, RUNS, PACKS)
        assert path.read_bytes() == whole


DAMAGE = {
    "no json": (2, b"{x"),
    "no text": (2, b"\xff\xff"),
    "no object": (3, b"5"),
    "a head without a number": (1, b'{"lines":3}'),
    "a head without a count": (1, b'{"block":1}'),
}


@pytest.mark.parametrize(("line", "text"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_line_is_named(study: Study, line: int, text: bytes) -> None:
    """A plan that was written and then damaged is not passed over."""
    study.append_block({"changed": []}, RUNS, PACKS)
    study.append_block({"changed": []}, RUNS, PACKS)
    path = study.folder / "plan.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[line - 1] = text
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(StudyError, match=rf"plan\.jsonl, line {line} is damaged"):
        study.blocks()


def test_a_missing_line_is_damage(study: Study) -> None:
    """The count of a head no longer fits."""
    study.append_block({"changed": []}, RUNS, PACKS)
    study.append_block({"changed": []}, RUNS, PACKS)
    path = study.folder / "plan.jsonl"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(lines[:1] + lines[2:]))
    with pytest.raises(StudyError, match=r"plan\.jsonl, line 5 is damaged: expected a block header"):
        study.blocks()


def test_a_block_that_cannot_be_written_is_not_there(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves the plan as it was."""
    first = study.append_block({"changed": []}, RUNS, PACKS)

    def fsync(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StudyError, match="No space left"):
        study.append_block({"changed": []}, RUNS, PACKS)
    monkeypatch.undo()
    assert study.blocks() == [first]


def test_records_come_back_as_they_were_written(study: Study) -> None:
    """With the block that they belong to."""
    rows = [record("a", error='1,"x\ny"'), record("b", status="failed")]
    study.write_shard(3, 12, rows)
    assert study.records() == {"a": (3, rows[0]), "b": (3, rows[1])}
    assert [path.name for path in (study.folder / "shards").iterdir()] == ["0003-000012.json"]


@pytest.mark.parametrize(("older", "newer"), [(1, 2), (9, 10), (9999, 10000)])
def test_the_newest_block_wins(study: Study, older: int, newer: int) -> None:
    """A retried run replaces its failed record, in whatever order the shards were written."""
    study.write_shard(newer, 0, [record("a", "new")])
    study.write_shard(older, 7, [record("a", "old"), record("b", "old")])
    found = study.records()
    assert (found["a"][0], found["a"][1].error) == (newer, "new")
    assert (found["b"][0], found["b"][1].error) == (older, "old")
    assert study.ended() == {"a": Ended(newer, "finished", "new"), "b": Ended(older, "finished", "old")}


def test_a_half_written_shard_is_not_there(study: Study) -> None:
    """A worker that was killed leaves a draft that is no shard."""
    study.write_shard(1, 0, [record("a")])
    (study.folder / "shards" / ".0001-000001.json.99.tmp").write_text('[{"run_')
    assert list(study.records()) == ["a"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("0001-000000.json", ""),
        ("0001-000000.json", "[{]"),
        ("0001-000000.json", json.dumps([{"run_id": "a"}])),
        ("0001-000000.json", json.dumps({"run_id": "a"})),
        ("0001-000000.json", json.dumps({"provenance": {}, "runs": [{"run_id": "a", "provenance": {}}]})),
        ("0001-000000.json", "5"),
        ("mine.json", "[]"),
    ],
    ids=["empty", "no json", "fields missing", "no list", "cells missing", "a number", "another name"],
)
def test_a_damaged_shard_is_named(study: Study, name: str, text: str) -> None:
    """The message says what happens when it is deleted."""
    (study.folder / "shards" / name).write_text(text)
    with pytest.raises(StudyError, match=rf"{name} is damaged .*: delete it, and its runs are trained again"):
        study.records()


@pytest.mark.parametrize("name", ["x" * 300, "file/inside"], ids=["too long", "below a file"])
def test_a_folder_that_the_system_refuses(tmp_path: Path, name: str) -> None:
    """It is an error of the study in one line, by whichever look it is found."""
    (tmp_path / "file").touch()
    study = Study(tmp_path / name)
    with pytest.raises(StudyError, match=r"^cannot (read|create) [^\n]*: (File name too long|Not a directory)\."):
        study.state()
        study.create()


def test_records_that_the_system_refuses(study: Study) -> None:
    """They are not damaged, and nobody is told to delete them."""
    (study.folder / "shards" / "0001-000000.json").mkdir()
    with pytest.raises(StudyError, match=r"^cannot read .*0001-000000\.json: Is a directory\.$"):
        study.records()
    (study.folder / "plan.jsonl").mkdir()
    with pytest.raises(StudyError, match=r"^cannot read .*plan\.jsonl: Is a directory\.$"):
        study.blocks()
