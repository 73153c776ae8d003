"""Mixed precision in bfloat16 or float16: autocast, with norms in float32, and a loss scale for float16.

Weights, their gradients, the optimizer state, the norms' state, logits and losses stay in float32. A run in float32
uses no autocast context.
"""

from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.func import grad
from torch.utils import _pytree as pytree

from normbench.norms.factory import norm_layers
from normbench.norms.none import NoNorm
from normbench.ranks import ALONE, Ranks
from normbench.training.optimizers import beside

_FIRST_SCALE = 2.0**16
_GROWTH_INTERVAL = 2000
"""Consecutive steps with finite gradients after which the scale doubles: both as in `torch.amp.GradScaler`."""

_SMALLEST_SCALE = 2.0**-13
"""Below it, gradients are not finite because the run diverges: no scale helps."""


def in_precision(model: nn.Module, precision: str) -> nn.Module:
    """Let a model compute in a precision, and return it; its parameters and buffers are unchanged.

    In a lower precision, linear and convolutional layers cast their inputs and weights. Each layer made by a
    `NormFactory` computes in float32, including its statistics, and returns the dtype of its input. The model's output
    is float32.

    Args:
        model: The model; its methods are replaced, so that copies of it and stacked calls compute the same.
        precision: `float32`, which changes nothing, `bfloat16` or `float16`.
    """
    if precision == "float32":
        return model
    for layer in norm_layers(model).values():
        if not isinstance(layer, NoNorm):
            vars(layer)["forward"] = MethodType(_norm_in_float32, layer)
    vars(model)["forward"] = MethodType(_MODELS[precision], model)
    return model


def in_float32(model: nn.Module) -> nn.Module:
    """Undo `in_precision`, and return the model."""
    ours = (_norm_in_float32, *_MODELS.values())
    for module in model.modules():
        if getattr(vars(module).get("forward"), "__func__", None) in ours:
            del vars(module)["forward"]
    return model


def _norm_in_float32(norm: nn.Module, x: Tensor) -> Tensor:
    # Without this context, the product with the running statistics would be rounded.
    with torch.autocast(x.device.type, enabled=False):
        output: Tensor = type(norm).forward(norm, x.float())
        return output.to(x.dtype)


def _autocast(dtype: torch.dtype) -> Callable[..., Any]:
    def forward(model: nn.Module, *args: Any, **kwargs: Any) -> Any:
        device = next(leaf.device.type for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        # A cached cast of a weight would become stale when the step changes the weight.
        with torch.autocast(device, dtype, cache_enabled=False):
            output = type(model).forward(model, *args, **kwargs)
        return pytree.tree_map_only(Tensor, lambda leaf: leaf.float() if leaf.is_floating_point() else leaf, output)

    return forward


_MODELS: Mapping[str, Callable[..., Any]] = {
    "bfloat16": _autocast(torch.bfloat16),
    "float16": _autocast(torch.float16),
}


class LossScale(NamedTuple):
    """Loss scale against underflow in the gradients of float16 layers, as `torch.amp.GradScaler`.

    A step whose gradients are not finite is skipped, and halves the scale; 2,000 steps without one double it. Tensors
    changed in place: () for one run, (R,) for stacked runs.

    Attributes:
        factor: Multiplies the loss.
        clean: Steps with finite gradients since the factor last changed.
        skipped: Steps skipped so far.
    """

    factor: Tensor
    clean: Tensor
    skipped: Tensor

    @classmethod
    def of(cls, precision: str, *runs: int, device: torch.device) -> Self | tuple[()]:
        """Return the scale of one run or of stacked runs; an empty tuple for a precision that needs none."""
        if precision != "float16":
            return ()
        count = torch.zeros(runs, dtype=torch.int64, device=device)
        return cls(torch.full(runs, _FIRST_SCALE, device=device), count, count.clone())

    def unscaled(self, grads: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Return the gradients of the loss itself, and for each run whether all of them are finite."""
        finite = torch.ones_like(self.clean, dtype=torch.bool)
        for one in grads.values():
            finite = finite & torch.isfinite(one).reshape(*finite.shape, -1).all(dim=-1)
        return {name: one * beside(1 / self.factor, one) for name, one in grads.items()}, finite

    def adapt(self, finite: Tensor) -> Tensor:
        """Update the scale after a step; return for each run whether the loss still counts as finite."""
        self.clean.copy_(torch.where(finite, self.clean + 1, 0))
        grows = self.clean >= _GROWTH_INTERVAL
        self.factor.mul_(torch.where(finite, torch.where(grows, 2.0, 1.0), 0.5))
        self.clean.copy_(torch.where(grows, 0, self.clean))
        self.skipped.add_((~finite).to(torch.int64))
        return self.factor >= _SMALLEST_SCALE


class Backward(NamedTuple):
    """The result of a step's backward pass.

    Attributes:
        loss: The loss; not finite if the run has diverged.
        grads: Its gradients by name.
        counts: Whether to take the step.
    """

    loss: Tensor
    grads: dict[str, Tensor]
    counts: bool


def backward(
    loss: Tensor, params: Mapping[str, Tensor], scale: LossScale | tuple[()], ranks: Ranks = ALONE
) -> Backward:
    """Return the gradients of the loss of one run, summed over its ranks, and update its scale."""
    scaled = loss * scale.factor if scale else loss
    found = ranks.summed(torch.autograd.grad(scaled, list(params.values()), materialize_grads=True))
    grads = dict(zip(params, found, strict=True))
    if not scale:
        return Backward(loss, grads, counts=True)
    grads, finite = scale.unscaled(grads)
    sound = scale.adapt(finite)
    return Backward(torch.where(sound, loss, torch.nan), grads, counts=bool(finite))


def scaled_step(
    loss_of: Callable[..., tuple[Tensor, Tensor]], update: Callable[..., None]
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the step of R runs in float16, a function of tensors only: losses (R,) and logits (R, B, K).

    Args:
        loss_of: Maps the parameters of one run, and its other arguments, to its loss and logits.
        update: Changes the parameters and optimizer state of all runs.
    """

    def scaled(params: dict[str, Tensor], factor: Tensor, *rest: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        loss, logits = loss_of(params, *rest)
        return loss * factor, (loss, logits)

    gradients = torch.vmap(grad(scaled, has_aux=True))

    def take(
        scale: LossScale, params: dict[str, Tensor], states: Mapping[str, tuple[Tensor, ...]], inputs: Any, rates: Any
    ) -> tuple[Tensor, Tensor]:
        grads, (losses, logits) = gradients(params, scale.factor, *inputs)
        grads, finite = scale.unscaled(grads)
        changed = pytree.tree_leaves((params, states))
        before = [tensor.clone() for tensor in changed]
        update(params, states, grads, *rates)
        for tensor, old in zip(changed, before, strict=True):
            tensor.copy_(torch.where(beside(finite, tensor), tensor, old))
        return torch.where(scale.adapt(finite), losses, torch.nan), logits

    return take


class OwnCounts:
    """Scalars of an optimizer that change from step to step, for runs that each skip different steps.

    Args:
        scalars: Returns those of the next step if no step was skipped.
        skipped: Number of steps that each run has skipped, (R,); changed by the steps.
        steps: Maximum number of steps.
    """

    def __init__(self, scalars: Callable[[], dict[str, Tensor]], skipped: Tensor, steps: int) -> None:
        self._scalars, self._skipped, self._steps = scalars, skipped, steps
        self._taken = 0
        self._past: dict[str, Tensor] = {}

    def __call__(self) -> dict[str, Tensor]:
        """Return those of the next step, (R,)."""
        for name, value in self._scalars().items():
            self._past.setdefault(name, value.new_zeros(self._steps))[self._taken] = value
        place = self._taken - self._skipped
        self._taken += 1
        return {name: past[place] for name, past in self._past.items()}
