"""Tests of values that refer to others: each cell of a sweep is resolved on its own."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from normbench.config.compose import Cells, resolve
from normbench.config.sweep import expand
from normbench.errors import ConfigError
from normbench.spec import Run


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """Return a user's conf folder with experiments that interpolate."""
    texts = {
        "scaled": "base: 0.1\nlr: ${base}\nmodel:\n  depth: ${seed}\nsweep:\n  seed: [1, 2]\n",
        "axis": "sweep:\n  norm_batch_size: ['${batch_size}', 8]\n  batch_size: [16, 32]\n",
        "relative": "sweep:\n  norm_batch_size: ['${.batch_size}']\n  batch_size: [16, 32]\n",
        "helper": "base: 0.5\n",
    }
    for name, text in texts.items():
        path = tmp_path / "experiment" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# @package _global_\n{text}")
    return tmp_path


@pytest.fixture
def resolvers() -> Iterator[Callable[..., None]]:
    """Register resolvers as a user's script would, and forget them afterwards."""
    names: list[str] = []

    def register(name: str, resolver: Callable[..., object], *, use_cache: bool = False) -> None:
        OmegaConf.register_new_resolver(name, resolver, use_cache=use_cache)
        names.append(name)

    yield register
    for name in names:
        OmegaConf.clear_resolver(name)


def batches(runs: tuple[Run, ...]) -> list[tuple[int, int | None]]:
    return [(run.batch_size, run.norm_batch_size) for run in runs]


TYPED: dict[str, tuple[list[str], list[tuple[int, int | None]]]] = {
    "one value": (["batch_size=64,128", "norm_batch_size=${batch_size}"], [(64, 64), (128, 128)]),
    "a sweep": (["batch_size=64,128", "norm_batch_size=${batch_size},8"], [(64, 64), (64, 8), (128, 128), (128, 8)]),
    "a choice": (["batch_size=choice(${seed},8)", "seed=4"], [(4, None), (8, None)]),
    "an axis": (["sweep.norm_batch_size=['${batch_size}']", "batch_size=64,128"], [(64, 64), (128, 128)]),
    "quoted": (["batch_size=64,128", 'norm_batch_size="${batch_size}"'], [(64, 64), (128, 128)]),
    "of another": (["batch_size=${norm_batch_size}", "norm_batch_size=${seed}", "seed=2,3"], [(2, 2), (3, 3)]),
    "one run": (["batch_size=64", "norm_batch_size=${batch_size}"], [(64, 64)]),
}


@pytest.mark.parametrize(("overrides", "expected"), TYPED.values(), ids=TYPED)
def test_a_typed_value_follows_what_it_refers_to(overrides: list[str], expected: list[tuple[int, int | None]]) -> None:
    """One value or several, in whatever order they were typed."""
    assert batches(expand(overrides, multirun=True).runs) == expected


def test_a_value_of_a_group_follows_an_axis() -> None:
    """The data of each seed are their own."""
    runs = expand(["seed=range(3)", "data=synthetic", "data.generator_seed=${seed}"], multirun=True).runs
    assert [run.data.args["generator_seed"] for run in runs] == [0, 1, 2]


def test_an_axis_of_an_experiment_follows_another(conf: Path) -> None:
    """What a YAML sweeps is resolved per cell too; a reference is seen from where the key stands, not from `sweep`."""
    expected = [(16, 16), (32, 32), (16, 8), (32, 8)]
    assert batches(expand(["+experiment=axis"], config_dir=conf).runs) == expected
    assert batches(expand(["+experiment=relative"], config_dir=conf).runs) == expected[:2]


def test_a_value_of_an_experiment_follows_an_axis(conf: Path) -> None:
    """A value that refers to an axis follows it, and a helper key may be swept."""
    sweep = expand(["+experiment=scaled", "base=0.1,0.5"], config_dir=conf, multirun=True)
    assert [(run.lr, run.seed, run.model.args["depth"]) for run in sweep.runs] == [
        (lr, seed, seed) for lr in (0.1, 0.5) for seed in (1, 2)
    ]
    assert sweep.notes == ()
    assert sweep.changed == ("lr", "model.depth", "seed")


def test_a_typed_value_may_refer_to_a_helper_key(conf: Path) -> None:
    """A key of a YAML that only the command line refers to is not taken for a misspelt one."""
    assert expand(["+experiment=helper", "lr=${base}"], config_dir=conf).runs[0].lr == 0.5


def test_inside_lists_and_dicts() -> None:
    """However deep a reference stands."""
    overrides = [
        "schedule=multistep",
        "schedule.milestones=[${optimizer.momentum},0.95],[0.2]",
        "optimizer.momentum=0.5",
    ]
    runs = expand(overrides, multirun=True).runs
    assert [run.schedule.args["milestones"] for run in runs] == [[0.5, 0.95], [0.2]]
    own = ["norm._target_=my.Norm", "norm.name=mine", "norm.sizes={a:[${batch_size}]}", "batch_size=2,4"]
    assert [run.norm.args["sizes"] for run in expand(own, multirun=True).runs] == [{"a": [2]}, {"a": [4]}]


def test_resolvers_of_the_environment_and_of_the_user(
    monkeypatch: pytest.MonkeyPatch, resolvers: Callable[..., None]
) -> None:
    """OmegaConf's and those that a script registered, in every cell; a cached one is asked anew in each."""
    monkeypatch.setenv("NORMBENCH_TEST_WIDTH", "24")
    resolvers("double", lambda number: 2 * number, use_cache=True)
    overrides = [
        "model.width=${oc.decode:${oc.env:NORMBENCH_TEST_WIDTH}}",
        "batch_size=2,3",
        "seed=${double:${batch_size}}",
    ]
    quoted = [
        f'{key}="{value}"' if "${" in value else f"{key}={value}" for key, value in (o.split("=") for o in overrides)
    ]
    runs = expand(quoted, multirun=True).runs
    assert [(run.model.args["width"], run.seed) for run in runs] == [(24, 4), (24, 6)]


def test_a_root_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """README's data may lie wherever a variable says."""
    monkeypatch.setenv("NORMBENCH_TEST_PLACE", "/place")
    (one,) = expand(["data=image_folder", "data.root=${oc.env:NORMBENCH_TEST_PLACE}/x"]).requested
    assert one.place == {"root": "/place/x"}


def test_a_study_may_bear_the_name_of_a_choice_and_of_no_axis() -> None:
    """Cells of one sweep lie in one study: a name that differs among them is an error."""
    assert expand(["study=${norm.name}_${model.name}"]).settings.study == "batch_mlp"
    with pytest.raises(ConfigError, match=r"^the runs of a sweep share study, engine and log: got study='s0' and 's1'"):
        expand(["study=s${seed}", "seed=0,1"], multirun=True)


def test_the_config_of_a_sweep_shows_what_is_resolved_in_each_cell() -> None:
    """--cfg shows a single run resolved, and of a sweep what its cells follow."""
    overrides = ["norm_batch_size=${batch_size}"]
    assert "\nnorm_batch_size: 32\n" in expand(overrides).config
    assert "\nnorm_batch_size: ${batch_size}\n" in expand([*overrides, "batch_size=2,4"], multirun=True).config


UNRESOLVED = {
    "nowhere": ("lr=${nowhere}", "cannot resolve lr: Interpolation key 'nowhere' not found"),
    "in a group": (
        "model.width=${model.widht}",
        "cannot resolve model.width: Interpolation key 'model.widht' not found",
    ),
    "variable": ("study=${oc.env:NORMBENCH_NO_SUCH}", "cannot resolve study: "),
    "resolver": ("lr=${no_such:1}", "cannot resolve lr: Unsupported interpolation type no_such"),
    "circle": ("lr=${lr}", "cannot resolve lr: "),
    "not closed": ('lr="${seed"', "cannot resolve lr: "),
    "a list where a number is wanted": ("lr=${probes}", "lr: got [], expected a number above 0"),
}


@pytest.mark.parametrize("others", [[], ["seed=0,1"]], ids=["a run", "a sweep"])
@pytest.mark.parametrize(("override", "message"), UNRESOLVED.values(), ids=UNRESOLVED)
def test_what_cannot_be_resolved_is_named_in_one_line(override: str, message: str, others: list[str]) -> None:
    """The key comes first, then why."""
    with pytest.raises(ConfigError) as raised:
        expand([override, *others], multirun=True)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_resolver_that_fails_or_gives_no_plain_value(resolvers: Callable[..., None]) -> None:
    """Its own error is told, and what no table can hold is refused."""
    resolvers("fails", lambda: math.sqrt(-1))
    resolvers("place", lambda: Path("/x"))
    with pytest.raises(ConfigError, match=r"^cannot resolve lr: ValueError raised while resolving interpolation: math"):
        resolve({"lr": "${fails:}"})
    with pytest.raises(ConfigError, match=r"^an interpolation gives PosixPath\('/x'\), expected a number, a string, "):
        resolve({"norm": {"gain": "${place:}"}})


def test_an_interpolation_that_leads_nowhere() -> None:
    """The key that cannot be resolved is named."""
    with pytest.raises(ConfigError, match=r"^cannot resolve lr: Interpolation key 'nowhere' not found"):
        resolve({"lr": "${nowhere}"})


def test_cells_leave_nothing_to_each_other() -> None:
    """A dict of one cell is not merged into the next one's."""
    cells = Cells({"a": "${b}", "b": None}, ["b"])
    assert [cells.at([value])["a"] for value in ({"x": 1}, {"y": 2}, None)] == [{"x": 1}, {"y": 2}, None]
