from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from problems import ARMS, problem
from torch import nn

from normbench.data import load
from normbench.errors import ConfigError, ImpossibleRunError
from normbench.spec import Component, Run
from normbench.training.build import build
from normbench.training.dry_run import dry_run

DIGITS = ((1, 8, 8), 10)


DATA = load("digits", {})


MAPS = load("digits", {"size": 32})


def with_norm(target: str, **args: float) -> Run:
    """Return an MLP with a user's own norm."""
    return replace(problem("mlp-batch"), norm=Component("mine", args, target))


def with_model(target: str, **args: float) -> Run:
    """Return a user's own model with batch norm."""
    return replace(problem("mlp-batch"), model=Component("mine", args, target))


@pytest.mark.parametrize(
    ("name", "per_sample"),
    [
        ("mlp-batch", 64 * 16 + 16 * 16 + 16 * 10),
        (
            "resnet-batch",
            64 * 9 * (1 * 4 + 4 * 4 + 4 * 4) + 16 * 9 * (4 * 8 + 8 * 8) + 4 * 9 * (8 * 16 + 16 * 16) + 16 * 10,
        ),
    ],
    ids=["mlp", "resnet"],
)
def test_multiply_adds_of_a_known_model(name: str, per_sample: int) -> None:
    """The cost is that of the linear and convolutional layers over one batch, counted by hand."""
    assert dry_run(problem(name), DATA).multiply_adds == per_sample * 16


@pytest.mark.parametrize("arm", ARMS)
def test_norms_add_no_multiply_adds(arm: str) -> None:
    """However a norm takes its means, threads and packs are those of the model without it."""
    model = arm.partition("-")[0]
    assert dry_run(problem(arm), DATA).multiply_adds == dry_run(problem(f"{model}-none"), DATA).multiply_adds


def test_activations_are_what_the_layers_put_out() -> None:
    """Twice the batch is twice the activations; a model without norms puts out less."""
    run = problem("mlp-batch-ghost")
    one = dry_run(run, DATA).activations
    assert one >= run.batch_size * DIGITS[1]
    assert dry_run(replace(run, batch_size=2 * run.batch_size), DATA).activations == 2 * one


@pytest.mark.parametrize(("arm", "keeps"), [("mlp-batch", True), ("mlp-layer", False)])
def test_running_statistics_are_found(arm: str, keeps: bool) -> None:
    """Their test scores take four passes instead of one."""
    assert dry_run(problem(arm), DATA).keeps_statistics is keeps


def test_a_run_that_goes_together_is_left_as_it_is() -> None:
    """Nothing is noted and nothing changed where every setting does something."""
    run = problem("mlp-batch-ghost")
    checked = dry_run(run, DATA)
    assert (checked.run, checked.notes) == (run, ())


@pytest.mark.parametrize("norm", ["layer", "group", "none"])
def test_norm_batch_size_is_dropped_where_it_does_nothing(norm: str) -> None:
    """A norm without batch statistics loses the setting, so that equal runs merge, and the user is told."""
    run = problem(f"mlp-{norm}")
    checked = dry_run(replace(run, norm_batch_size=5), DATA)
    assert checked.run == run
    assert checked.notes == (f"norm_batch_size has no effect for norm={norm}, which has no batch statistics: ignored.",)


IMPOSSIBLE = {
    "instance on features": (
        ("resnet-instance", "mlp-batch"),
        {},
        "positions to average over, got fully connected",
    ),
    "ghosts that do not fill": (("mlp-batch", "mlp-batch"), {"norm_batch_size": 5}, "5 does not divide batch_size=16"),
    "a batch of one": (("mlp-batch", "mlp-batch"), {"batch_size": 1}, "only one value per channel"),
    "ghosts of one": (("mlp-batch", "mlp-batch"), {"norm_batch_size": 1}, "only one value per channel"),
}


@pytest.mark.parametrize(("arms", "changes", "message"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_parts_that_cannot_go_together(arms: tuple[str, str], changes: dict[str, int], message: str) -> None:
    """The dry run finds them before anything starts, and finds them again when asked again."""
    norm, rest = arms
    run = replace(problem(rest, **changes), norm=problem(norm).norm)
    with pytest.raises(ImpossibleRunError, match=message):
        dry_run(run, DATA)
    with pytest.raises(ImpossibleRunError, match=message):
        dry_run(run, DATA)


def test_groups_that_do_not_divide() -> None:
    """The message of the norm comes through."""
    run = problem("mlp-group")
    with pytest.raises(ImpossibleRunError, match="num_groups=3 does not divide the 16 channels"):
        dry_run(replace(run, norm=Component("group", {"num_groups": 3})), DATA)


@pytest.mark.parametrize("size", [None, 5], ids=["whole batch", "ghosts"])
def test_an_unknown_norm_is_refused(size: int | None) -> None:
    """The message names the nearest known one."""
    run = replace(problem("mlp-batch", norm_batch_size=size), norm=Component("bacth", {}))
    with pytest.raises(ConfigError, match="unknown norm 'bacth'; did you mean 'batch'"):
        dry_run(run, DATA)


def test_statistics_of_scaled_gradients_are_refused() -> None:
    """The loss scale of float16 changes, and with it what power norm averages; bfloat16 has none."""
    run = problem("mlp-power")
    with pytest.raises(ImpossibleRunError, match="norm=power keeps statistics of the gradients"):
        dry_run(replace(run, precision="float16"), DATA)
    dry_run(replace(run, precision="bfloat16"), DATA)


def test_an_unknown_model_is_refused() -> None:
    """The message names the nearest known one."""
    with pytest.raises(ConfigError, match="unknown model 'mpl'; did you mean 'mlp'"):
        dry_run(replace(problem("mlp-batch"), model=Component("mpl", {})), DATA)


def test_a_wrong_argument_of_a_model_is_named() -> None:
    """An argument that the model does not take is a config error with the model's name."""
    with pytest.raises(ConfigError, match=r"model=mlp: .*'breadth'"):
        dry_run(replace(problem("mlp-batch"), model=Component("mlp", {"breadth": 3})), DATA)


WRONG_NORMS = {
    "no module": (
        "normbench_test_absent.Norm",
        r"norm\._target_=normbench_test_absent\.Norm: ModuleNotFoundError: No module",
    ),
    "no class": ("{own}.Absent", r"norm\._target_=\S+Absent: .*no attribute"),
    "not callable": ("{own}.NUMBER", r"norm\._target_=\S+NUMBER: not a class or function"),
    "wrong argument": ("{own}.Shift", r"^norm=mine: \S+Shift\(num_features, \.\.\.\) got an unexpected .*'to'\.$"),
    "no activated": ("{own}.Both", r"^norm=mine: \S+Both\(num_features, \.\.\.\) got an unexpected .*'activated'\.$"),
    "constructor raises": (
        "{own}.Raises",
        r"norm\._target_=\S+Raises: RuntimeError: no memory at all \(\S+/normbench_test_own\.py, line 16\)$",
    ),
    "forward raises": (
        "{own}.RaisesLater",
        r"norm\._target_=\S+RaisesLater: RuntimeError: shape .* \(\S+/normbench_test_own\.py, line 23\)$",
    ),
    "module raises": (
        "normbench_test_broken.Norm",
        r"norm\._target_=\S+Norm: NameError: .* \(\S+/normbench_test_broken\.py, line 2\)$",
    ),
    "module is no Python": (
        "normbench_test_syntax.Norm",
        r"norm\._target_=\S+Norm: SyntaxError: invalid syntax \(normbench_test_syntax\.py, line 3\)$",
    ),
}


@pytest.mark.parametrize(("target", "message"), WRONG_NORMS.values(), ids=WRONG_NORMS)
def test_a_users_own_norm_that_does_not_work(own: str, target: str, message: str) -> None:
    """Whatever is wrong with it is said in one line with its path."""
    with pytest.raises(ConfigError, match=message):
        dry_run(with_norm(target.format(own=own), **({"to": 1.0} if target.endswith("Shift") else {})), DATA)


WRONG_MODELS = {
    "wrong argument": ("Net", {"depth": 3}, "model=mine: .*'depth'"),
    "no tensor": ("Twice", {}, r"the model returned tuple, expected outputs \(2, 10\)"),
    "wrong shape": ("Regression", {}, r"the model returned shape \(2,\), expected outputs \(2, 10\)"),
    "not a module": ("no_module", {}, "model=mine: got function, expected a torch.nn.Module"),
}


@pytest.mark.parametrize(("name", "args", "message"), WRONG_MODELS.values(), ids=WRONG_MODELS)
def test_a_users_own_model_that_does_not_work(own: str, name: str, args: dict[str, float], message: str) -> None:
    """The dry run says what it expected."""
    with pytest.raises(ConfigError, match=message):
        dry_run(with_model(f"{own}.{name}", **args), DATA)


def in_foreign_model(norm: str, **args: Any) -> Run:
    """Return a run of one of timm's small models on maps that are large enough for it."""
    run = problem(f"resnet-{norm}")
    return replace(run, model=Component("timm", {"architecture": "test_efficientnet", **args}))


def test_a_replacement_is_noted_and_described() -> None:
    """The plan says what took the place of what."""
    checked = dry_run(in_foreign_model("group"), MAPS)
    assert checked.notes == ("model=timm test_efficientnet: 13 BatchNormAct2d replaced by GroupNorm.",)


def test_kept_norms_are_noted() -> None:
    """Ghost batches do nothing to them, and the three evaluations are one."""
    run = replace(in_foreign_model("batch", weights=None), norm=Component("keep", {}), norm_batch_size=4)
    checked = dry_run(run, MAPS)
    assert checked.run.norm_batch_size is None
    assert checked.notes == (
        "norm_batch_size has no effect for norm=keep, which has no batch statistics: ignored.",
        "model=timm test_efficientnet: 13 BatchNormAct2d kept, so its three test accuracies are the same.",
    )


def test_a_hidden_norm_is_impossible(own: str) -> None:
    """A model that normalises by a function in its forward pass has nothing to replace there."""
    run = replace(problem("mlp-batch"), model=Component("own", {"source": f"{own}.Hiding"}, "normbench.models.own.own"))
    with pytest.raises(ImpossibleRunError, match=r"forward \(layer_norm in Hiding\)"):
        dry_run(run, DATA)


def test_a_maker_that_raises_is_named_by_its_source(own: str) -> None:
    """With the file and line of the user's."""
    model = Component("own", {"source": f"{own}.raising"}, "normbench.models.own.own")
    with pytest.raises(ConfigError, match=rf"^model\.source={own}\.raising: RuntimeError: no net \(\S+, line \d+\)$"):
        dry_run(replace(problem("mlp-batch"), model=model), DATA)


def test_loaded_statistics_are_frozen_from_the_first_step(tmp_path: Path) -> None:
    """batch_frozen normalises by those of the file, not by those of a hundred steps of its own."""
    torch.save(build(problem("mlp-batch"), *DIGITS).state_dict(), tmp_path / "kept.pt")
    run = problem("mlp-batch_frozen")
    args = {**run.model.args, "weights": str(tmp_path / "kept.pt")}
    checked = dry_run(replace(run, model=replace(run.model, args=args)), DATA)
    assert checked.run.norm.args["freeze_step"] == 0
    assert checked.notes == ("model.weights has the statistics that norm=batch_frozen freezes: norm.freeze_step=0.",)
    assert dry_run(run, DATA).run == run


def test_a_bug_in_a_shipped_class_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What normbench's own code raises is not dressed up as the user's mistake."""

    def broken(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("a bug")

    run = replace(problem("mlp-none"), model=Component("mlp", {"width": 3}))
    monkeypatch.setattr("normbench.norms.NoNorm.forward", broken)
    with pytest.raises(RuntimeError, match=r"^a bug$"):
        dry_run(run, DATA)
