"""Runs that are cut off in the middle, from the command's side: files, notes, logs, and the same tables in the end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from normbench.api import Session, Silent
from normbench.errors import StudyError
from normbench.record.checkpoints import CheckpointFile
from normbench.record.provenance import versions

from .sessions import plan, run, tables

BARE = ("steps=20", "eval_every=4", "study=mine", "model.dropout=0.2")
LONG = (*BARE, "engine.mode=auto", "engine.checkpoint_every=6")


class Listener(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep what the user is told."""
        self.notes.append(text)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that starts a command, kills it right after a checkpoint was saved, and returns the file."""

    def start(*overrides: str, step: int = 12, **how: Any) -> Path:
        save = CheckpointFile.save

        def save_and_stop(self: CheckpointFile, state: dict[str, Any]) -> None:
            save(self, state)
            if state["step"] == step:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(CheckpointFile, "save", save_and_stop)
            run(*LONG, *overrides, **how)
        (path,) = Path("results/mine/checkpoints").iterdir()
        return path

    return start


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the steps that checkpoints were gone on from, as they come; 0 for the beginning."""
    found: list[int] = []
    load = CheckpointFile.load

    def watched(self: CheckpointFile) -> dict[str, Any] | None:
        state = load(self)
        found.append(state["step"] if state else 0)
        return state

    monkeypatch.setattr(CheckpointFile, "load", watched)
    return found


def go_on(*overrides: str, force: bool = False) -> tuple[Session, list[str]]:
    """Carry out the command again; return what the user was told."""
    session = plan(*LONG, *overrides, force=force)
    session.study.create()
    listener = Listener()
    session.execute(listener)
    return session, listener.notes


def test_the_same_command_goes_on_from_the_checkpoint(cut: Callable[..., Path], steps: list[int]) -> None:
    """The tables are those of an uninterrupted study byte for byte, and the file is gone."""
    whole = run(*LONG, "seed=range(2)", results_dir="whole")
    path = cut("seed=range(2)")
    assert path.suffix == ".pt"
    steps.clear()
    session, notes = go_on("seed=range(2)")
    assert steps == [12, 0]
    assert tables(session.study.folder) == tables(whole.study.folder)
    assert notes == []
    assert list(path.parent.iterdir()) == []


def test_checkpoints_enter_no_bits() -> None:
    """A study with checkpoints has the tables of one without."""
    kept = run(*LONG, results_dir="kept")
    bare = run(*BARE, results_dir="bare")
    assert tables(kept.study.folder) == tables(bare.study.folder)
    assert not (bare.study.folder / "checkpoints").exists()


def test_runs_with_checkpoints_train_solo() -> None:
    """The plan says why."""
    packs = plan(*LONG, "seed=range(4)").packs
    assert {pack.mode for pack in packs} == {"solo"}
    assert all(pack.reason.startswith("engine.checkpoint_every saves each run's state") for pack in packs)


def test_a_checkpoint_is_plain_data(cut: Callable[..., Path]) -> None:
    """It loads with `weights_only=True` and says what it is of."""
    kept = torch.load(cut(), weights_only=True)
    assert kept["state"]["step"] == 12
    assert kept["origin"]["torch"] == versions()["torch"]
    assert [point["step"] for point in kept["state"]["curve"]] == [4, 8, 12]


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Change one bit of a weight, which torch itself would not see."""
    content = bytearray(path.read_bytes())
    weight = torch.load(path, weights_only=True)["state"]["model"]["head.weight"]
    content[content.index(weight.numpy().tobytes())] ^= 1
    path.write_bytes(content)
    assert not torch.load(path, weights_only=True)["state"]["model"]["head.weight"].equal(weight)


def change_version(path: Path) -> None:
    kept = torch.load(path, weights_only=True)
    kept["origin"]["torch"] = "1.0"
    torch.save(kept, path)


def change_run(path: Path) -> None:
    kept = torch.load(path, weights_only=True)
    kept["origin"]["run_id"] = "another"
    torch.save(kept, path)


DAMAGES = {
    "half a file": (halve, "is damaged (BadZipFile)"),
    "an empty file": (lambda path: path.write_bytes(b""), "is damaged (BadZipFile)"),
    "a flipped bit": (flip, "is damaged (BadZipFile)"),
    "something else": (lambda path: torch.save([1], path), "is damaged (TypeError)"),
    "another torch": (change_version, "was written with another torch"),
    "another run": (change_run, "was written with another run_id"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_what_cannot_be_gone_on_from_is_told_and_deleted(
    damage: Callable[[Path], object], reason: str, cut: Callable[..., Path], steps: list[int]
) -> None:
    """The run starts from the beginning and ends as it would have."""
    whole = run(*LONG, results_dir="whole")
    path = cut()
    damage(path)
    steps.clear()
    session, notes = go_on()
    assert steps == [0]
    assert notes == [f"checkpoint {path} {reason}: deleted, and the run starts from the beginning"]
    assert tables(session.study.folder) == tables(whole.study.folder)


def test_force_starts_from_the_beginning(cut: Callable[..., Path], steps: list[int]) -> None:
    """The checkpoint of the training before is of no use."""
    path = cut()
    steps.clear()
    _, notes = go_on(force=True)
    assert (steps, notes, path.exists()) == ([0], [], False)


def test_workers_go_on_from_checkpoints(cut: Callable[..., Path]) -> None:
    """Their notes reach the user as well."""
    whole = run(*LONG, "seed=range(2)", results_dir="whole")
    path = cut("seed=range(2)")
    halve(path)
    session, notes = go_on("seed=range(2)", "engine.workers=2")
    assert [note.partition(" is ")[0] for note in notes] == [f"checkpoint {path}"]
    assert tables(session.study.folder) == tables(whole.study.folder)
    assert list(path.parent.iterdir()) == []


def test_a_run_that_raises_is_tried_again_from_its_checkpoint(
    monkeypatch: pytest.MonkeyPatch, steps: list[int]
) -> None:
    """What was trained before the hiccup is not trained twice."""
    whole = run(*LONG, results_dir="whole")
    save = CheckpointFile.save
    saved: list[int] = []

    def save_and_raise(self: CheckpointFile, state: dict[str, Any]) -> None:
        save(self, state)
        saved.append(state["step"])
        if saved == [6, 12]:
            raise RuntimeError("a hiccup")

    monkeypatch.setattr(CheckpointFile, "save", save_and_raise)
    steps.clear()
    session, (note,) = go_on()
    assert "retried alone: RuntimeError: a hiccup" in note
    assert (steps, saved) == ([0, 12], [6, 12, 18])
    assert tables(session.study.folder) == tables(whole.study.folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_checkpoint_that_cannot_be_written_stops_the_command(workers: int) -> None:
    """A full disk is no fault of the run: it gets no failed row, and what was there is unharmed."""
    session = plan(*LONG, "seed=range(2)", f"engine.workers={workers}")
    session.study.create()
    (session.study.folder / "checkpoints").touch()
    with pytest.raises(StudyError, match="checkpoints"):
        session.execute(Silent())
    assert session.study.records() == {}
    (session.study.folder / "checkpoints").unlink()
    assert set(run(*LONG, "seed=range(2)").rows()["status"]) == {"finished"}


@pytest.mark.parametrize("step", [6, 12, 18], ids=["after one evaluation", "at an evaluation", "near the end"])
def test_a_log_goes_on_too(step: int, cut: Callable[..., Path]) -> None:
    """One point for each evaluation, whatever was written between checkpoint and cut."""
    cut("log.tensorboard=run", step=step)
    session, _ = go_on("log.tensorboard=run")
    (folder,) = (session.study.folder / "tensorboard").iterdir()
    log = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0})
    log.Reload()
    assert [point.step for point in log.Scalars("loss/val")] == [4, 8, 12, 16, 20]
    assert len(log.Scalars("test_accuracy")) == 1
