"""Tests of the way from overrides to frozen runs."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import hydra
import pytest
import yaml

from normbench.config import compose
from normbench.config.sweep import expand
from normbench.errors import ConfigError
from normbench.norms import CHOICES
from normbench.plan import run_id
from normbench.spec import Run


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """Return a user's conf folder with experiments."""
    folder = tmp_path / "conf"
    texts = {
        "two_norms": "sweep:\n  norm: [batch, none]\n  seed: range(2)\n",
        "deep": "model:\n  depth: 5\n",
        "globbed": "sweep:\n  norm: glob(*)\n",
        "study_a": "study: a\n",
        "study_b": "study: b\n",
    }
    for name, text in texts.items():
        write(folder, name, text)
    return folder


def write(folder: Path, experiment: str, text: str) -> None:
    path = folder / "experiment" / f"{experiment}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# @package _global_\n{text}")


def cells(runs: tuple[Run, ...]) -> list[tuple[str, int]]:
    return [(run.norm.name, run.seed) for run in runs]


def test_the_default_is_one_run() -> None:
    """Nothing said is batch norm on digits, and no sweep."""
    sweep = expand([])
    (run,) = sweep.runs
    assert (run.model.name, run.norm.name, run.data.name, run.optimizer.name) == ("mlp", "batch", "digits", "sgd")
    assert (sweep.multirun, sweep.changed, sweep.notes) == (False, (), ())
    assert (sweep.settings.study, sweep.settings.results_dir) == ("default", "results")


def test_the_first_axis_is_the_slowest() -> None:
    """Values run in the order typed, each axis within the one before."""
    runs = expand(["seed=range(2)", "lr=0.1,0.3", "batch_size=2,4"], multirun=True).runs
    assert [(run.seed, run.lr, run.batch_size) for run in runs] == list(product((0, 1), (0.1, 0.3), (2, 4)))


def test_groups_are_slower_than_values() -> None:
    """A choice of groups is composed once, so its values run within it wherever they were typed."""
    runs = expand(["seed=0,1", "norm=none,batch"], multirun=True).runs
    assert cells(runs) == [("none", 0), ("none", 1), ("batch", 0), ("batch", 1)]


def test_several_values_need_m() -> None:
    """A sweep by accident is an error that says what to add."""
    with pytest.raises(ConfigError, match=r"^'seed=0,1' gives several values: add -m for a sweep\.$"):
        expand(["seed=0,1"])


def test_a_path_with_a_comma_is_answered_by_its_quoted_form() -> None:
    """Hydra's comma makes a sweep; what one path with a comma is typed as is said."""
    message = r"^'data\.root=/a,b' gives several values: add -m for a sweep; quote a string: 'data\.root=\"/a,b\"'$"
    with pytest.raises(ConfigError, match=message):
        expand(["data=image_folder", "data.root=/a,b"])
    assert expand(["data=image_folder", 'data.root="/a,b"']).requested[0].place == {"root": "/a,b"}


def test_m_with_one_value_is_a_sweep_of_one() -> None:
    """What was asked for decides, not what came of it."""
    assert expand(["seed=1"], multirun=True).multirun
    assert len(expand(["seed=range(1)"], multirun=True).runs) == 1


@pytest.mark.parametrize("multirun", [False, True], ids=["without -m", "with -m"])
def test_an_experiment_brings_its_axes(conf: Path, multirun: bool) -> None:
    """No -m is needed where an experiment is a sweep; a group may be an axis of it."""
    sweep = expand(["+experiment=two_norms"], config_dir=conf, multirun=multirun)
    assert cells(sweep.runs) == [("batch", 0), ("batch", 1), ("none", 0), ("none", 1)]
    assert sweep.multirun


@pytest.mark.parametrize("multirun", [False, True], ids=["without -m", "with -m"])
@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("norm=layer", [("layer", 0), ("layer", 1)]),
        ("norm=layer,group", [("layer", 0), ("layer", 1), ("group", 0), ("group", 1)]),
        ("seed=7", [("batch", 7), ("none", 7)]),
        ("seed=7,8", [("batch", 7), ("batch", 8), ("none", 7), ("none", 8)]),
        ("sweep.seed=[5]", [("batch", 5), ("none", 5)]),
        ("sweep.seed=range(5,7)", [("batch", 5), ("batch", 6), ("none", 5), ("none", 6)]),
        ("sweep.norm=glob(lay*r)", [("layer", 0), ("layer", 1)]),
        ("~sweep.seed", [("batch", 0), ("none", 0)]),
        ("~sweep.norm", [("batch", 0), ("batch", 1)]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_command_line_replaces_an_axis(
    conf: Path, multirun: bool, override: str, expected: list[tuple[str, int]]
) -> None:
    """One value fixes an axis, several replace it, ~sweep.key takes it away."""
    assert cells(expand(["+experiment=two_norms", override], config_dir=conf, multirun=multirun).runs) == expected


def test_the_command_line_adds_an_axis(conf: Path) -> None:
    """sweep.key is an axis with an experiment and without one."""
    runs = expand(["+experiment=two_norms", "sweep.lr=[0.1,0.2]"], config_dir=conf).runs
    assert [(run.norm.name, run.seed, run.lr) for run in runs] == list(product(("batch", "none"), (0, 1), (0.1, 0.2)))
    alone = expand(["sweep.lr=[0.1,0.2]"])
    assert alone.multirun
    assert [run.lr for run in alone.runs] == [0.1, 0.2]


def test_an_axis_that_is_not_there_cannot_be_taken_away(conf: Path) -> None:
    """A misspelt ~sweep.key would leave the axis in."""
    with pytest.raises(ConfigError, match=r"'~sweep\.sede': there is no such axis\. Known: norm, seed"):
        expand(["+experiment=two_norms", "~sweep.sede"], config_dir=conf)


def test_an_experiment_may_glob(conf: Path) -> None:
    """Texts of an axis follow the grammar of the command line."""
    names = [run.norm.name for run in expand(["+experiment=globbed"], config_dir=conf).runs]
    assert names == sorted(CHOICES)


def test_a_key_that_only_some_know_is_left_out_there() -> None:
    """It is said once, and the equal cells that come of it have one identity."""
    sweep = expand(["norm=batch,group", "norm.num_groups=2,4", "seed=range(2)"], multirun=True)
    assert sweep.notes == ("norm.num_groups does not apply to norm=batch and is ignored there.",)
    groups = [(run.norm.name, run.norm.args.get("num_groups"), run.seed) for run in sweep.runs]
    assert groups == [("batch", None, 0), ("batch", None, 1), *(("group", n, s) for n, s in product((2, 4), (0, 1)))]


def test_two_experiments_that_come_to_the_same_are_the_same(conf: Path) -> None:
    """Equal cells have equal identities, however they were asked for."""
    experiment = expand(["+experiment=deep"], config_dir=conf).runs[0]
    typed = expand(["model.depth=5"]).runs[0]
    assert run_id(experiment, "") == run_id(typed, "")


UNKNOWN = {
    "nearest": ("model.dept=3", "unknown key 'model.dept'; did you mean 'model.depth'?"),
    "nearest in its group": ("optimizer.momentun=0.1", "did you mean 'optimizer.momentum'?"),
    "group forgotten": ("weight_decay=1", "did you mean 'optimizer.weight_decay'?"),
    "nothing near": ("foo=1", "unknown key 'foo'. Known: batch_size, data, engine, epochs, "),
    "below a value": ("lr.x=1", "unknown key 'lr.x'"),
    "axis": ("sweep.sede=[1]", "unknown key 'sede' in 'sweep.sede'; did you mean 'seed'?"),
    "taken away": ("~lrr", "unknown key 'lrr'; did you mean 'lr'?"),
}


@pytest.mark.parametrize(("override", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_key_names_the_nearest(override: str, message: str) -> None:
    """A misspelt key is an error, with the one that was probably meant."""
    with pytest.raises(ConfigError) as raised:
        expand([override])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


MISSPELT = {
    "top level": ("epoch: 5\n", "unknown key 'epoch' in the YAMLs; did you mean 'epochs'?"),
    "group": ("modle:\n  depth: 4\n", "unknown key 'modle.depth' in the YAMLs; did you mean 'model.depth'?"),
    "model": ("model:\n  dept: 4\n", "did you mean 'model.depth'?"),
    "optimizer": ("optimizer:\n  momentun: 0.5\n", "did you mean 'optimizer.momentum'?"),
    "optimizer of another": ("optimizer:\n  beta1: 0.5\n", "unknown key 'optimizer.beta1'"),
    "engine": ("engine:\n  thread: 3\n", "did you mean 'engine.threads'?"),
    "axis": ("sweep:\n  lrr: [1]\n", "unknown key 'lrr' in 'sweep.lrr'; did you mean 'lr'?"),
    "no section": ("norm: 5\n", "norm: got 5, expected an option of conf/norm."),
}


@pytest.mark.parametrize(("text", "message"), MISSPELT.values(), ids=MISSPELT)
def test_an_unknown_key_of_a_yaml_is_an_error_too(conf: Path, text: str, message: str) -> None:
    """A setting that would do nothing is not passed over."""
    write(conf, "misspelt", text)
    with pytest.raises(ConfigError) as raised:
        expand(["+experiment=misspelt"], config_dir=conf)
    assert message in str(raised.value)


REFUSED = {
    "study": ("study=a,b", "study changes no result and cannot be swept"),
    "results_dir": ("results_dir=a,b", "results_dir changes no result"),
    "engine": ("engine.threads=1,2", "engine.threads changes no result"),
    "log": ("log.weights=none,final", "log.weights changes no result"),
    "study with a comma": ("study=a,b", "; quote a string: 'study=\"a,b\"'"),
    "study as an axis": ("sweep.study=[a,b]", "study changes no result"),
    "section": ("model.args=1,2", "unknown key 'model.args'"),
    "whole section": ("log=3", "log is a section; set one of its keys"),
    "whole sweep": ("sweep=3", "sweep is a section"),
    "group taken away": ("~norm", "every run needs a norm"),
    "glob of values": ("lr=glob(*)", "glob works only for config groups (data, engine, experiment, "),
}


@pytest.mark.parametrize(("override", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses_what_makes_no_sense(override: str, message: str) -> None:
    """Each refusal says why."""
    with pytest.raises(ConfigError) as raised:
        expand([override], multirun=True)
    assert message in str(raised.value)


def test_one_sweep_has_one_study(conf: Path) -> None:
    """Two experiments with a study each do not end up in the first one's folder."""
    with pytest.raises(ConfigError, match=r"^the runs of a sweep share study, engine and log: got study='a' and 'b'"):
        expand(["+experiment=study_a,study_b"], config_dir=conf, multirun=True)
    assert expand(["+experiment=study_a,study_b", "study=c"], config_dir=conf, multirun=True).settings.study == "c"


OPTIONAL = ["norm_batch_size", "eval_every", "target_accuracy", "data.limit", "optimizer.clip_norm", "engine.threads"]


@pytest.mark.parametrize("key", OPTIONAL)
def test_taking_a_key_away_is_null(key: str) -> None:
    """~key and key=null are the same run where null is a value."""
    assert expand([f"~{key}"]).runs == expand([f"{key}=null"]).runs


@pytest.mark.parametrize(
    "key", ["lr", "model.width", "norm.eps", "data.augment", "log.weights", "engine.mode", "study"]
)
def test_a_key_that_needs_a_value_cannot_be_taken_away(key: str) -> None:
    """It is said before anything starts."""
    with pytest.raises(ConfigError, match=rf"^'~{key}': {key} needs a value, "):
        expand([f"~{key}"])


def test_a_target_replaces_the_groups_own_arguments() -> None:
    """A user's norm is not called with batch norm's arguments."""
    (run,) = expand(["norm.name=mine", "norm.gain=2", "norm._target_=my.Norm"]).runs
    assert (run.norm.name, run.norm.target, dict(run.norm.args)) == ("mine", "my.Norm", {"gain": 2})


def test_a_target_may_be_swept() -> None:
    """Each of several targets replaces the arguments, and they get a column to tell them apart."""
    sweep = expand(["norm._target_=my.A,my.B", "norm.name=mine"], multirun=True)
    assert [(run.norm.target, dict(run.norm.args)) for run in sweep.runs] == [("my.A", {}), ("my.B", {})]
    assert sweep.changed == ("norm", "norm._target_")


CHANGED: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "nothing": (["lr=0.1"], ()),
    "a value": (["model.depth=5"], ("model.depth",)),
    "a value at its default": (["model.depth=3"], ()),
    "an axis": (["model.depth=3,5"], ("model.depth",)),
    "an axis of the default alone": (["model.depth=choice(3)"], ()),
    "a group": (["optimizer=adamw"], ("optimizer",)),
    "a group and its key": (["optimizer=adamw", "optimizer.beta1=0.5"], ("optimizer", "optimizer.beta1")),
    "a group at its default": (["optimizer=sgd"], ()),
    "groups": (["norm=batch,none"], ("norm",)),
    "an experiment's value": (["+experiment=deep"], ("model.depth",)),
    "an experiment's value, put back": (["+experiment=deep", "model.depth=3"], ()),
    "settings": (["study=x", "engine.threads=1", "log.weights=final"], ()),
    "dropped for one": (["norm=batch,group", "norm.num_groups=4"], ("norm", "norm.num_groups")),
}


@pytest.mark.parametrize(("overrides", "changed"), CHANGED.values(), ids=CHANGED)
def test_what_is_off_its_default_gets_a_column(conf: Path, overrides: list[str], changed: tuple[str, ...]) -> None:
    """Whoever set it: the command line, an axis or an experiment."""
    assert expand(overrides, config_dir=conf, multirun=True).changed == changed


def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    calls: list[tuple[str, ...]] = []

    def count(name: str, *, overrides: list[str], return_hydra_config: bool) -> object:
        calls.append(tuple(overrides))
        return hydra.compose(name, overrides=overrides, return_hydra_config=return_hydra_config)

    monkeypatch.setattr(compose, "compose", count)
    return calls


def test_hydra_composes_each_choice_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand cells of two norms are two compositions, and one of the defaults."""
    calls = counted(monkeypatch)
    runs = expand(["norm=batch,none", "seed=range(50)", "lr=range(1,11)"], multirun=True).runs
    assert len(runs) == 1000
    assert sorted(calls) == [(), ("norm=batch",), ("norm=none",)]


def test_hydra_composes_an_experiment_once_a_choice(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An experiment's choices are composed with it and without it, each once."""
    calls = counted(monkeypatch)
    expand(["+experiment=two_norms"], config_dir=conf)
    assert len(calls) == len(set(calls)) == 6


def test_the_config_is_shown_before_its_axes(conf: Path) -> None:
    """--cfg prints YAML: the values set, and the axes under sweep, choices of groups among them."""
    axes = {"norm": ["batch", "none"], "seed": [0, 1]}
    shown: Mapping[str, object] = yaml.safe_load(expand(["+experiment=two_norms", "lr=0.5"], config_dir=conf).config)
    assert (shown["lr"], shown["seed"], shown["sweep"]) == (0.5, 0, axes)
