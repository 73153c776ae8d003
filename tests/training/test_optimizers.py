from typing import Any

import pytest
import torch
from torch import Tensor

from normbench.errors import ConfigError
from normbench.spec import Component, Value
from normbench.training.optimizers import REGISTRY, Optimizer, check_optimizer, clip

SHAPES = {"weight": (3, 4), "bias": (4,), "scalar": ()}
STEPS = 20

SGD: dict[str, Value] = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
ADAMW: dict[str, Value] = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}

RULES = {
    "sgd": ("sgd", SGD),
    "sgd momentum": ("sgd", SGD | {"momentum": 0.9}),
    "sgd decay": ("sgd", SGD | {"weight_decay": 0.1}),
    "sgd momentum decay": ("sgd", SGD | {"momentum": 0.9, "weight_decay": 0.1}),
    "sgd nesterov decay": ("sgd", SGD | {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "adamw": ("adamw", ADAMW),
    "adamw decay": ("adamw", ADAMW | {"weight_decay": 0.1}),
    "adamw betas eps": ("adamw", ADAMW | {"beta1": 0.5, "beta2": 0.9, "eps": 1e-2, "weight_decay": 0.01}),
}
each_rule = pytest.mark.parametrize(("name", "args"), RULES.values(), ids=RULES)


def drawn(seed: int) -> dict[str, Tensor]:
    """Return a float64 tensor for each of `SHAPES`."""
    stream = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, dtype=torch.float64, generator=stream) for name, shape in SHAPES.items()}


def rate(step: int) -> float:
    """Return a learning rate that changes at every step."""
    return 0.1 / (1 + step)


# What a run may have of its own, by its number.
OWN = {"weight_decay": 0.05, "momentum": 0.3}


def optimized(
    name: str, args: dict[str, Value], *, undecayed: tuple[str, ...] = (), steps: int = STEPS
) -> dict[str, Tensor]:
    """Return `drawn(0)` after some steps of ours, with the gradients ``drawn(1)``, ``drawn(2)``, ..."""
    params = drawn(0)
    ours = Optimizer([Component(name, args)], params, undecayed=undecayed)
    for step in range(steps):
        ours.step(drawn(1 + step), torch.tensor(rate(step), dtype=torch.float64))
    return params


def of_torch(name: str, args: dict[str, Any], *, undecayed: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Return what `optimized` should, by torch.optim."""
    params = drawn(0)
    groups: list[dict[str, Any]] = [
        {"params": [param], "weight_decay": 0.0 if key in undecayed else args["weight_decay"]}
        for key, param in params.items()
    ]
    optimizer: torch.optim.Optimizer
    if name == "sgd":
        optimizer = torch.optim.SGD(groups, lr=1.0, momentum=args["momentum"], nesterov=args["nesterov"])
    else:
        optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(args["beta1"], args["beta2"]), eps=args["eps"])
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        for key, grad in drawn(1 + step).items():
            params[key].grad = grad
        optimizer.step()
    return params


@each_rule
def test_a_rule_matches_torch(name: str, args: dict[str, Value]) -> None:
    """Twenty steps with a changing rate leave the weights where torch.optim leaves them."""
    torch.testing.assert_close(optimized(name, args), of_torch(name, args), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("name", "args"), [("sgd", SGD), ("adamw", ADAMW)], ids=["sgd", "adamw"])
def test_undecayed_parameters_are_left_alone(name: str, args: dict[str, Value]) -> None:
    """Weight decay passes the named parameters by, and only those."""
    args = {**args, "weight_decay": 0.3}
    ours = optimized(name, args, undecayed=("bias",))
    torch.testing.assert_close(ours, of_torch(name, args, undecayed=("bias",)), rtol=1e-12, atol=1e-14)
    decayed = optimized(name, args)
    assert not torch.equal(ours["bias"], decayed["bias"])
    assert torch.equal(ours["weight"], decayed["weight"])


def test_every_rule_is_compared_with_torch() -> None:
    """No rule of the registry is without its oracle."""
    assert {name for name, _ in RULES.values()} == set(REGISTRY)


@each_rule
def test_stacked_runs_take_the_steps_that_each_takes_alone(name: str, args: dict[str, Value]) -> None:
    """Rate, decay and momentum are each run's own, and each is clipped by its own norm."""
    specs = [
        Component(
            name, {**args, "clip_norm": 0.8, **{key: share * (run + 1) for key, share in OWN.items() if key in args}}
        )
        for run in range(3)
    ]
    rates = torch.tensor([0.3, 0.1, 0.01], dtype=torch.float64)
    starts = [drawn(100 + run) for run in range(3)]

    def walked(params: dict[str, Tensor], optimizer: Optimizer, lr: Tensor, runs: list[int]) -> dict[str, Tensor]:
        for step in range(5):
            grads = [drawn(10 * step + run) for run in runs]
            stacked = {key: torch.stack([grad[key] for grad in grads]) for key in SHAPES}
            optimizer.step(stacked if len(runs) > 1 else grads[0], lr)
        return params

    params = {key: torch.stack([start[key] for start in starts]) for key in SHAPES}
    together = walked(params, Optimizer(specs, params, stacked=True), rates, [0, 1, 2])
    for run in range(3):
        alone = walked(starts[run], Optimizer([specs[run]], starts[run]), rates[run], [run])
        torch.testing.assert_close({key: together[key][run] for key in SHAPES}, alone, rtol=1e-13, atol=1e-15)


@each_rule
def test_a_step_leaves_the_gradients_as_they_are(name: str, args: dict[str, Value]) -> None:
    """Whoever looks at the gradients after the step sees those of the loss, clipped or not."""
    grads = drawn(1)
    kept = {key: grad.clone() for key, grad in grads.items()}
    optimizer = Optimizer([Component(name, {**args, "clip_norm": 0.1})], drawn(0))
    optimizer.step(grads, torch.tensor(0.1))
    torch.testing.assert_close(grads, kept, rtol=0, atol=0)


@pytest.mark.parametrize("max_norm", [0.5, 100.0], ids=["clipped", "within"])
def test_clipping_matches_torch(max_norm: float) -> None:
    """Gradients are scaled as torch.nn.utils.clip_grad_norm_ scales them."""
    grads = drawn(1)
    params = drawn(0)
    for key, grad in drawn(1).items():
        params[key].grad = grad
    torch.nn.utils.clip_grad_norm_(params.values(), max_norm)
    clipped = dict(zip(grads, clip(list(grads.values()), max_norm), strict=True))
    torch.testing.assert_close(clipped, {key: param.grad for key, param in params.items()}, rtol=1e-14, atol=0)
    assert torch.equal(clipped["weight"], grads["weight"]) == (max_norm == 100.0)


def test_gradients_that_share_memory_are_clipped_once() -> None:
    """Autograd hands out one tensor for both terms of a sum; scaling it in place would scale it twice."""
    first, second = (torch.ones(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    grads = torch.autograd.grad(((first + second) ** 2).sum(), [first, second])
    assert grads[0].data_ptr() == grads[1].data_ptr()
    clipped = clip(grads, 1.0)
    assert float(torch.cat(clipped).norm()) == pytest.approx(1.0, rel=1e-6)


def test_the_optimizer_clips_before_it_steps() -> None:
    """A step of plain descent with `clip_norm` is as long as the rate times the norm allowed."""
    params, start = drawn(0), drawn(0)
    optimizer = Optimizer([Component("sgd", {**SGD, "clip_norm": 0.5})], params)
    optimizer.step(drawn(1), torch.tensor(0.1, dtype=torch.float64))
    moved = torch.cat([(params[key] - start[key]).flatten() for key in SHAPES])
    assert float(moved.norm()) == pytest.approx(0.05, rel=1e-5)


def test_an_unknown_optimizer_is_refused() -> None:
    """The message names the nearest known one."""
    with pytest.raises(ConfigError, match="unknown optimizer 'sdg'; did you mean 'sgd'"):
        check_optimizer(Component("sdg", {}))


def test_nesterov_without_momentum_is_refused() -> None:
    """Looking ahead along no velocity would do nothing, so it is an error."""
    with pytest.raises(ConfigError, match=r"needs optimizer\.momentum above 0"):
        Optimizer([Component("sgd", SGD | {"nesterov": True})], drawn(0))
