"""Tests of who looks on: event files are read back, weights are loaded again."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from normbench.api import Session
from normbench.engine.observers import HISTOGRAMS, log_name
from normbench.engine.work import load_data
from normbench.training.setup import set_up

from .sessions import run, tables


def events(folder: Path) -> Any:
    (log,) = (folder / "tensorboard").iterdir()
    found = EventAccumulator(str(log), size_guidance={"histograms": 0, "scalars": 0})
    found.Reload()
    return found


WHEN = {
    "auto, a single run": ("auto", False, True),
    "auto, a sweep": ("auto", True, False),
    "run, a sweep": ("run", True, True),
    "off, a single run": ("off", False, False),
}


@pytest.mark.parametrize(("setting", "multirun", "expected"), WHEN.values(), ids=WHEN)
def test_a_log_is_written_where_it_is_wanted(setting: str, multirun: bool, expected: bool) -> None:
    """By default a single run has one and a sweep none."""
    session = run(f"log.tensorboard={setting}", multirun=multirun)
    assert (session.study.folder / "tensorboard").exists() == expected


def test_a_log_holds_curves_gradients_and_the_config() -> None:
    """What curves.csv has, the gradient norm of each parameter, and the hyper-parameters with the final metrics."""
    session = run("eval_every=1", multirun=False)
    found = events(session.study.folder)
    tags = found.Tags()
    assert {"loss/train", "loss/val", "accuracy/train", "accuracy/val", "lr", "test_accuracy"} <= set(tags["scalars"])
    gradients = {tag for tag in tags["scalars"] if tag.startswith("gradient_norm/")}
    assert {"gradient_norm/head.weight", "gradient_norm/head.bias"} <= gradients
    assert [point.step for point in found.Scalars("loss/val")] == [1, 2, 3]
    assert all(point.value > 0 for point in found.Scalars("gradient_norm/head.weight"))
    (row,) = session.rows().to_dict("records")
    assert found.Scalars("loss/val")[-1].value == pytest.approx(row["val_loss"])
    assert found.Scalars("test_accuracy")[0].value == pytest.approx(row["test_accuracy"])
    plugin = found.SummaryMetadata("_hparams_/session_start_info").plugin_data
    assert plugin.plugin_name == "hparams"
    assert b"optimizer.momentum" in plugin.content


@pytest.mark.parametrize(("steps", "expected"), [(3, 3), (10, 10), (11, 5), (25, 8)])
def test_histograms_are_taken_ten_times_at_most(steps: int, expected: int) -> None:
    """Before and after each norm, spread over the run."""
    session = run(f"steps={steps}", "eval_every=1", "model.depth=2", multirun=False)
    found = events(session.study.folder)
    tags = found.Tags()["histograms"]
    assert sorted(tag.rpartition("/")[2] for tag in tags) == ["after_norm"] * 2 + ["before_norm"] * 2
    assert {len(found.Histograms(tag)) for tag in tags} == {expected}
    assert expected <= HISTOGRAMS


def test_a_norm_shows_in_its_histograms() -> None:
    """What comes out of batch norm has mean zero and variance one, what goes in has not."""
    found = events(run(multirun=False).study.folder)
    spread = {}
    for tag in found.Tags()["histograms"]:
        value = found.Histograms(tag)[-1].histogram_value
        spread[tag.rpartition("/")[2]] = value.sum_squares / value.num
    assert spread["after_norm"] == pytest.approx(1.0, rel=0.1)
    assert spread["before_norm"] != pytest.approx(1.0, rel=0.1)


def test_looking_on_changes_nothing() -> None:
    """A run with every observer has the bytes of a run with none."""
    overrides = ("study=mine", "eval_every=1", "model.dropout=0.5", "data.augment=crop_flip")
    bare = run(*overrides, "log.tensorboard=off", results_dir="bare")
    seen = run(*overrides, "log.tensorboard=run", "log.weights=final", results_dir="seen")
    assert tables(seen.study.folder) == tables(bare.study.folder)


def test_a_log_of_an_earlier_training_is_replaced() -> None:
    """A forced run does not draw its curve twice."""
    run(multirun=False)
    found = events(run(multirun=False, force=True).study.folder)
    assert len(found.Scalars("loss/val")) == 1


def test_a_diverged_run_has_a_log_too() -> None:
    """Its final metrics are nan."""
    found = events(run("lr=1e30", "norm=none", "steps=20", multirun=False).study.folder)
    assert found.Scalars("test_accuracy")[0].value != found.Scalars("test_accuracy")[0].value


def test_a_log_has_a_readable_name() -> None:
    """No character of a user's name leads out of the folder."""
    (one,) = run("norm._target_=normbench.norms.layer.LayerNorm", "norm.name='../x y'").plan.runs.values()
    assert log_name("0123456789ab", one.run) == "mlp-.._x_y-bs32-lr0.1-seed0-0123456789ab"


def reloaded_accuracy(session: Session) -> float:
    """Return the test accuracy of a session's only run from its kept weights."""
    ((run_id, one),) = session.plan.runs.items()
    setup = set_up(one.run, load_data(one.data), torch.device("cpu"))
    weights = torch.load(session.study.folder / "weights" / f"{run_id}.pt", weights_only=True)
    setup.model.load_state_dict(weights)
    (score,) = setup.evaluator.evaluate(setup.model, setup.parts.test)
    return score.metrics["accuracy"]


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_kept_weights_give_the_test_accuracy_again(norm: str) -> None:
    """Weights and running statistics are those that the run was tested with."""
    session = run(f"norm={norm}", "log.weights=final", "steps=40", "lr=0.3")
    (row,) = session.rows().to_dict("records")
    assert row["test_accuracy"] > 0.2
    assert reloaded_accuracy(session) == pytest.approx(row["test_accuracy"], abs=1e-9)
    assert [path.suffix for path in (session.study.folder / "weights").iterdir()] == [".pt"]


def test_weights_are_kept_where_they_are_wanted_alone() -> None:
    """A sweep of thousands would fill the disk."""
    assert not (run().study.folder / "weights").exists()
