"""Tests of axes that run together."""

from pathlib import Path

import pytest
import yaml

from normbench.config.sweep import expand
from normbench.errors import ConfigError
from normbench.spec import Run

EXPERIMENTS = {
    "zipped": "sweep:\n  lr: [0.1, 0.2]\n  seed: range(2)\n  batch_size: [16, 32]\n  zip: [lr, batch_size]\n",
    "text": "sweep:\n  lr: logspace(-2, 0, 3)\n  batch_size: 16,32,64\n  zip: lr,batch_size\n",
    "groups": "sweep:\n  norm: [batch, group]\n  lr: [0.1, 0.2]\n  model: [mlp, plain]\n  seed: [0, 1]\n"
    "  zip: [norm, model, lr]\n",
    "two": "sweep:\n  norm: [batch, group]\n  lr: [0.1, 0.2]\n  batch_size: [16, 32]\n  seed: [0, 1]\n"
    "  zip: [[norm, lr], [batch_size, seed]]\n",
}


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """Return a user's conf folder with experiments whose axes run together."""
    (tmp_path / "experiment").mkdir()
    for name, text in EXPERIMENTS.items():
        (tmp_path / "experiment" / f"{name}.yaml").write_text(f"# @package _global_\n{text}")
    return tmp_path


def cells(runs: tuple[Run, ...]) -> list[tuple[str, str, float, int, int]]:
    return [(run.norm.name, run.model.name, run.lr, run.batch_size, run.seed) for run in runs]


def rates(runs: tuple[Run, ...]) -> list[tuple[float, int]]:
    return [(run.lr, run.batch_size) for run in runs]


def test_axes_of_an_experiment_run_together_where_the_first_stands(conf: Path) -> None:
    """Each rate has its batch size; the seeds run within."""
    expected = [(lr, size, seed) for lr, size in ((0.1, 16), (0.2, 32)) for seed in (0, 1)]
    runs = expand(["+experiment=zipped"], config_dir=conf).runs
    assert [(run.lr, run.batch_size, run.seed) for run in runs] == expected


def test_axes_given_as_texts_run_together_too(conf: Path) -> None:
    """In Hydra's grammar, `zip` as well."""
    assert rates(expand(["+experiment=text"], config_dir=conf).runs) == [(0.01, 16), (0.1, 32), (1.0, 64)]


@pytest.mark.parametrize("names", ["[lr,batch_size]", "[[lr,batch_size]]", "lr,batch_size", "['lr', 'batch_size']"])
def test_typed_axes_run_together(names: str) -> None:
    """sweep.zip names axes, wherever they were typed."""
    typed = [f"sweep.zip={names}", "lr=0.1,0.2", "batch_size=16,32"]
    assert rates(expand(typed, multirun=True).runs) == [(0.1, 16), (0.2, 32)]
    assert rates(expand([typed[0], "sweep.lr=[0.1,0.2]", "sweep.batch_size=[16,32]"]).runs) == [(0.1, 16), (0.2, 32)]


def test_groups_run_together_with_values(conf: Path) -> None:
    """A norm has its model and its rate."""
    expected = [
        (norm, model, lr, 32, seed)
        for norm, model, lr in (("batch", "mlp", 0.1), ("group", "plain", 0.2))
        for seed in (0, 1)
    ]
    assert cells(expand(["+experiment=groups"], config_dir=conf).runs) == expected
    typed = ["norm=batch,group", "model=mlp,plain", "lr=0.1,0.2", "seed=0,1", "sweep.zip=[norm,model,lr]"]
    assert cells(expand(typed, multirun=True).runs) == expected


def test_several_pairs(conf: Path) -> None:
    """A list of lists is a pair each."""
    assert cells(expand(["+experiment=two"], config_dir=conf).runs) == [
        (norm, "mlp", lr, size, seed)
        for norm, lr in (("batch", 0.1), ("group", 0.2))
        for size, seed in ((16, 0), (32, 1))
    ]


def test_a_glob_runs_together_with_values() -> None:
    """Its options are looked up first."""
    runs = expand(["norm=glob(batch_[mr]*)", "seed=3,4", "sweep.zip=[norm,seed]"], multirun=True).runs
    assert [(run.norm.name, run.seed) for run in runs] == [("batch_mean_only", 3), ("batch_renorm", 4)]


def test_a_zipped_value_may_refer_to_another() -> None:
    """Each cell is resolved with what runs together in it."""
    typed = ["lr=0.1,0.2", "batch_size=16,32", "norm_batch_size=${batch_size},4", "sweep.zip=[lr,norm_batch_size]"]
    runs = expand(typed, multirun=True).runs
    assert [(run.lr, run.batch_size, run.norm_batch_size) for run in runs] == [
        (0.1, 16, 16), (0.1, 32, 32), (0.2, 16, 4), (0.2, 32, 4)
    ]  # fmt: skip


REPLACED: dict[str, tuple[list[str], list[tuple[float, int]]]] = {
    "by as many": (["lr=0.5,0.6"], [(0.5, 16), (0.6, 32)]),
    "by one value": (["lr=0.5"], [(0.5, 16), (0.5, 32)]),
    "both": (["lr=0.5,0.6,0.7", "batch_size=1,2,3"], [(0.5, 1), (0.6, 2), (0.7, 3)]),
    "zip taken away": (["~sweep.zip"], [(0.1, 16), (0.1, 32), (0.2, 16), (0.2, 32)]),
    "another zip": (["sweep.zip=[seed,lr]"], [(0.1, 16), (0.1, 32), (0.2, 16), (0.2, 32)]),
}


@pytest.mark.parametrize(("overrides", "expected"), REPLACED.values(), ids=REPLACED)
def test_the_command_line_replaces_a_zipped_axis(
    conf: Path, overrides: list[str], expected: list[tuple[float, int]]
) -> None:
    """As it does any; one value holds for all that it ran together with."""
    runs = expand(["+experiment=zipped", *overrides], config_dir=conf, multirun=True).runs
    assert list(dict.fromkeys(rates(runs))) == expected


def test_a_zipped_key_that_only_some_know_is_left_out_there() -> None:
    """The axis that it ran together with goes on without it."""
    typed = ["norm=batch,group", "norm.num_groups=2,4", "lr=0.1,0.2", "sweep.zip=[norm.num_groups,lr]"]
    runs = expand(typed, multirun=True).runs
    assert [(run.norm.name, run.norm.args.get("num_groups"), run.lr) for run in runs] == [
        ("batch", None, 0.1), ("batch", None, 0.2), ("group", 2, 0.1), ("group", 4, 0.2)
    ]  # fmt: skip


WRONG = {
    "unequal": (["lr=0.1,0.2,0.3", "sweep.zip=[lr,seed]"], "need the same number of values: lr has 3, seed has 2."),
    "unequal group": (
        ["norm=glob(*)", "sweep.zip=[seed,norm]"],
        "need the same number of values: seed has 2, norm has ",
    ),
    "misspelt": (
        ["lr=0.1,0.2", "sweep.zip=[lr,sede]"],
        "sweep.zip: 'sede' is not an axis of this sweep; did you mean 'seed'?",
    ),
    "no axis": (["sweep.zip=[seed,batch_size]"], "sweep.zip: 'batch_size' is not an axis of this sweep. Known: seed"),
    "twice": (["lr=1,2", "sweep.zip=[[lr,seed],[seed,lr]]"], "sweep.zip: 'lr' is given twice."),
    "one name": (["sweep.zip=[seed]"], "expected names of axes of the same sweep, such as [lr, batch_size]."),
    "axes themselves": (["sweep.zip={lr:[1,2],batch_size:[3,4]}"], "expected names of axes of the same sweep"),
    "numbers": (["sweep.zip=[[1,2]]"], "expected names of axes of the same sweep"),
    "experiments": (["sweep.experiment=[a,b]"], "an experiment cannot be an axis; +experiment=a,b with -m"),
    "not there to take away": (["~sweep.zip"], "'~sweep.zip': there is no such axis. Known: none"),
}


@pytest.mark.parametrize(("overrides", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_run_together_is_named(overrides: list[str], message: str) -> None:
    """Axes and how many values they have, or the form that is expected."""
    with pytest.raises(ConfigError) as raised:
        expand(["seed=0,1", *overrides], multirun=True)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_sweep_section_that_is_none(conf: Path) -> None:
    """A reference in its place is no section of axes."""
    (conf / "experiment" / "referring.yaml").write_text("# @package _global_\nsweep: ${model}\n")
    with pytest.raises(ConfigError, match=r"^sweep: got '\$\{model\}', expected a section of axes"):
        expand(["+experiment=referring"], config_dir=conf)


def test_the_config_shows_what_runs_together(conf: Path) -> None:
    """What --cfg prints under `sweep` asks for the same runs."""
    shown = expand(["+experiment=groups"], config_dir=conf).config
    assert yaml.safe_load(shown)["sweep"] == {
        "norm": ["batch", "group"], "lr": [0.1, 0.2], "model": ["mlp", "plain"], "seed": [0, 1],
        "zip": [["norm", "model", "lr"]],
    }  # fmt: skip
    again = conf / "experiment" / "again.yaml"
    again.write_text(
        f"# @package _global_\n{yaml.safe_dump({'sweep': yaml.safe_load(shown)['sweep']}, sort_keys=False)}"
    )
    assert expand(["+experiment=again"], config_dir=conf).runs == expand(["+experiment=groups"], config_dir=conf).runs
