"""Update rules as pure functions of one tensor, in place: `torch.optim` itself costs seconds to start.

The rate comes as a tensor, so that the same rule serves one run and many runs stacked.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from normbench.errors import ConfigError, nearest
from normbench.spec import Component

Update = Callable[..., None]


def sgd(
    param: Tensor, grad: Tensor, state: Sequence[Tensor], *, lr: Tensor, decay: float, momentum: float, nesterov: bool
) -> None:
    """Take one step of stochastic gradient descent with momentum.

    v <- momentum * v + g + decay * w;  w <- w - lr * v (Nesterov: w - lr * (g + decay * w + momentum * v)).

    Args:
        param: Weights w, changed in place.
        grad: Gradient g of the same shape; left as it is.
        state: The velocity v, changed in place.
        lr: Learning rate, a tensor that broadcasts against `param`.
        decay: Weight decay, coupled: an L2 penalty.
        momentum: Share of the velocity that is kept.
        nesterov: Whether to look ahead (Sutskever et al. 2013).
    """
    (velocity,) = state
    if decay:
        grad = grad.add(param, alpha=decay)
    velocity.mul_(momentum).add_(grad)
    step = grad.add(velocity, alpha=momentum) if nesterov else velocity
    param.addcmul_(step, lr, value=-1)


def adamw(
    param: Tensor,
    grad: Tensor,
    state: Sequence[Tensor],
    *,
    lr: Tensor,
    decay: float,
    beta1: float,
    beta2: float,
    eps: float,
    count: int,
) -> None:
    """Take one step of AdamW (Loshchilov & Hutter 2019).

    w <- w - lr * decay * w - lr * m_hat / (sqrt(v_hat) + eps).

    Args:
        param: Weights w, changed in place.
        grad: Gradient of the same shape; left as it is.
        state: First and second moment m and v, changed in place.
        lr: Learning rate, a tensor that broadcasts against `param`.
        decay: Weight decay, decoupled.
        beta1: Share of m that is kept.
        beta2: Share of v that is kept.
        eps: Added to the root of v_hat.
        count: Number of this step, from 1: corrects the bias of m and v.
    """
    first, second = state
    if decay:
        param.addcmul_(param, lr, value=-decay)
    first.lerp_(grad, 1 - beta1)
    second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    root = second.sqrt().div_(math.sqrt(1 - beta2**count)).add_(eps)
    param.addcmul_(first / root, lr, value=-1 / (1 - beta1**count))


@dataclass(frozen=True)
class Rule:
    """An update rule and the number of state tensors that it keeps for a parameter."""

    update: Update
    states: int
    counts: bool = False


REGISTRY: Mapping[str, Rule] = {"sgd": Rule(sgd, states=1), "adamw": Rule(adamw, states=2, counts=True)}


def check_optimizer(spec: Component) -> None:
    """See that an optimizer's name and arguments make sense.

    Raises:
        ConfigError: If not.
    """
    if spec.name not in REGISTRY:
        raise ConfigError(f"unknown optimizer {spec.name!r}{nearest(spec.name, REGISTRY)}")
    if spec.args.get("nesterov") and not spec.args.get("momentum"):
        raise ConfigError("optimizer.nesterov=true needs optimizer.momentum above 0.")


class Optimizer:
    """Applies one update rule to the parameters of one run, the gradients clipped before."""

    def __init__(self, spec: Component, params: Mapping[str, Tensor], *, undecayed: Collection[str] = ()) -> None:
        """Prepare the state.

        Args:
            spec: Name in `REGISTRY` and arguments of the rule, with `weight_decay` and `clip_norm`.
            params: Parameters by name, changed in place by `step`.
            undecayed: Names of the parameters that weight decay leaves alone.

        Raises:
            ConfigError: If the name is unknown or the arguments contradict each other.
        """
        check_optimizer(spec)
        self._rule = REGISTRY[spec.name]
        self._args = {key: spec.args[key] for key in spec.args.keys() - {"weight_decay", "decay_norm", "clip_norm"}}
        self._clip = None if spec.args.get("clip_norm") is None else spec.number("clip_norm")
        decay = spec.number("weight_decay")
        self._slots = [
            (
                param,
                tuple(torch.zeros_like(param, requires_grad=False) for _ in range(self._rule.states)),
                0.0 if name in undecayed else decay,
            )
            for name, param in params.items()
        ]
        self._count = 0

    @torch.no_grad()
    def step(self, grads: Sequence[Tensor], lr: Tensor) -> None:
        """Change the parameters by one step.

        Args:
            grads: A gradient for each parameter; left as they are.
            lr: Learning rate of this step, a tensor without dimensions.
        """
        self._count += 1
        if self._clip is not None:
            grads = clip(grads, self._clip)
        args = {**self._args, "count": self._count} if self._rule.counts else self._args
        for (param, state, decay), grad in zip(self._slots, grads, strict=True):
            self._rule.update(param, grad, state, lr=lr, decay=decay, **args)


def clip(grads: Sequence[Tensor], max_norm: float) -> list[Tensor]:
    """Return gradients scaled so that their global norm is at most `max_norm` (Pascanu et al. 2013).

    Not in place: the gradients that autograd hands out may share memory, and would then be scaled twice.
    """
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(grad) for grad in grads]))
    scale = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    return [grad * scale for grad in grads]
