"""A user's own optimizer against the same object of torch in a plain loop, its state, and what is refused."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from problems import dataset_of, images_of, problem
from torch import Tensor, nn

from normbench.errors import ConfigError
from normbench.norms.factory import norm_layers
from normbench.randomness import generator
from normbench.spec import Component, Run, Value
from normbench.training.build import build
from normbench.training.own_optimizer import OwnOptimizer
from normbench.training.schedules import factors
from normbench.training.setup import split_of
from normbench.training.trial import try_own_optimizer

from .trained import state_of, trained

STEPS = 25


def split_rates(params: list[dict[str, Any]], lr: float, **args: Any) -> torch.optim.Optimizer:
    """Return Adam with a tenth of the rate for what is no matrix."""
    (group,) = params
    flat = [param for param in group["params"] if param.dim() < 2]
    matrices = [param for param in group["params"] if param.dim() > 1]
    split: list[dict[str, Any]] = [{"params": matrices}, {"params": flat, "lr": lr / 10}]
    return torch.optim.Adam(split, lr=lr, **args)


def nothing(params: object, lr: float) -> int:
    """Return what is no optimizer."""
    return 3


class SelfSure(torch.optim.SGD):
    """Keeps no rate where others have it."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr=lr)
        for group in self.param_groups:
            del group["lr"]


def own(target: str, **args: Value) -> Component:
    return Component("mine", {"decay_norm": True, "clip_norm": None, **args}, target)


def problem_with(optimizer: Component, name: str = "mlp-batch-cosine_warmup", **changes: Any) -> Run:
    return problem(name, steps=STEPS, eval_every=1, optimizer=optimizer, **{"lr": 0.003, **changes})


def here(name: str) -> str:
    return f"{__name__}.{name}"


OPTIMIZERS: Mapping[str, Component] = {
    "rmsprop": own("torch.optim.RMSprop", alpha=0.9),
    "rmsprop momentum decay": own("torch.optim.RMSprop", momentum=0.9, centered=True, weight_decay=0.01),
    "adam": own("torch.optim.Adam", betas=[0.8, 0.99]),
    "adamw": own("torch.optim.AdamW", weight_decay=0.1),
    "adagrad": own("torch.optim.Adagrad"),
    "nadam": own("torch.optim.NAdam"),
    "nesterov": own("torch.optim.SGD", momentum=0.9, nesterov=True),
    "norms not decayed": own("torch.optim.AdamW", weight_decay=0.3, decay_norm=False),
    "a function": own(here("split_rates"), eps=1e-6),
}


def plain_loop(run: Run, make: Callable[..., torch.optim.Optimizer]) -> tuple[dict[str, Tensor], list[float]]:
    """Return the weights and losses that torch itself gives, its rate set by hand at each step."""
    dataset, parts = images_of(run), split_of(run, dataset_of(run))
    images = dataset.batch(torch.arange(len(dataset.images)))
    model = build(run, dataset.input_shape, dataset.num_classes).train().to(images.dtype)
    args = {key: value for key, value in run.optimizer.args.items() if key not in ("decay_norm", "clip_norm")}
    groups: list[dict[str, Any]] = [{"params": list(model.parameters())}]
    if not run.optimizer.args["decay_norm"]:
        of_norms = [param for norm in norm_layers(model).values() for param in norm.parameters()]
        others = [param for param in model.parameters() if not any(param is one for one in of_norms)]
        groups = [{"params": others}, {"params": of_norms, "weight_decay": 0.0}]
    optimizer = make(groups, lr=run.lr, **args)
    starts = [group["lr"] for group in optimizer.param_groups]
    order = parts.train[torch.randperm(len(parts.train), generator=generator(run.seed, "order", 0))]
    losses = []
    for step, factor in enumerate(factors(run.schedule, STEPS)):
        for group, start in zip(optimizer.param_groups, starts, strict=True):
            group["lr"] = start * factor
        batch = order[step * run.batch_size : (step + 1) * run.batch_size]
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images[batch]), parts.fields["labels"][batch])
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        if run.optimizer.args["clip_norm"] is not None:
            nn.utils.clip_grad_norm_(model.parameters(), run.optimizer.number("clip_norm"))
        optimizer.step()
        losses.append(loss.item())
    return model.state_dict(), losses


MAKERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    name: getattr(torch.optim, str(spec.target).rpartition(".")[2], split_rates) for name, spec in OPTIMIZERS.items()
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_is_a_plain_loop_of_the_same_object(name: str) -> None:
    """Weights and losses are its bits, the schedule's rate in float64 at each step as torch's own schedules have it."""
    run = problem_with(OPTIMIZERS[name])
    setup, outcome = trained(run)
    state, losses = plain_loop(run, MAKERS[name])
    torch.testing.assert_close(state_of(setup), state, rtol=0, atol=0)
    assert [point.train.loss for point in outcome.curve] == losses
    start = build(run, (1, 8, 8), 10).state_dict()
    assert not torch.equal(state["head.weight"], start["head.weight"])


@pytest.mark.usefixtures("in_float64")
def test_gradients_are_clipped_before_as_torch_clips() -> None:
    """Norms are rounded in another order, so that the two agree to the last digits of float64."""
    run = problem_with(own("torch.optim.SGD", momentum=0.9, clip_norm=0.5), lr=0.1)
    setup, outcome = trained(run)
    state, losses = plain_loop(run, torch.optim.SGD)
    torch.testing.assert_close(state_of(setup), state, rtol=1e-12, atol=1e-12)
    assert [point.train.loss for point in outcome.curve] == pytest.approx(losses, rel=1e-12)
    free = replace(run, optimizer=own("torch.optim.SGD", momentum=0.9))
    assert trained(free)[1].curve[-1].train.loss != pytest.approx(losses[-1], rel=1e-3)


def test_decay_norm_false_makes_two_groups() -> None:
    """The norms' parameters stand in a group without decay; a model without norms has one group."""
    spec = OPTIMIZERS["norms not decayed"]
    for name, groups in (("mlp-batch", 2), ("mlp-none", 1)):
        setup, _ = trained(problem_with(spec, name))
        assert isinstance(setup.optimizer, OwnOptimizer)
        kept = setup.optimizer.state()["param_groups"]
        assert [group["weight_decay"] for group in kept] == [0.3, 0.0][:groups]


def test_a_step_leaves_the_gradients_as_they_are() -> None:
    """An optimizer that writes into its gradients, as torch's foreach Nesterov does, changes those of nobody else."""
    params: dict[str, Tensor] = {"weight": nn.Parameter(torch.ones(3))}
    spec = own("torch.optim.SGD", momentum=0.9, nesterov=True, foreach=True)
    optimizer = OwnOptimizer(spec, params, lr=0.1)
    grads = {"weight": torch.full((3,), 2.0)}
    for _ in range(2):
        optimizer.step(grads, torch.tensor(0.1))
    assert grads["weight"].tolist() == [2.0] * 3
    assert params["weight"].grad is None


def test_a_group_with_a_rate_of_its_own_keeps_its_share() -> None:
    """The schedule scales what the user's function chose."""
    params: dict[str, Tensor] = {"weight": nn.Parameter(torch.ones(2, 2)), "bias": nn.Parameter(torch.ones(2))}
    optimizer = OwnOptimizer(own(here("split_rates")), params, lr=0.5)
    optimizer.step({name: torch.ones_like(param) for name, param in params.items()}, torch.tensor(0.25))
    assert [group["lr"] for group in optimizer.state()["param_groups"]] == pytest.approx([0.25, 0.025])


def test_an_own_optimizer_can_diverge() -> None:
    """It is counted as always, at the step at which the rule of the package diverges."""
    ours = problem("mlp-none", steps=STEPS, eval_every=10, lr=1e30)
    theirs = replace(ours, optimizer=own("torch.optim.SGD", momentum=0.9))
    outcome = trained(theirs)[1]
    assert outcome.status == "diverged"
    assert outcome.diverged_at_step == trained(ours)[1].diverged_at_step


REFUSED: Mapping[str, tuple[Component, str]] = {
    "no such class": (own("torch.optim.RMSprob"), r"optimizer\._target_=torch\.optim\.RMSprob: AttributeError: "),
    "no such argument": (own("torch.optim.RMSprop", alhpa=0.9), r"TypeError: RMSprop.*unexpected keyword .*'alhpa'$"),
    "a value that it refuses": (own("torch.optim.RMSprop", alpha=-1), "ValueError: Invalid alpha value: -1"),
    "a rate": (
        own("torch.optim.RMSprop", lr=0.1),
        r"optimizer\.lr: set the learning rate as lr, at the top level of the config\.",
    ),
    "a closure": (own("torch.optim.LBFGS"), r"TypeError: LBFGS\.step\(\) missing 1 required positional argument"),
    "no optimizer": (own(here("nothing")), r"nothing: got int, expected a torch\.optim\.Optimizer\."),
    "no rate": (own(here("SelfSure")), r"SelfSure: its param_groups have no 'lr' for the schedule to set\."),
    "no decay": (
        own("torch.optim.Rprop", decay_norm=False),
        r"optimizer\.decay_norm=false: torch\.optim\.Rprop has no weight_decay\.",
    ),
}


@pytest.mark.parametrize(("spec", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_before_anything_starts(spec: Component, message: str) -> None:
    """One line with what is wrong, found on the real model."""
    run = problem_with(spec)
    with pytest.raises(ConfigError, match=message) as error:
        try_own_optimizer(run, dataset_of(run))
    assert "\n" not in str(error.value)


def test_the_trial_says_why_runs_train_solo() -> None:
    """Of our own optimizers it says nothing."""
    run = problem_with(OPTIMIZERS["rmsprop"])
    why = "optimizer=mine is a torch.optim.Optimizer: its runs train solo"
    assert try_own_optimizer(run, dataset_of(run)) == why
    assert try_own_optimizer(problem("mlp-batch"), dataset_of(run)) == ""
