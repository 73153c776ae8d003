"""Tests of normbench from Python."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import normbench
from normbench.errors import ConfigError, ImpossibleRunError, StudyError
from normbench.record.columns import FIXED

TINY = ["steps=3", "model.width=8"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_returns_the_rows_that_load_finds(here: Path) -> None:
    """The columns of the contract in their order, then what was changed; several values are a sweep."""
    rows = normbench.train([*TINY, "norm=batch,none", "seed=range(2)"], study="mine", results_dir=here / "out")
    assert list(rows.columns) == [*FIXED, "model.width"]
    assert set(zip(rows["norm"], rows["seed"], strict=True)) == {(n, s) for n in ("batch", "none") for s in (0, 1)}
    assert set(rows["study"]) == {"mine"}
    pd.testing.assert_frame_equal(normbench.load(here / "out" / "mine"), rows)
    pd.testing.assert_frame_equal(normbench.load("out/mine"), rows)


def test_every_file_of_the_contract_is_there(here: Path) -> None:
    """A study is a folder that other tools read; nothing else is written."""
    normbench.train(TINY)
    names = {path.name for path in (here / "results" / "default").iterdir() if not path.name.startswith(".")}
    assert names == {"plan.jsonl", "shards", "runs.csv", "curves.csv", "summary.csv", "provenance.csv"}
    assert [path.name for path in here.iterdir()] == ["results"]


def test_train_returns_the_runs_asked_for_alone() -> None:
    """What else the study holds is for load; what it holds already is not trained again."""
    normbench.train([*TINY, "seed=range(2)"], study="mine")
    before = Path("results/mine/provenance.csv").read_text()
    rows = normbench.train([*TINY, "seed=1"], study="mine")
    assert rows["seed"].tolist() == [1]
    assert Path("results/mine/provenance.csv").read_text() == before
    normbench.train([*TINY, "seed=1"], study="mine", force=True)
    assert Path("results/mine/provenance.csv").read_text() != before


@pytest.mark.parametrize("name", ["a b", "it's", "a,b", "é", "[x]", "x=y", "2024", "null", "~x"])
def test_any_name_of_a_folder_is_taken_as_it_is(here: Path, name: str) -> None:
    """Hydra's grammar does not show through."""
    rows = normbench.train(TINY, study=name, results_dir=here / f"o {name}")
    assert rows["study"].tolist() == [name]
    assert (here / f"o {name}" / name / "runs.csv").is_file()


def test_a_users_norm_needs_no_edit_of_the_package(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dotted path and a name, or a YAML in a conf folder."""
    monkeypatch.syspath_prepend(here)
    (here / "norm_of_api.py").write_text(
        "from torch import nn\n\n\ndef scaled(num_features, gain=1.0):\n    return nn.BatchNorm1d(num_features)\n"
    )
    typed = normbench.train([*TINY, "norm._target_=norm_of_api.scaled", "norm.name=mine", "norm.gain=2.0"])
    (here / "conf" / "norm").mkdir(parents=True)
    (here / "conf" / "norm" / "mine.yaml").write_text("name: mine\n_target_: norm_of_api.scaled\ngain: 2.0\n")
    chosen = normbench.train([*TINY, "norm=mine"], config_dir=here / "conf")
    assert typed["norm"].tolist() == chosen["norm"].tolist() == ["mine"]
    assert typed["run_id"].tolist() == chosen["run_id"].tolist()


def test_what_is_wrong_is_raised_before_anything_is_written(here: Path) -> None:
    """The folder stays empty."""
    with pytest.raises(ConfigError, match="unknown norm 'bacth'; did you mean 'batch'"):
        normbench.train(["norm=bacth"])
    with pytest.raises((ConfigError, ImpossibleRunError), match=r"[Ii]nstance"):
        normbench.train(["norm=instance"])
    with pytest.raises(ConfigError, match="'study' is given twice"):
        normbench.train(["study=a"], study="b")
    assert list(here.iterdir()) == []


def test_a_study_that_is_not_there() -> None:
    """load says which file it looked for."""
    with pytest.raises(StudyError, match=r"results/nope/runs\.csv is missing"):
        normbench.load("results/nope")


@pytest.mark.parametrize("group", ["norms", "models", "data"])
def test_registries_are_plain_dicts(group: str) -> None:
    """A name leads to what is called."""
    registry = getattr(normbench, group).REGISTRY
    assert type(registry) is dict
    assert all(isinstance(name, str) and callable(entry) for name, entry in registry.items())


def test_the_face_has_nothing_else() -> None:
    """A misspelt attribute is an AttributeError."""
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = normbench.trian
    assert set(normbench.__all__) == {"data", "load", "models", "norms", "train"}


@pytest.mark.parametrize(
    "overrides",
    ["norm=batch", Path("norm=batch"), {"norm": "batch"}, None, 3, ["norm=batch", None], [3], [Path("a")], [{"a": 1}]],
    ids=repr,
)
def test_overrides_are_a_list_of_texts(here: Path, overrides: Any) -> None:
    """What else is given is named, with what it should be."""
    with pytest.raises(ConfigError, match=r"^overrides: got .* expected a list of strings such as \['norm=batch', "):
        normbench.train(overrides)
    assert list(here.iterdir()) == []


def test_what_a_command_would_print_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A warning on the data is seen without any set-up of logging, other notes where a program asks for them."""
    with caplog.at_level(logging.INFO, logger="normbench"):
        normbench.train(["norm=layer", "norm_batch_size=16", "steps=1"])
    assert "norm_batch_size has no effect for norm=layer" in caplog.text


def test_a_study_without_a_name_is_not_the_default_one() -> None:
    """An empty text is a name that no folder has."""
    with pytest.raises(ConfigError, match=r"^study: got ''"):
        normbench.train(TINY, study="")
