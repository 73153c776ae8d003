"""Update rules as in-place functions of one tensor: importing `torch.optim` takes seconds.

The learning rate is a tensor, so that the same rule works for one run and for stacked runs.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from normbench.errors import ConfigError, nearest
from normbench.spec import Component

Update = Callable[..., None]


def sgd(
    param: Tensor,
    grad: Tensor,
    state: Sequence[Tensor],
    *,
    lr: Tensor,
    decay: Tensor | None,
    momentum: Tensor,
    nesterov: bool,
) -> None:
    """Take one step of stochastic gradient descent with momentum.

    v <- momentum * v + g + decay * w;  w <- w - lr * v (Nesterov: w - lr * (g + decay * w + momentum * v)).

    Args:
        param: Weights w, changed in place.
        grad: Gradient g of the same shape; not changed.
        state: The velocity v, changed in place.
        lr: Learning rate; this and the following broadcast against `param`.
        decay: Weight decay, coupled: an L2 penalty; None for none.
        momentum: Decay factor of the velocity.
        nesterov: Whether to use Nesterov momentum (Sutskever et al. 2013).
    """
    (velocity,) = state
    if decay is not None:
        grad = torch.addcmul(grad, param, decay)
    velocity.mul_(momentum).add_(grad)
    step = torch.addcmul(grad, velocity, momentum) if nesterov else velocity
    param.addcmul_(step, lr, value=-1)


def adamw(
    param: Tensor,
    grad: Tensor,
    state: Sequence[Tensor],
    *,
    lr: Tensor,
    decay: Tensor | None,
    beta1: float,
    beta2: float,
    eps: float,
    bias1: Tensor,
    bias2: Tensor,
) -> None:
    """Take one step of AdamW (Loshchilov & Hutter 2019).

    w <- w - lr * decay * w - lr * m_hat / (sqrt(v_hat) + eps).

    Args:
        param: Weights w, changed in place.
        grad: Gradient of the same shape; not changed.
        state: First and second moment m and v, changed in place.
        lr: Learning rate, broadcasts against `param`.
        decay: Weight decay, decoupled, likewise; None for none.
        beta1: Decay factor of m.
        beta2: Decay factor of v.
        eps: Added to the root of v_hat.
        bias1: 1 - beta1 ** t at step t, from 1: m_hat = m / bias1.
        bias2: The root of 1 - beta2 ** t: sqrt(v_hat) = sqrt(v) / bias2.
    """
    first, second = state
    if decay is not None:
        param.mul_(1 - lr * decay)
    first.lerp_(grad, 1 - beta1)
    second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    root = second.sqrt().div_(bias2).add_(eps)
    param.addcmul_(first / root, lr / bias1, value=-1)


def _sgd_scalars(args: Mapping[str, Any], count: int) -> dict[str, float]:
    return {}


def _adamw_scalars(args: Mapping[str, Any], count: int) -> dict[str, float]:
    return {"bias1": 1 - args["beta1"] ** count, "bias2": math.sqrt(1 - args["beta2"] ** count)}


@dataclass(frozen=True)
class UpdateRule:
    """An update rule.

    Attributes:
        update: Changes one parameter and its state in place.
        states: Number of state tensors per parameter.
        varying: Arguments that may differ between runs trained together.
        scalars: Returns the scalars that change from step to step, from the arguments and the number of the step.
    """

    update: Update
    states: int
    varying: tuple[str, ...]
    scalars: Callable[[Mapping[str, Any], int], dict[str, float]]


REGISTRY: Mapping[str, UpdateRule] = {
    "sgd": UpdateRule(sgd, states=1, varying=("momentum",), scalars=_sgd_scalars),
    "adamw": UpdateRule(adamw, states=2, varying=(), scalars=_adamw_scalars),
}
VARYING = ("weight_decay", *dict.fromkeys(name for rule in REGISTRY.values() for name in rule.varying))
"""Arguments of optimizers that may differ between runs trained together; `lr` always may."""


def check_optimizer(spec: Component) -> None:
    """Check the name and arguments of a shipped optimizer; a user's optimizer is tried on the model instead.

    Raises:
        ConfigError: If not.
    """
    if spec.target is not None:
        return
    if spec.name not in REGISTRY:
        raise ConfigError(f"unknown optimizer {spec.name!r}{nearest(spec.name, REGISTRY)}")
    if spec.args.get("nesterov") and not spec.args.get("momentum"):
        raise ConfigError("optimizer.nesterov=true needs optimizer.momentum above 0.")


class Optimizer:
    """Applies one update rule to the parameters of one run, or of several runs stacked along a first dimension.

    The gradients are clipped first, separately for each run.

    Attributes:
        params: Parameters by name, changed in place; (R, ...) if stacked.
        states: State tensors of the rule for each parameter.
        varying: Arguments of the rule that may differ between runs: () each, or (R,) if stacked.
        update: The step as a function of tensors only (see `update_all`): the same for all runs of one structure.
    """

    def __init__(
        self,
        specs: Sequence[Component],
        params: Mapping[str, Tensor],
        *,
        undecayed: Collection[str] = (),
        stacked: bool = False,
    ) -> None:
        """Prepare the state.

        Args:
            specs: For each run the name in `REGISTRY` and the arguments; they differ at most in `VARYING`.
            params: Parameters by name, changed in place by `step`; (R, ...) if stacked.
            undecayed: Names of the parameters without weight decay.
            stacked: Whether the first dimension of every parameter indexes the runs.

        Raises:
            ConfigError: If the name is unknown or the arguments contradict each other.
        """
        for spec in specs:
            check_optimizer(spec)
        first, self._rule = specs[0], REGISTRY[specs[0].name]
        own = first.args.keys() - {"weight_decay", "decay_norm", "clip_norm", *self._rule.varying}
        self._args = {key: first.args[key] for key in own}
        self._like = next(iter(params.values()))
        names = [*self._rule.varying, *(["weight_decay"] if any(s.number("weight_decay") for s in specs) else [])]
        self.varying = {
            name: self._like.new_tensor([spec.number(name) for spec in specs] if stacked else first.number(name))
            for name in names
        }
        self.params = dict(params)
        self.states = {
            name: tuple(torch.zeros_like(param, requires_grad=False) for _ in range(self._rule.states))
            for name, param in params.items()
        }
        self.update = partial(
            update_all,
            self._rule.update,
            args=self._args,
            undecayed=frozenset(undecayed),
            max_norm=None if first.args.get("clip_norm") is None else first.number("clip_norm"),
            stacked=stacked,
        )
        self._count = 0

    def rates(self, values: Sequence[float]) -> Tensor:
        """Return learning rates as `step` takes them: with dtype and device of the parameters."""
        return self._like.new_tensor(values)

    def state(self) -> dict[str, Any]:
        """Return what the steps have changed apart from the parameters: plain data, tensors not copied."""
        return {"count": self._count, "states": {name: list(own) for name, own in self.states.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._count = state["count"]
        for name, own in state["states"].items():
            for mine, kept in zip(self.states[name], own, strict=True):
                mine.copy_(kept)

    def scalars(self) -> dict[str, Tensor]:
        """Return the scalars that the next step needs in addition to the rate, and count the step."""
        self._count += 1
        values = self._rule.scalars(self._args, self._count)
        return {name: self._like.new_tensor(value) for name, value in values.items()}

    @torch.no_grad()
    def step(self, grads: Mapping[str, Tensor], lr: Tensor) -> None:
        """Change the parameters by one step.

        Args:
            grads: A gradient for each parameter; not changed.
            lr: Learning rate of this step: () for one run, (R,) for stacked runs.
        """
        self.update(self.params, self.states, grads, lr, self.varying, self.scalars())


def update_all(
    update: Update,
    params: Mapping[str, Tensor],
    states: Mapping[str, Sequence[Tensor]],
    grads: Mapping[str, Tensor],
    lr: Tensor,
    varying: Mapping[str, Tensor],
    scalars: Mapping[str, Tensor],
    *,
    args: Mapping[str, Any],
    undecayed: Collection[str],
    max_norm: float | None,
    stacked: bool,
) -> None:
    """Apply an update rule to every parameter, in place; a function of tensors only, so that it can be compiled."""
    if max_norm is not None:
        grads = dict(zip(grads, clip(list(grads.values()), max_norm, stacked=stacked), strict=True))
    for name, param in params.items():
        shaped = {key: beside(value, param) for key, value in varying.items()}
        decay = shaped.pop("weight_decay", None)
        update(
            param,
            grads[name],
            states[name],
            lr=beside(lr, param),
            decay=None if name in undecayed else decay,
            **shaped,
            **args,
            **{key: beside(value, param) for key, value in scalars.items()},
        )


def beside(values: Tensor, param: Tensor) -> Tensor:
    """Return one value per run, (R,), shaped to broadcast against stacked (R, ...); a single value as it is."""
    return values.view(-1, *[1] * (param.dim() - 1)) if values.dim() else values


def clip(grads: Sequence[Tensor], max_norm: float, *, stacked: bool = False) -> list[Tensor]:
    """Return gradients scaled so that their global norm is at most `max_norm` (Pascanu et al. 2013).

    Not in place: gradients from autograd may share memory, and would then be scaled twice.

    Args:
        grads: The gradients of a run, or (R, ...) of stacked runs.
        max_norm: Largest norm.
        stacked: Whether to scale each run by its own norm.
    """
    squares = [(grad.reshape(len(grad), -1) if stacked else grad.reshape(-1)).square().sum(dim=-1) for grad in grads]
    # Added one by one: inductor of torch 2.15 fails on a stack of them (KeyError: 'buf54').
    norm = torch.sqrt(sum(squares[1:], start=squares[0]))
    scale = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    return [grad * beside(scale, grad) for grad in grads]
