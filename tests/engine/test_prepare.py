"""Tests of what a command finds already done, and of the plan that it freezes."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from normbench.engine.prepare import freeze
from normbench.errors import ConfigError, ImpossibleRunError
from normbench.record.store import Study
from normbench.spec import Requested

from .sessions import plan, run, tables


def seeds(runs: Iterable[Requested]) -> list[int]:
    return sorted(one.run.seed for one in runs)


def shards(study: Study) -> list[str]:
    return sorted(path.name for path in (study.folder / "shards").iterdir())


def draw_pets(folder: Path, shade: int = 9) -> None:
    for number, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for image in range(20):
            (folder / name / f"{image}.pgm").write_bytes(b"P5 2 2 255 " + bytes([number, image, 0, shade]))


def test_planning_writes_nothing(here: Path) -> None:
    """A plan is made before a folder is."""
    session = plan("seed=range(2)")
    assert (session.to_train, len(session.new), session.unfinished) == (2, 2, [])
    assert list(here.iterdir()) == []


def test_the_plan_has_the_notes_of_its_data(here: Path) -> None:
    """Once, however many runs there are: classes and counts of a folder of images."""
    draw_pets(here / "pets")
    session = plan("data=image_folder", "data.root=pets", "seed=range(2)", "batch_size=4")
    assert session.plan.notes == (
        f"{here}/pets: 40 images (cat 20, dog 20); validation and test images are drawn from them",
    )


PETS = ("data=image_folder", "batch_size=4", "engine.mode=stacked")


def test_equal_runs_merge_wherever_their_data_lie(here: Path) -> None:
    """A copy of a folder, or another spelling of its path, makes neither another run nor another pack."""
    for name in ("pets", "copy"):
        draw_pets(here / name)
    session = plan(*PETS, f"data.root=pets,./pets,copy,{here}/pets", "seed=0,1")
    assert seeds(session.plan.runs.values()) == [0, 1]
    assert {one.place["root"] for one in session.plan.runs.values()} == {"pets"}
    (pack,) = plan(*PETS, "data.root=pets,copy", "seed=0,1", "sweep.zip=[data.root,seed]").packs
    assert pack.runs == tuple(session.plan.runs)
    run(*PETS, "data.root=pets", "seed=0")
    assert plan(*PETS, "data.root=copy", "seed=0").to_train == 0


def test_runs_on_different_data_share_no_pack(here: Path) -> None:
    """A pack trains on one data set."""
    draw_pets(here / "dark")
    draw_pets(here / "light", shade=200)
    session = plan(*PETS, "data.root=dark,light", "seed=0,1")
    roots = [{session.plan.runs[run_id].place["root"] for run_id in pack.runs} for pack in session.packs]
    assert roots == [{"dark"}, {"light"}]


def test_an_interrupted_pack_finds_its_data_where_they_lie_now(here: Path) -> None:
    """Its other runs too, whose configs come from the block."""
    draw_pets(here / "pets")
    session = run(*PETS, "data.root=pets", "seed=0,1")
    (shard,) = (session.study.folder / "shards").iterdir()
    shard.unlink()
    (here / "pets").rename(here / "moved")
    (work,) = plan(*PETS, "data.root=moved", "seed=1").unfinished
    assert [one.place["root"] for one in work.runs.values()] == ["moved", "moved"]
    assert run(*PETS, "data.root=moved", "seed=1").study.records().keys() == work.runs.keys()


def test_the_same_command_again_has_nothing_to_do() -> None:
    """Finished runs are not trained again, and no block is added."""
    first = run("seed=range(2)")
    before = shards(first.study)
    second = run("seed=range(2)")
    assert second.to_train == 0
    assert shards(second.study) == before == ["0001-000000.json", "0001-000001.json"]
    assert len(second.study.blocks()) == 1


def test_more_seeds_train_the_new_ones_alone() -> None:
    """A grid can be extended."""
    run("seed=range(2)")
    session = plan("seed=range(4)")
    assert seeds([session.plan.runs[run_id] for run_id in session.new]) == [2, 3]
    run("seed=range(4)")
    blocks = session.study.blocks()
    assert [len(block.runs) for block in blocks] == [2, 2]
    assert {block for block, _ in session.study.records().values()} == {1, 2}


def test_force_trains_again() -> None:
    """In a new block, whose records win."""
    run("seed=range(2)")
    session = run("seed=range(2)", force=True)
    assert {block for block, _ in session.study.records().values()} == {2}
    assert len(session.rows()) == 2


def test_an_interrupted_block_is_gone_on_with() -> None:
    """Runs that are planned and lack a record are trained in their old block."""
    session = run("seed=range(3)")
    (session.study.folder / "shards" / "0001-000001.json").unlink()
    again = plan("seed=range(3)")
    assert (again.new, again.to_train) == ([], 1)
    (work,) = again.unfinished
    assert (work.block, work.index, seeds(work.runs.values())) == (1, 1, [1])
    run("seed=range(3)")
    assert len(session.study.blocks()) == 1
    assert shards(session.study) == [f"0001-00000{pack}.json" for pack in range(3)]


def test_a_smaller_command_goes_on_with_its_own_runs_alone() -> None:
    """Runs of the old block that were not asked for now stay undone."""
    session = run("seed=range(3)")
    for pack in range(3):
        (session.study.folder / "shards" / f"0001-00000{pack}.json").unlink()
    again = run("seed=1")
    assert seeds([again.plan.runs[run_id] for run_id in again.study.records()]) == [1]


def test_a_pack_of_which_some_runs_are_asked_for_trains_whole() -> None:
    """The others' configs come from the block."""
    session = run("seed=range(2)", "engine.mode=stacked")
    (shard,) = (session.study.folder / "shards").iterdir()
    shard.unlink()
    again = plan("seed=1")
    (work,) = again.unfinished
    assert (again.new, again.to_train, work.pack.mode) == ([], 2, "stacked")
    assert seeds(work.runs.values()) == [0, 1]
    assert work.runs == session.plan.runs
    run("seed=1")
    assert [path.name for path in (session.study.folder / "shards").iterdir()] == [shard.name]
    assert len(session.study.records()) == 2


def test_an_interrupted_force_goes_on_without_it() -> None:
    """The newest block that holds a run decides: an older record does not count for it."""
    session = run("seed=range(2)")
    forced = plan("seed=range(2)", force=True)
    freeze(forced.plan, forced.new, forced.study, forced.sweep.settings, command=(), changed=())
    again = plan("seed=range(2)")
    assert ([work.block for work in again.unfinished], again.new) == ([2, 2], [])
    assert len(session.study.records()) == 2


def test_two_studies_know_nothing_of_each_other() -> None:
    """What one has finished, the other still lacks."""
    run("study=one")
    assert plan("study=two").to_train == 1
    assert plan("study=one").to_train == 0


def test_the_frozen_block_says_everything(here: Path) -> None:
    """Configs, contents, packs with their reason, the command and the versions stand in plan.jsonl."""
    session = run("norm=batch,instance", "seed=range(2)")
    (block,) = session.study.blocks()
    assert dict(block.runs) == {
        run_id: {"content": session.plan.checked[run_id].content, "config": json.loads(json.dumps(one.as_dict()))}
        for run_id, one in session.plan.runs.items()
    }
    assert [pack["runs"] for pack in block.packs] == [[run_id] for run_id in session.plan.runs]
    assert {pack["reason"] for pack in block.packs} == {"engine.mode=solo; one thread"}
    assert block.header["skipped"] == 2
    assert block.header["changed"] == ["model.depth", "model.width", "norm", "seed", "steps"]
    assert block.header["command"][-2:] == ["norm=batch,instance", "seed=range(2)"]
    unset: dict[str, object] = dict.fromkeys(("threads", "memory", "checkpoint_every", "address"))
    unset |= dict.fromkeys(("partition", "time", "cpus", "array_parallelism"))
    unset |= {"ranks": 1, "gpus": 0, "setup": [], "wait": True}
    assert block.header["engine"] == {"name": "local", "mode": "solo", "device": "auto", "workers": 1, **unset}
    assert {"created", "torch", "python", "git_commit"} <= block.header.keys()


def test_a_setting_that_does_nothing_is_left_out_and_said() -> None:
    """Layer norm has no batch statistics: the two norm batches are one run."""
    session = plan("norm=layer", "norm_batch_size=4,8")
    assert len(session.plan.runs) == 1
    assert session.plan.notes == (
        "norm_batch_size has no effect for norm=layer, which has no batch statistics: ignored.",
    )


def test_a_key_that_one_norm_lacks_gives_equal_cells_that_merge() -> None:
    """Batch norm has no groups: its two cells are one run."""
    session = plan("norm=batch,group", "norm.num_groups=2,4")
    assert [one.run.norm.name for one in session.plan.runs.values()] == ["batch", "group", "group"]


def test_an_impossible_cell_is_skipped_in_a_sweep_and_refused_alone() -> None:
    """Instance norm on an MLP has nothing to average over."""
    session = plan("norm=batch,instance", "lr=0.1,0.2", "seed=0,1")
    assert {one.run.norm.name for one in session.plan.runs.values()} == {"batch"}
    assert len(session.plan.skipped) == 4
    with pytest.raises(ImpossibleRunError):
        plan("norm=instance", multirun=False)


def test_a_device_that_is_not_there_is_found_before_anything_starts() -> None:
    """Nothing is planned for it."""
    with pytest.raises(ConfigError, match=r"^engine\.device: got 'tpu'"):
        plan("engine.device=tpu")


KEPT = {
    "weights": ("log.weights=final", "weights/*.pt"),
    "TensorBoard log": ("log.tensorboard=run", "tensorboard/*"),
}


@pytest.mark.parametrize(("what", "override", "files"), [(what, *rest) for what, rest in KEPT.items()], ids=KEPT)
def test_runs_that_lack_a_file_are_trained_again(what: str, override: str, files: str) -> None:
    """It is said beforehand, the rows are as they were, and a third time there is nothing to do."""
    before = tables(run("seed=range(2)").study.folder)
    session = plan("seed=range(3)", override)
    assert session.to_train == 3
    assert session.notes == (f"2 of the runs done have no {what} and are trained again.",)
    session = run("seed=range(2)", override)
    assert tables(session.study.folder) == before
    assert len(list(session.study.folder.glob(files))) == 2
    again = plan("seed=range(2)", override)
    assert (again.to_train, again.notes) == (0, ())


def test_what_is_to_be_looked_into_leaves_an_unfinished_pack() -> None:
    """Only runs that train alone can be looked into; a single run's own log is no reason for another plan."""
    stacked = ("seed=range(4)", "engine.mode=stacked", "engine.workers=1")
    session = plan(*stacked)
    session.study.create()
    freeze(session.plan, session.new, session.study, session.sweep.settings, command=(), changed=())
    kept = plan(*stacked, "log.weights=final")
    assert (len(kept.new), kept.unfinished) == (4, [])
    single = run("seed=3", "engine.mode=stacked", multirun=False)
    assert single.rows()["status"].tolist() == ["finished"]
    assert {record.status for _, record in single.study.records().values()} == {"finished"}
