"""The shipped experiments show what they are shipped to show."""

from pathlib import Path

import pandas as pd
import pytest

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
