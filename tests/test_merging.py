"""Tests of studies joined into one: what is kept, what is refused, and that training goes on from there."""

import csv
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import Command

from normbench.commands import merging
from normbench.commands.merging import Merged, merge_studies
from normbench.errors import ConfigError, NormbenchError, StudyError
from normbench.record.columns import CURVES
from normbench.record.store import CellValue, Record, Study
from normbench.record.tables import PROVENANCE

TINY = ["steps=3", "model.width=8", "model.depth=1", "engine.workers=1"]

PART = {"name": "it"}
CONFIG: dict[str, Any] = {
    **dict.fromkeys(("model", "norm", "data", "optimizer", "schedule"), PART),
    "batch_size": 2,
    "norm_batch_size": None,
    "lr": 0.1,
    "epochs": 1,
    "steps": None,
}


def ids(*names: str) -> list[str]:
    return [name * 12 for name in names]


def record(
    run_id: str, block: int, pack: int, *, score: float = 0.5, status: str = "finished", probe: str = ""
) -> Record:
    result: dict[str, CellValue] = {"num_classes": 10, **({"test_accuracy": score} if status == "finished" else {})}
    scores = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    curves: dict[str, list[float]] = {"epoch": [1.0], "step": [9], "lr": [0.1], **{name: [score] for name in scores}}
    curves |= {f"probe.{probe}.x": [7.0]} if probe else {}
    origin: dict[str, CellValue] = {**dict.fromkeys(PROVENANCE[1:], "a, b"), "block": block, "pack": pack}
    return Record(run_id, status, result, curves, origin)


def write(folder: Path, *blocks: list[list[str]], **how: Any) -> Study:
    """Write a study whose blocks are lists of packs of run_ids, all of them finished."""
    study = Study(folder)
    study.create()
    for packs in blocks:
        plan(study, packs, probes=[how["probe"]] if "probe" in how else [])
        number = len(study.blocks())
        for place, pack in enumerate(packs):
            study.write_shard(number, place, [record(run_id, number, place, **how) for run_id in pack])
    return study


def plan(study: Study, packs: list[list[str]], probes: list[str] | None = None) -> None:
    runs = {
        run_id: {"content": "c", "config": {**CONFIG, "seed": ord(run_id[0]), "probes": probes or []}}
        for pack in packs
        for run_id in pack
    }
    study.append_block(
        {"changed": ["norm.x"], "command": ["-m"]},
        runs,
        [{"runs": pack, "mode": "solo", "threads": 1, "reason": "made up"} for pack in packs],
    )


def rows(folder: Path, table: str = "runs") -> list[dict[str, str]]:
    with (folder / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_blocks_are_numbered_anew(tmp_path: Path) -> None:
    """Those of the study named first come first, and every shard and line of provenance with them."""
    a, b, c, d = ids("a", "b", "c", "d")
    one, two = write(tmp_path / "one", [[a], [b]]), write(tmp_path / "two", [[c]], [[d]])
    merged = merge_studies([one.folder, two.folder], tmp_path / "both")
    assert merged == Merged(tmp_path / "both", runs=4, done=4, equal=0, differing=0)
    both = Study(tmp_path / "both")
    assert [(block.number, list(block.runs)) for block in both.blocks()] == [(1, [a, b]), (2, [c]), (3, [d])]
    assert [block.header["merged_from"] for block in both.blocks()] == [
        {"study": "one", "block": 1},
        {"study": "two", "block": 1},
        {"study": "two", "block": 2},
    ]
    assert [block.header["command"] for block in both.blocks()] == [["-m"]] * 3
    assert {run_id: block for run_id, (block, _) in both.records().items()} == {a: 1, b: 1, c: 2, d: 3}
    places = {row["run_id"]: (row["block"], row["pack"]) for row in rows(both.folder, "provenance")}
    assert places == {a: ("1", "0"), b: ("1", "1"), c: ("2", "0"), d: ("3", "0")}


def test_the_tables_are_those_of_the_inputs_together(tmp_path: Path) -> None:
    """Each run has its row, under the name of the new study, and each evaluation too."""
    a, b = ids("a", "b")
    one, two = write(tmp_path / "one", [[a]], score=0.25), write(tmp_path / "two", [[b]], score=0.75)
    merge_studies([two.folder, one.folder], tmp_path / "both")
    assert [(row["run_id"], row["study"], row["test_accuracy"]) for row in rows(tmp_path / "both")] == [
        (a, "both", "0.25"),
        (b, "both", "0.75"),
    ]
    assert [row["run_id"] for row in rows(tmp_path / "both", "curves")] == [a, b]
    assert [row["n"] for row in rows(tmp_path / "both", "summary")] == ["2"]
    assert [row["device"] for row in rows(tmp_path / "both", "provenance")] == ["a, b"] * 2


def test_equal_runs_merge_to_one(tmp_path: Path) -> None:
    """The plan has the run once, and a pack or block of which nothing is left is gone."""
    a, b, c = ids("a", "b", "c")
    one, two = write(tmp_path / "one", [[a, b]]), write(tmp_path / "two", [[a], [b, c]], [[b]])
    merged = merge_studies([one.folder, two.folder], tmp_path / "both")
    assert (merged.runs, merged.equal, merged.differing) == (3, 2, 0)
    blocks = Study(tmp_path / "both").blocks()
    assert [[pack["runs"] for pack in block.packs] for block in blocks] == [[[a, b]], [[c]]]
    assert [path.name for path in sorted((tmp_path / "both" / "shards").iterdir())] == [
        "0001-000000.json",
        "0002-000000.json",
    ]
    assert len(rows(tmp_path / "both")) == 3


@pytest.mark.parametrize(("order", "kept"), [(("one", "two"), "0.25"), (("two", "one"), "0.75")])
def test_of_differing_rows_the_study_named_first_wins(tmp_path: Path, order: tuple[str, str], kept: str) -> None:
    """Whatever the numbers of the blocks are."""
    (a,) = ids("a")
    write(tmp_path / "one", [[a]], score=0.25)
    write(tmp_path / "two", [ids("b")], [[a]], score=0.75)
    merged = merge_studies([tmp_path / name for name in order], tmp_path / "both")
    assert (merged.equal, merged.differing) == (0, 1)
    assert {row["run_id"]: row["test_accuracy"] for row in rows(tmp_path / "both")}[a] == kept


@pytest.mark.parametrize("status", ["failed", None])
def test_a_run_that_is_done_wins_over_one_that_is_not(tmp_path: Path, status: str | None) -> None:
    """What the study named first has failed in, or never come to, is taken from the next."""
    (a,) = ids("a")
    one, two = write(tmp_path / "one"), write(tmp_path / "two", [[a]])
    plan(one, [[a]])
    if status:
        one.write_shard(1, 0, [record(a, 1, 0, status=status)])
    merged = merge_studies([one.folder, two.folder], tmp_path / "both")
    assert (merged.done, merged.equal, merged.differing) == (1, 0, 0)
    assert [row["status"] for row in rows(tmp_path / "both")] == ["finished"]


def test_of_equal_runs_the_one_that_was_probed_for_more_is_taken(tmp_path: Path) -> None:
    """Else a command that asks for the probe would train it again."""
    (a,) = ids("a")
    one, two = write(tmp_path / "one", [[a]]), write(tmp_path / "two", [[a]], probe="gradients")
    merged = merge_studies([one.folder, two.folder], tmp_path / "both")
    assert (merged.equal, merged.differing) == (1, 0)
    assert [list(row)[len(CURVES) :] for row in rows(tmp_path / "both", "curves")] == [["probe.gradients.x"]]


def test_a_run_without_a_record_stays_planned(tmp_path: Path) -> None:
    """The next command finds it in its pack."""
    a, b, c = ids("a", "b", "c")
    one, two = write(tmp_path / "one", [[a]]), write(tmp_path / "two")
    plan(two, [[b], [c]])
    merged = merge_studies([one.folder, two.folder], tmp_path / "both")
    assert (merged.runs, merged.done) == (3, 1)
    assert [pack["runs"] for pack in Study(tmp_path / "both").blocks()[1].packs] == [[b], [c]]


def test_three_studies_merge(tmp_path: Path) -> None:
    """A run of all three counts once."""
    (a,) = ids("a")
    folders = [write(tmp_path / name, [[a]]).folder for name in ("one", "two", "three")]
    assert merge_studies(folders, tmp_path / "all") == Merged(tmp_path / "all", 1, 1, 1, 0)


def test_weights_claims_and_logs_come_along(tmp_path: Path) -> None:
    """Of the study that a run is taken from, and no file that is a link or of no run."""
    a, b = ids("a", "b")
    one, two = write(tmp_path / "one", [[a]]), write(tmp_path / "two", [[a], [b]])
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for study in (one, two):
        for name in (f"weights/{a}.pt", f"weights/{b}.pt", "claims/x.json", f"tensorboard/mlp-{a}/events"):
            path = study.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(study.name)
    (two.folder / "claims" / "y.json").write_text("two")
    (two.folder / "claims" / "z.json").symlink_to(secret)
    (two.folder / "tensorboard" / f"mlp-{b}").mkdir()
    (two.folder / "tensorboard" / f"mlp-{b}" / "events").symlink_to(secret)
    merge_studies([one.folder, two.folder], tmp_path / "both")
    kept = {
        str(path.relative_to(tmp_path / "both")): path.read_text()
        for folder in ("weights", "claims", "tensorboard")
        for path in (tmp_path / "both" / folder).rglob("*")
        if path.is_file()
    }
    assert kept == {
        f"weights/{a}.pt": "one",
        f"weights/{b}.pt": "two",
        "claims/x.json": "one",
        "claims/y.json": "two",
        f"tensorboard/mlp-{a}/events": "one",
    }


def test_a_plan_that_was_cut_off_is_no_damage(tmp_path: Path) -> None:
    """A command killed while it planned has started nothing."""
    a, b, c = ids("a", "b", "c")
    one, two = write(tmp_path / "one", [[a]]), write(tmp_path / "two", [[b]])
    plan(two, [[c]])
    path = two.folder / "plan.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    assert merge_studies([one.folder, two.folder], tmp_path / "both").runs == 2


def damage_plan(study: Study) -> None:
    path = study.folder / "plan.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "{x\n", *lines[2:]]))


def damage_shard(study: Study) -> None:
    (study.folder / "shards" / "0001-000000.json").write_text("[{")


def lose_plan(study: Study) -> None:
    (study.folder / "plan.jsonl").unlink()


def lose_block(study: Study) -> None:
    (study.folder / "plan.jsonl").write_text("")


DAMAGE = {
    "a line of the plan": (damage_plan, r"two/plan\.jsonl, line 2 is damaged"),
    "a shard": (damage_shard, r"two/shards/0001-000000\.json is damaged"),
    "no plan": (lose_plan, r"two has no plan\.jsonl"),
    "a plan without a block that has shards": (lose_block, r"two/plan\.jsonl lacks run b{12} of block 1"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_study_is_refused(tmp_path: Path, damage: Any, message: str) -> None:
    """The file is named, and nothing is written."""
    one, two = write(tmp_path / "one", [ids("a")]), write(tmp_path / "two", [ids("b")])
    damage(two)
    with pytest.raises(StudyError, match=message):
        merge_studies([one.folder, two.folder], tmp_path / "both")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_study_at_work_is_refused(tmp_path: Path) -> None:
    """Half of what it trains would be missing."""
    one, two = write(tmp_path / "one", [ids("a")]), write(tmp_path / "two", [ids("b")])
    with Study(two.folder).held(), pytest.raises(StudyError, match=r"a command is using .*two"):
        merge_studies([one.folder, two.folder], tmp_path / "both")


PLACES = {
    "an input": ("one", ConfigError, "one of the studies to merge"),
    "inside an input": ("one/both", ConfigError, "one of the studies to merge"),
    "an input by another way": ("two/../one", ConfigError, "one of the studies to merge"),
    "a folder that holds something": ("taken", StudyError, "exists already"),
    "a file": ("file", StudyError, "exists already"),
    "below a file": ("file/both", StudyError, "cannot create folder"),
}


@pytest.mark.parametrize(("place", "error", "message"), PLACES.values(), ids=PLACES)
def test_a_place_that_is_taken_is_refused(
    tmp_path: Path, place: str, error: type[NormbenchError], message: str
) -> None:
    """Nothing that is there is touched."""
    one, two = write(tmp_path / "one", [ids("a")]), write(tmp_path / "two", [ids("b")])
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "note").touch()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("[!.]*"))
    with pytest.raises(error, match=message):
        merge_studies([one.folder, two.folder], tmp_path / place)
    assert sorted(tmp_path.rglob("[!.]*")) == before


@pytest.mark.parametrize("count", [1, 2])
def test_one_study_is_not_merged(tmp_path: Path, count: int) -> None:
    """Also where it is named twice."""
    one = write(tmp_path / "one", [ids("a")])
    again = tmp_path / "again"
    again.symlink_to(one.folder)
    with pytest.raises(ConfigError, match="at least two studies, got 1"):
        merge_studies([one.folder, again][:count], tmp_path / "both")


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    """It may be there already, as one that a script has made."""
    one, two = write(tmp_path / "one", [ids("a")]), write(tmp_path / "two", [ids("b")])
    (tmp_path / "both").mkdir()
    merge_studies([one.folder, two.folder], tmp_path / "both")
    assert len(rows(tmp_path / "both")) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_merge_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Neither a half study nor a draft."""
    one, two = write(tmp_path / "one", [ids("a")]), write(tmp_path / "two", [ids("b")])

    def stop(_: Study) -> None:
        raise error

    monkeypatch.setattr(merging, "write_tables", stop)
    with pytest.raises((KeyboardInterrupt, StudyError)):
        merge_studies([one.folder, two.folder], tmp_path / "both")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_what_a_killed_merge_left_is_removed(tmp_path: Path) -> None:
    """The next merge into the same place does so; another's draft it leaves."""
    one, two = write(tmp_path / "one", [ids("a")]), write(tmp_path / "two", [ids("b")])
    for name in (".both.x1.merging", ".other.x2.merging"):
        (tmp_path / name / "both").mkdir(parents=True)
    merge_studies([one.folder, two.folder], tmp_path / "both")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.x2.merging", "both", "one", "two"]


def test_merging_changes_no_input(tmp_path: Path) -> None:
    """Studies are read only."""
    one, two = write(tmp_path / "one", [ids("a")]), write(tmp_path / "two", [ids("a")], score=0.1)
    files = [path for study in (one, two) for path in study.folder.rglob("*.json*")]
    before = {path: path.read_bytes() for path in files}
    merge_studies([one.folder, two.folder], tmp_path / "both")
    assert {path: path.read_bytes() for path in files} == before


@pytest.mark.slow
def test_a_merged_study_trains_on(normbench: Command, tmp_path: Path) -> None:
    """What either machine has finished is not trained again, and the tables are those of one machine."""
    sweep = ["train", "-m", *TINY, "norm=batch,none"]
    assert normbench(*sweep, "seed=0,1", "results_dir=laptop", "study=mine").code == 0
    assert normbench(*sweep, "seed=1,2", "results_dir=desktop", "study=mine").code == 0
    result = normbench("merge", "laptop/mine", "desktop/mine", "-o", "both")
    assert (result.code, result.out) == (0, f"6 runs, 6 of them done, in {Path('results') / 'both'}\n")
    assert "2 runs were in several studies with equal rows" in result.err
    shards = sorted((tmp_path / "results" / "both" / "shards").iterdir())
    result = normbench(*sweep, "seed=0,1,2", "study=both")
    assert "6 runs in results/both, 6 of them done already" in result.err
    assert sorted((tmp_path / "results" / "both" / "shards").iterdir()) == shards
    assert normbench(*sweep, "seed=0,1,2", "study=whole").code == 0
    both, whole = (rows(tmp_path / "results" / name) for name in ("both", "whole"))
    assert [{**row, "study": ""} for row in both] == [{**row, "study": ""} for row in whole]
    some_id = both[0]["run_id"]
    assert normbench("rerun", some_id, "--study", "both").code == 0


@pytest.mark.slow
def test_a_merged_study_trains_what_is_missing(normbench: Command, tmp_path: Path) -> None:
    """A run that failed on one machine, and one that it never came to, are trained by the same command."""
    sweep = ["train", "-m", *TINY, "norm=batch,none", "seed=0,1"]
    for place in ("laptop", "desktop"):
        assert normbench(*sweep, f"results_dir={place}", "study=mine").code == 0
        study = Study(tmp_path / place / "mine")
        for path in sorted((study.folder / "shards").iterdir()):
            if place == "laptop":
                path.unlink()
                continue
            one, *others = study.shard(1, int(path.name[5:11]))
            study.write_shard(1, int(path.name[5:11]), [replace(one, status="failed"), *others])
    normbench("merge", "laptop/mine", "desktop/mine", "-o", "both")
    result = normbench(*sweep, "study=both")
    assert (result.code, "done already" in result.err) == (0, False)
    assert [row["status"] for row in rows(tmp_path / "results" / "both")] == ["finished"] * 4


BAD = {
    "no such study": (["nowhere", "one", "-o", "both"], "no study 'nowhere'"),
    "one study": (["one", "-o", "both"], "merge needs at least two studies, got 1"),
    "no output": (["one", "two"], "Missing option '-o'"),
    "no study": (["-o", "both"], "Missing argument"),
    "an output that is an input": (["one", "two", "-o", "one"], "name a new study"),
}


@pytest.mark.parametrize(("args", "message"), BAD.values(), ids=BAD)
def test_a_wrong_command_is_told_in_a_line(normbench: Command, tmp_path: Path, args: list[str], message: str) -> None:
    """With exit code 2."""
    for name in ("one", "two"):
        write(tmp_path / "results" / name, [ids("a")])
    result = normbench("merge", *args)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert "Traceback" not in result.err


def test_differing_rows_are_said_once(normbench: Command, tmp_path: Path) -> None:
    """With their number."""
    a, b = ids("a", "b")
    write(tmp_path / "results" / "one", [[a], [b]], score=0.25)
    write(tmp_path / "results" / "two", [[a], [b]], score=0.75)
    result = normbench("merge", "one", "two", "-o", f".{os.sep}both")
    assert result.code == 0
    assert result.err == "2 runs differ between studies: those of the study named first are kept\n"
    assert [row["test_accuracy"] for row in rows(tmp_path / "both")] == ["0.25", "0.25"]
