"""Tests of the budget rule and of what a run and its settings are built from."""

from pathlib import Path
from typing import Any

import pytest

from normbench.config.build import OWN_DATA_DEFAULTS, build_settings
from normbench.config.sweep import expand
from normbench.data import RUN_KEYS
from normbench.errors import ConfigError


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """Return a user's conf folder with an experiment that has a budget in steps."""
    path = tmp_path / "experiment" / "budgeted.yaml"
    path.parent.mkdir()
    path.write_text("# @package _global_\nepochs: null\nsteps: 600\n")
    return tmp_path


BUDGETS: dict[str, tuple[list[str], tuple[int | None, int | None]]] = {
    "nothing said": ([], (10, None)),
    "epochs": (["epochs=3"], (3, None)),
    "steps": (["steps=3"], (None, 3)),
    "steps, and epochs null": (["steps=3", "epochs=null"], (None, 3)),
    "epochs, and steps null": (["epochs=3", "steps=null"], (3, None)),
    "epochs null, steps": (["epochs=null", "steps=3"], (None, 3)),
    "steps null": (["steps=null"], (10, None)),
    "steps taken away": (["~steps"], (10, None)),
    "epochs over an experiment's steps": (["+experiment=budgeted", "epochs=3"], (3, None)),
    "steps over an experiment's steps": (["+experiment=budgeted", "steps=3"], (None, 3)),
    "an experiment's steps": (["+experiment=budgeted"], (None, 600)),
}


def test_the_keys_of_a_users_own_data_set_are_for_it_to_check() -> None:
    """`data.length` of a shipped set is a number of tokens; that of a user's may be anything, its root is a path."""
    own = ["data._target_=my.data", "data.name=mine", "data.length=0.5", "data.kind=[1]", "data.root=~/x"]
    (run,) = expand(own).requested
    assert run.run.data.args["length"] == 0.5
    assert run.data.args["root"] == str(Path.home() / "x")
    with pytest.raises(ConfigError, match=r"^data\.limit: got 0"):
        expand([*own, "data.limit=0"])


@pytest.mark.parametrize(("overrides", "budget"), BUDGETS.values(), ids=BUDGETS)
def test_the_budget_is_what_was_said_last(
    conf: Path, overrides: list[str], budget: tuple[int | None, int | None]
) -> None:
    """What the command line gives wins over a default or an experiment's; the other becomes null."""
    (run,) = expand(overrides, config_dir=conf).runs
    assert (run.epochs, run.steps) == budget


def test_a_sweep_over_a_budget_counts_as_said() -> None:
    """An axis sets its key in each run, null included."""
    runs = expand(["steps=null,5"], multirun=True).runs
    assert [(run.epochs, run.steps) for run in runs] == [(10, None), (None, 5)]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["epochs=3", "steps=3"], "epochs=3 and steps=3 are both given"),
        (["epochs=null"], "epochs and steps are both null"),
        (["~epochs"], "epochs and steps are both null"),
        (["+experiment=budgeted", "epochs=3", "steps=3"], "epochs=3 and steps=3 are both given"),
    ],
    ids=["both", "neither", "taken away", "both over an experiment"],
)
def test_a_run_has_one_budget(conf: Path, overrides: list[str], message: str) -> None:
    """Two budgets, or none, are an error."""
    with pytest.raises(ConfigError, match=message):
        expand(overrides, config_dir=conf)


@pytest.mark.parametrize(
    "name", [".", "..", "a/b", "a\\b", "a*", "a\nb", 'a"b', "a?", " ", "a ", " a", "a" * 256, "é" * 128]
)
def test_a_study_is_the_name_of_a_folder(name: str) -> None:
    """A path belongs into results_dir."""
    engine = {
        "name": "local",
        "mode": "solo",
        "device": "auto",
        "ranks": 1,
        **dict.fromkeys(("threads", "workers", "memory", "checkpoint_every")),
    }
    values: dict[str, Any] = {"results_dir": "r", "engine": engine, "log": {"tensorboard": "off", "weights": "none"}}
    for good in ("a b-1", "研究", "é" * 127, "a" * 255):
        assert build_settings({**values, "study": good}).study == good
    with pytest.raises(ConfigError, match=r"^study: got "):
        build_settings({**values, "study": name})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["batch_size=2.5"], r"^batch_size: got 2\.5, expected an integer of at least 1\.$"),
        (["lr=0"], r"^lr: got 0, expected a number above 0\.$"),
        (["lr=nan"], r"^lr: got nan"),
        (["norm.affine=1"], r"^norm\.affine: got 1, expected true or false\.$"),
        (["log.weights=all"], r"^log\.weights: unknown value 'all'; did you mean 'final'\? Known: final, none$"),
        (["engine.threads=0"], r"^engine\.threads: got 0"),
        (["seed=null"], r"^seed: got None"),
        (["norm._target_=a.b"], r"^norm\.name is missing: give a\.b a name, norm\.name=mine\.$"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_value_is_named(overrides: list[str], message: str) -> None:
    """Key, value and what is allowed stand in one line."""
    with pytest.raises(ConfigError, match=message):
        expand(overrides)


@pytest.mark.parametrize(
    ("text", "gigabytes"),
    [("4", 4.0), ("0.5", 0.5), ("8GB", 8.0), ("500MB", 0.5), ("'1.5 gb'", 1.5), ("null", None)],
)
def test_memory_is_a_number_of_gigabytes_or_a_size(text: str, gigabytes: float | None) -> None:
    """What people write as a size of memory becomes GB."""
    assert expand([f"engine.memory={text}"]).settings.engine.memory == gigabytes


@pytest.mark.parametrize("text", ["much", "0", "-1", "4TB", "0MB"])
def test_memory_that_is_none_is_named(text: str) -> None:
    """Anything else is an error that names the key."""
    with pytest.raises(ConfigError, match=r"^engine\.memory: got"):
        expand([f"engine.memory={text}"])


def test_integers_are_floats_where_numbers_are_wanted() -> None:
    """lr=1 and lr=1.0 are the same run."""
    assert expand(["lr=1", "norm.eps=0"]).runs == expand(["lr=1.0", "norm.eps=0.0"]).runs
    assert repr(expand(["lr=1"]).runs) == repr(expand(["lr=1.0"]).runs)


def test_a_users_data_set_takes_the_shared_keys() -> None:
    """Split, noise and augmentation need not be said for a data set of one's own."""
    (run,) = expand(["data._target_=my.data", "data.name=mine", "data.path=x", "data.label_noise=0.5"]).runs
    assert run.data.args == {**OWN_DATA_DEFAULTS, "path": "x", "label_noise": 0.5}
    assert set(OWN_DATA_DEFAULTS) == {"limit", "size", *RUN_KEYS}
    assert run.data.target == "my.data"


def test_a_users_optimizer_takes_what_is_ours() -> None:
    """Clipping and the norms' decay are checked; its own arguments are its own to check."""
    mine = ["optimizer._target_=torch.optim.RMSprop", "optimizer.name=rmsprop"]
    (run,) = expand([*mine, "optimizer.alpha=0.9", "optimizer.momentum=two", "optimizer.decay_norm=false"]).runs
    assert run.optimizer.args == {"decay_norm": False, "clip_norm": None, "alpha": 0.9, "momentum": "two"}
    assert expand([*mine, "optimizer.decay_norm=true", "optimizer.clip_norm=null"]).runs == expand(mine).runs
    with pytest.raises(ConfigError, match=r"^optimizer\.clip_norm: got -1, expected a number above 0 or null"):
        expand([*mine, "optimizer.clip_norm=-1"])
