"""Studies from strangers are data: to read one imports nothing that it names and unpickles nothing that it holds."""

import json
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import Command

from normbench.cli import cli

TRAP = """
from pathlib import Path

(Path(__file__).parents[1] / "sprung").touch()
"""
NORM = """
from torch import nn


def norm(num_features):
    return nn.Identity()
"""

READERS = {
    "aggregate": ("aggregate", "strange"),
    "aggregate all": ("aggregate", "--by", "norm", "--best", "lr"),
    "claims verdict": ("claims", "verdict", "--study", "strange"),
    "compare": ("compare", "strange", "stranger"),
    "merge": ("merge", "strange", "stranger", "-o", "joined"),
    "report": ("report", "strange"),
    "status": ("status", "strange"),
}
"""Commands that read studies and run nothing."""

OTHERS = {"completion", "dashboard", "doctor", "explain", "list", "plan", "rerun", "train"}
"""Commands that have a test of their own here, read no study, or train what the user names."""


class Bomb:
    """Touches a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def poisoned(value: Any) -> Any:
    """Return JSON in which every part of a config names the trap."""
    if isinstance(value, list):
        return [poisoned(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    own = {key: poisoned(entry) for key, entry in value.items()}
    return own | {"_target_": "trap.layers.norm"} if "name" in own and "mode" not in own else own


def set_trap(folder: Path) -> None:
    """Write a package that leaves a file when it is imported; to look for a module in it is enough."""
    (folder / "trap").mkdir()
    (folder / "trap" / "__init__.py").write_text(TRAP)
    (folder / "trap" / "layers.py").write_text(NORM)


@pytest.fixture
def run_id(normbench: Command, tmp_path: Path) -> str:
    """Leave the study of a stranger and the module that it names where the user stands; return one of its runs."""
    overrides = ("norm=batch,none", "lr=0.1,0.2", "seed=0,1", "steps=3", "model.width=8", "model.depth=1")
    assert normbench("train", "-m", *overrides, "study=strange").code == 0
    folder = tmp_path / "results" / "strange"
    plan = folder / "plan.jsonl"
    lines = [json.loads(line) for line in plan.read_text().splitlines()]
    plan.write_text("".join(json.dumps(poisoned(line)) + "\n" for line in lines))
    assert '"_target_": "trap.layers.norm"' in plan.read_text()
    set_trap(tmp_path)
    # Tables older than the plan are merged anew.
    (folder / ".merged").unlink()
    known = (folder / "runs.csv").read_text().splitlines()[1].partition(",")[0]
    bomb = pickle.dumps(Bomb(tmp_path / "sprung"))
    for name in (
        f"checkpoints/{known}.pt",
        f"weights/{known}.pt",
        "jobs/1_0_result.pkl",
        "runs.pkl",
        "tensorboard/x.npy",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(bomb)
    shutil.copytree(folder, folder.with_name("stranger"))
    return known


@pytest.mark.parametrize("name", READERS)
def test_to_read_a_study_runs_no_code_of_it(name: str, normbench: Command, tmp_path: Path, run_id: str) -> None:
    """A module on the path that the study names stays unimported, and files that would run when unpickled unread."""
    if name == "claims verdict":
        # A study is judged where it was before.
        (tmp_path / "results" / "strange" / "verdicts.csv").write_text("claim\n")
    assert normbench(*READERS[name]).code == 0
    assert "trap" not in sys.modules
    assert not (tmp_path / "sprung").exists()


def test_the_dashboard_runs_no_code_of_a_study(tmp_path: Path, run_id: str) -> None:
    """Nor does TensorBoard, told to show it."""
    command = subprocess.Popen(
        [sys.executable, "-m", "normbench", "dashboard", "strange", "--port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    assert any("Ctrl-C stops it" in line for line in iter(command.stdout.readline, ""))
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)
    assert not (tmp_path / "sprung").exists()


def test_a_record_that_names_code_is_trained_again_only_on_trust(
    normbench: Command, tmp_path: Path, run_id: str
) -> None:
    """Without --trust rerun exits with 2, names the code and the option, and has imported nothing."""
    result = normbench("rerun", run_id)
    assert result.code == 2
    assert f"normbench: the record of run {run_id} names code to run: trap.layers.norm. Give --trust" in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "sprung").exists()


def test_the_trap_would_spring(normbench: Command, tmp_path: Path) -> None:
    """What the user asks for by name is imported from where the user stands."""
    set_trap(tmp_path)
    try:
        assert normbench("train", "norm._target_=trap.layers.norm", "norm.name=trap", "steps=1").code == 0
    finally:
        for name in ("trap", "trap.layers"):
            sys.modules.pop(name, None)
    assert (tmp_path / "sprung").exists()


def test_every_command_is_looked_at() -> None:
    """A command that comes later is one of the readers, or has a reason not to be."""
    assert {words[0] for words in READERS.values()} | OTHERS == set(cli.commands)
