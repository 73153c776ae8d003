"""A task of the user's own, as README shows it: solo, stacked and compiled, to tables, report and TensorBoard."""

import csv
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Command

from normbench.engine.device import find_compiler

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
COMMAND = re.search(r"^    normbench (train -m task\._target_=.*)$", README, re.MULTILINE)


@pytest.fixture
def command(tmp_path: Path) -> Iterator[list[str]]:
    """Write README's module into the folder where the command runs, and return README's command."""
    block = re.search(r"```python\n(# my_regression\.py\n.*?)```", README, re.DOTALL)
    assert block is not None and COMMAND is not None
    (tmp_path / "my_regression.py").write_text(block[1])
    sys.path.insert(0, str(tmp_path))
    yield [*shlex.split(COMMAND[1]), "epochs=2", "engine.workers=1"]
    sys.path.remove(str(tmp_path))
    sys.modules.pop("my_regression", None)


def rows(tmp_path: Path, name: str = "runs.csv") -> list[dict[str, str]]:
    with (tmp_path / "results/default" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_readmes_task_trains_to_its_tables(normbench: Command, command: list[str], tmp_path: Path) -> None:
    """Its metric has the columns that accuracy has for images, and is what tables show and choose by."""
    result = normbench(*command)
    assert result.code == 0
    assert "test_mae" in result.out
    found = rows(tmp_path)
    assert {row["status"] for row in found} == {"finished"}
    assert {row["task"] for row in found} == {"regression"}
    for row in found:
        assert row["test_accuracy"] == "" and row["num_classes"] == ""
        assert all(0 < float(row[f"{part}_mae"]) < 2 for part in ("train", "val", "test"))
        same = float(row["test_mae"]) == float(row["test_mae_precise"]) == float(row["test_mae_batch"])
        assert same == (row["norm"] != "batch")
    assert all(row["val_mae"] and row["val_loss"] for row in rows(tmp_path, "curves.csv"))
    assert any("test_mae" in name for name in rows(tmp_path, "summary.csv")[0])
    best = normbench("aggregate", "default", "--best", "lr", "--by", "norm")
    assert (best.code, "test_mae" in best.out, "lr" in best.out) == (0, True, True)
    again = normbench(*command)
    assert (again.code, "18 of them done already" in again.err) == (0, True)


MODES = ["stacked", pytest.param("compiled", marks=pytest.mark.skipif(find_compiler() is None, reason="no compiler"))]


@pytest.mark.parametrize("mode", MODES)
def test_runs_of_an_own_task_train_together_as_alone(
    mode: str, normbench: Command, command: list[str], tmp_path: Path
) -> None:
    """Probes and a target included; the numbers are those of the solo path up to rounding."""
    more = ["norm=batch", "lr=0.003", "target=0.5", "probes=[gradients,statistics_gap]", "epochs=1"]
    kept = [word for word in command if word.split("=")[0] not in ("norm", "lr", "epochs")]
    tables = {}
    for study, chosen in (("alone", "solo"), ("together", mode)):
        assert normbench(*kept, *more, f"study={study}", f"engine.mode={chosen}").code == 0
        with (tmp_path / "results" / study / "runs.csv").open(newline="") as file:
            tables[study] = list(csv.DictReader(file))
    for one, other in zip(tables["alone"], tables["together"], strict=True):
        assert one["run_id"] == other["run_id"]
        for name in ("val_mae", "test_mae", "test_mae_precise", "test_mae_batch", "test_loss"):
            assert float(one[name]) == pytest.approx(float(other[name]), rel=2e-3)
        assert one["steps_to_target"] == other["steps_to_target"]


def test_report_and_tensorboard_show_the_metric(normbench: Command, command: list[str], tmp_path: Path) -> None:
    """The page names it, and so do the logs of cells."""
    assert normbench(*command, "log.tensorboard=cell").code == 0
    assert normbench("report", "default", "-o", "page.html").code == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "test_mae" in page and "test_accuracy" not in page
    logs = b"".join(path.read_bytes() for path in (tmp_path / "results/default/tensorboard").rglob("*tfevents*"))
    assert b"mae" in logs and b"accuracy" not in logs


def test_a_single_run_shows_its_curve(normbench: Command, command: list[str]) -> None:
    """The head of the column is the task's metric, and so is the last line."""
    single = [word for word in command if word != "-m" and word.split("=")[0] not in ("norm", "lr", "seed")]
    result = normbench(*single, "lr=0.01")
    assert result.code == 0
    assert re.search(r"train mae +val loss +val mae", result.err)
    assert re.search(r"test mae \d\.\d+ +running statistics", result.out)


WRONG = {
    "a target of images": (
        "target_accuracy=0.9",
        "target_accuracy: task=regression is judged by mae; set target instead.",
    ),
    "an impossible target": ("target=-1", "target: got -1, expected a mae from 0 to inf."),
    "other data": ("data=digits", "the task needs features and wanted, and data=digits has images, labels"),
}


@pytest.mark.parametrize(("override", "message"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused(override: str, message: str, normbench: Command, command: list[str]) -> None:
    """Before anything starts, in one line."""
    kept = [word for word in command if not (override.startswith("data=") and word.startswith("data."))]
    single = [word for word in kept if word != "-m" and word.split("=")[0] not in ("norm", "lr", "seed")]
    result = normbench(*single, override)
    assert (result.code, message in result.err) == (2, True)
