"""The shipped experiments show what they are shipped to show."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import Command

import normbench
from normbench.config.shipped import shipped_conf
from normbench.config.sweep import expand

EXPERIMENTS = sorted(path.stem for path in (shipped_conf() / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_experiment_composes_into_a_study_of_its_own(name: str) -> None:
    """Experiments do not share a folder by accident, and every value passes its rule."""
    sweep = expand([f"+experiment={name}"])
    assert sweep.runs
    assert sweep.settings.study == name


SMALL = [name for name in EXPERIMENTS if name not in ("cifar10_resnet20", "fine_tune")]
"""Those on embedded data that need nothing else."""


@pytest.mark.parametrize(
    "name", [name for name in [*SMALL, "fine_tune"] if name not in ("quickstart", "digits_baseline")]
)
def test_each_experiment_begins_with_what_it_shows(name: str) -> None:
    """The first line of its file, which `normbench list experiments` shows, is a question."""
    header = (shipped_conf() / "experiment" / f"{name}.yaml").read_text().splitlines()[1]
    assert header.endswith("?")


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_each_experiment_can_be_planned(name: str, normbench: Command) -> None:
    """Every model is built and tried, and what is skipped has its reason."""
    result = normbench("plan", f"+experiment={name}")
    assert result.code == 0
    assert "runs" in result.out


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return the mean test accuracy by norm, batch size and rate; a diverged run counts as chance."""
    runs = normbench.train(["+experiment=quickstart"], results_dir=tmp_path_factory.mktemp("results"))
    accuracy = runs["test_accuracy"].fillna(1 / runs["num_classes"])
    return accuracy.groupby([runs["norm"], runs["batch_size"], runs["lr"]]).mean().unstack()


@pytest.mark.slow
def test_quickstart_shows_that_batch_norm_fails_at_small_batches(quickstart: pd.DataFrame) -> None:
    """At its best rate batch norm loses at least 20 points to group norm at batch 2, and none at batch 128."""
    best = quickstart.max(axis=1)
    assert best["group", 2] - best["batch", 2] > 0.2
    assert best["group", 128] - best["batch", 128] < 0.01


@pytest.mark.slow
def test_quickstart_shows_that_batch_norm_allows_higher_rates(quickstart: pd.DataFrame) -> None:
    """At batch 128 and the highest rate batch norm trains, and no norm does not."""
    highest = quickstart[quickstart.columns.max()]
    assert highest["batch", 128] > 0.95
    assert highest["none", 128] < 0.3


@pytest.mark.slow
def test_the_digits_baseline_reaches_its_accuracy(tmp_path: Path) -> None:
    """The standard recipe on digits gives 98 % or more, as README says; its ten seeds gave 98.6 %."""
    runs = normbench.train(["+experiment=digits_baseline", "seed=range(4)"], results_dir=tmp_path)
    assert runs["test_accuracy"].mean() > 0.975


def tuned(name: str, folder: Path, *by: str, given: tuple[str, ...] = ()) -> dict[Any, float]:
    """Return the mean test accuracy by cell, each seed at its best rate by validation; divergence counts as chance."""
    runs = normbench.train([f"+experiment={name}", *given], results_dir=folder)
    runs = runs.fillna({"val_accuracy": 0.0, "test_accuracy": 0.1}).sort_values("val_accuracy", kind="stable")
    best = runs.groupby([*by, "seed"]).tail(1)
    return dict(best.groupby(list(by))["test_accuracy"].mean().items())


@pytest.mark.full
def test_small_batch(tmp_path: Path) -> None:
    """Batch norm loses 20 points and more to group norm at a batch of 2, and at 4 no more than 3."""
    accuracy = tuned("small_batch", tmp_path, "norm", "batch_size")
    assert accuracy["group", 2] - accuracy["batch", 2] > 0.2
    for size in (4, 8, 32):
        assert accuracy["group", size] - accuracy["batch", size] < 0.03


@pytest.mark.full
def test_batch_or_norm_batch(tmp_path: Path) -> None:
    """Statistics of two samples cost 20 points at every batch size; statistics of eight cost nothing."""
    accuracy = tuned("batch_or_norm_batch", tmp_path, "batch_size", "norm_batch_size")
    assert set(accuracy) == {(2, 2), (8, 2), (8, 8), (32, 2), (32, 8), (32, 32)}
    for size in (8, 32):
        assert accuracy[size, 8] - accuracy[size, 2] > 0.2
    assert accuracy[32, 32] - accuracy[32, 8] < 0.02


@pytest.mark.full
def test_higher_lr(tmp_path: Path) -> None:
    """At a rate of 1 every run with batch norm trains, and none of the others; at 10 nothing does."""
    runs = normbench.train(["+experiment=higher_lr"], results_dir=tmp_path).fillna({"test_accuracy": 0.1})
    at_one = runs[runs["lr"] == 1.0].groupby("norm")["test_accuracy"]
    assert at_one.min()["batch"] > 0.95
    assert at_one.max().drop("batch").max() < 0.2
    assert runs[runs["lr"] == 10.0]["test_accuracy"].max() < 0.3


@pytest.mark.full
def test_init_scale(tmp_path: Path) -> None:
    """With batch norm the worst scale costs less than 4 points, without it each wrong scale costs more than 2."""
    accuracy = tuned("init_scale", tmp_path, "norm", "model.init_scale")
    scales = (0.1, 0.3, 1.0, 3.0, 10.0)
    assert max(accuracy["batch", 1.0] - accuracy["batch", scale] for scale in scales) < 0.04
    for scale in (0.1, 0.3, 3.0, 10.0):
        assert accuracy["none", 1.0] - accuracy["none", scale] > 0.02


@pytest.mark.full
def test_depth(tmp_path: Path) -> None:
    """At 8 layers both train; at 32 layers batch norm still does, and without it nothing is learnt."""
    accuracy = tuned("depth", tmp_path, "norm", "model.depth")
    assert min(accuracy["batch", 8], accuracy["none", 8]) > 0.9
    assert accuracy["batch", 32] > 0.85
    assert accuracy["none", 32] < 0.5


@pytest.mark.full
def test_placement(tmp_path: Path) -> None:
    """At the best rate no placement is two points better; at a rate of 1 every net with the norm after diverges."""
    accuracy = tuned("placement", tmp_path, "model.activation", "model.norm_placement")
    for activation in ("relu", "tanh"):
        assert abs(accuracy[activation, "before"] - accuracy[activation, "after"]) < 0.02
    runs = normbench.load(tmp_path / "placement")
    highest = runs[runs["lr"] == 1.0].groupby("model.norm_placement")["status"]
    assert set(highest.get_group("after")) == {"diverged"}
    assert set(highest.get_group("before")) == {"finished"}


@pytest.mark.slow
def test_momentum(tmp_path: Path) -> None:
    """Too long and too short a memory cost 5 points and more by running statistics, and none by precise ones."""
    runs = normbench.train(["+experiment=momentum"], results_dir=tmp_path)
    means = runs.groupby("norm.momentum")[["test_accuracy", "test_accuracy_precise", "train_loss"]].mean()
    assert means["train_loss"].nunique() == 1
    assert means["test_accuracy_precise"].nunique() == 1
    running = means["test_accuracy"]
    assert running[0.1] - running[0.001] > 0.05
    assert running[0.1] - running[1.0] > 0.05


@pytest.mark.full
def test_fine_tune(tmp_path: Path) -> None:
    """From the same weights, frozen statistics keep at least 30 points more than those of two samples."""
    before = ["data=synthetic", "data.generator_seed=1", "epochs=3", "log.weights=final"]
    (run_id,) = normbench.train(before, study="pretrained", results_dir=tmp_path)["run_id"]
    weights = tmp_path / "pretrained" / "weights" / f"{run_id}.pt"
    accuracy = tuned("fine_tune", tmp_path, "norm", given=(f"model.weights='{weights}'",))
    assert accuracy["batch_frozen"] - accuracy["batch"] > 0.3


@pytest.mark.full
def test_zoo(tmp_path: Path) -> None:
    """Norms that look at one sample beat those that look at a batch of two by 20 points; renorm lies between."""
    accuracy = tuned("zoo", tmp_path, "norm")
    assert len(accuracy) == 15
    for name in ("batch", "batch_noisy", "batch_var_only"):
        assert accuracy["layer"] - accuracy[name] > 0.2
    assert accuracy["batch"] + 0.2 < accuracy["batch_renorm"] < accuracy["layer"]
