"""A user's own optimizer from the command line: the plan's account of it, checkpoints, a rerun, and what is refused."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import Command

from normbench.record.checkpoints import CheckpointFile

RMSPROP = ("optimizer._target_=torch.optim.RMSprop", "optimizer.name=rmsprop", "optimizer.alpha=0.9")
SMALL = ("model.width=16", "model.depth=1", "steps=20", "eval_every=7", "lr=0.003")

OWN = """
import torch


def make(params, lr, momentum=0.5):
    return torch.optim.SGD(params, lr=lr, momentum=momentum)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path) -> Iterator[None]:
    """Put the user's file where the user stands, and forget it afterwards."""
    (tmp_path / "own_optimizers.py").write_text(OWN)
    yield
    sys.modules.pop("own_optimizers", None)


def runs(folder: Path, study: str = "default") -> pd.DataFrame:
    return pd.read_csv(folder / "results" / study / "runs.csv", dtype={"run_id": str})


def test_the_plan_says_why_its_runs_train_solo(normbench: Command) -> None:
    """Also where a sweep asks for packs."""
    result = normbench("plan", "-m", *RMSPROP, *SMALL, "seed=range(2)", "engine.mode=stacked")
    assert result.code == 0
    assert "2 of 1 run, solo: optimizer=rmsprop is a torch.optim.Optimizer: its runs train solo" in result.out


def test_a_sweep_trains_and_is_trained_again_to_the_bit(normbench: Command, tmp_path: Path) -> None:
    """Its arguments are columns, its rate is the top-level one, and a rerun asks for trust as for any code."""
    sweep = ("-m", *RMSPROP, *SMALL, "optimizer.momentum=0,0.9", "optimizer.decay_norm=false", "seed=range(2)")
    assert normbench("train", *sweep, "optimizer.weight_decay=0.1").code == 0
    rows = runs(tmp_path)
    assert set(rows["status"]) == {"finished"}
    assert set(rows["optimizer"]) == {"rmsprop"} and set(rows["optimizer.momentum"]) == {0, 0.9}
    known = str(rows["run_id"][0])
    assert "names code to run: torch.optim.RMSprop. Give --trust" in normbench("rerun", known).err
    again = normbench("rerun", known, "--trust")
    assert (again.code, "identical, bit for bit" in again.out) == (0, True)


def test_a_function_of_ones_own_is_part_of_the_identity(normbench: Command, tmp_path: Path) -> None:
    """It is imported from where the user stands; edited, it is another run."""
    own = ("train", "optimizer._target_=own_optimizers.make", "optimizer.name=mine", *SMALL)
    assert normbench(*own).code == 0
    (tmp_path / "own_optimizers.py").write_text(OWN.replace("0.5", "0.9"))
    sys.modules.pop("own_optimizers")
    assert normbench(*own).code == 0
    assert len(set(runs(tmp_path)["run_id"])) == 2


@pytest.mark.parametrize("optimizer", [RMSPROP, ("optimizer._target_=torch.optim.NAdam", "optimizer.name=nadam")])
def test_a_killed_run_goes_on_to_the_same_bytes(
    optimizer: tuple[str, ...], normbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optimizer's own state is in the checkpoint, which is plain data."""
    command = ("train", *optimizer, *SMALL, "schedule=cosine", "engine.checkpoint_every=6")
    assert normbench(*command, "study=whole").code == 0
    save = CheckpointFile.save

    def save_and_stop(self: CheckpointFile, state: dict[str, Any]) -> None:
        save(self, state)
        if state["step"] == 12:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointFile, "save", save_and_stop)
        assert normbench(*command, "study=cut").code == 130
    result = normbench(*command, "study=cut")
    assert result.code == 0
    assert "from the beginning" not in result.err
    for table in ("runs.csv", "curves.csv"):
        whole, cut = ((tmp_path / "results" / study / table).read_text() for study in ("whole", "cut"))
        assert cut.replace(",cut,", ",whole,") == whole


REFUSED = {
    "a misspelt argument": (
        ("optimizer._target_=torch.optim.RMSprop", "optimizer.alhpa=0.9"),
        "optimizer._target_=torch.optim.RMSprop: TypeError: RMSprop.__init__() got an unexpected keyword argument",
    ),
    "a closure": (("optimizer._target_=torch.optim.LBFGS",), "LBFGS.step() missing 1 required positional argument"),
    "a rate": (
        (*RMSPROP[:1], "optimizer.lr=0.1"),
        "optimizer.lr: set the learning rate as lr, at the top level of the config.",
    ),
    "a module that is missing": (("optimizer._target_=no_such.Thing",), "No module named 'no_such'"),
}


@pytest.mark.parametrize(("overrides", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_one_line(
    overrides: tuple[str, ...], message: str, normbench: Command, tmp_path: Path
) -> None:
    """Nothing has started: exit code 2, no folder."""
    result = normbench("train", *overrides, "optimizer.name=mine")
    assert result.code == 2
    assert message in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()
