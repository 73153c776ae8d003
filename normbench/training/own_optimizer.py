"""Adapter for a user's `torch.optim.Optimizer`, with the interface of the shipped ones: for runs that train alone."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from normbench.errors import ConfigError, described
from normbench.spec import Component, Run
from normbench.training.components import resolve_target
from normbench.training.optimizers import Optimizer, clip

_OURS = ("decay_norm", "clip_norm")
"""Keys that are not arguments of the user's class or function."""


class OwnOptimizer:
    """Passes gradients (clipped if the run asks for it) and the scheduled rate to an optimizer of torch."""

    def __init__(
        self, spec: Component, params: Mapping[str, Tensor], *, lr: float, undecayed: Collection[str] = ()
    ) -> None:
        """Call the user's class or function as ``target(groups, lr=lr, **arguments)``.

        Args:
            spec: Its dotted path and arguments.
            params: Parameters by name, changed in place by `step`.
            lr: Peak learning rate.
            undecayed: Names of the parameters without weight decay: they form a separate group.

        Raises:
            ConfigError: If it cannot be found, rejects its arguments or does not return an optimizer.
        """
        self._params = dict(params)
        self._max_norm = None if spec.args.get("clip_norm") is None else spec.number("clip_norm")
        decayed = [param for name, param in params.items() if name not in undecayed]
        others = [param for name, param in params.items() if name in undecayed]
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        self._optimizer = _made(spec, [group for group in groups if group["params"]], lr)
        # The user's function may give a group a fraction of the rate.
        self._shares = [group["lr"] / lr for group in self._optimizer.param_groups]

    def rates(self, values: Sequence[float]) -> Tensor:
        """Return learning rates as `step` takes them: in float64, as torch's schedules do."""
        return torch.tensor(values, dtype=torch.float64)

    def state(self) -> dict[str, Any]:
        """Return what the steps have changed apart from the parameters, tensors not copied."""
        state: dict[str, Any] = self._optimizer.state_dict()
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._optimizer.load_state_dict(dict(state))

    def step(self, grads: Mapping[str, Tensor], lr: Tensor) -> None:
        """Change the parameters by one step.

        Args:
            grads: A gradient for each parameter; not changed.
            lr: Learning rate of this step, ().
        """
        own = list(grads.values())
        own = [grad.clone() for grad in own] if self._max_norm is None else clip(own, self._max_norm)
        for param, grad in zip(self._params.values(), own, strict=True):
            param.grad = grad
        for group, share in zip(self._optimizer.param_groups, self._shares, strict=True):
            group["lr"] = share * float(lr)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)


def optimizer_of(run: Run, params: Mapping[str, Tensor], undecayed: Collection[str]) -> Optimizer | OwnOptimizer:
    """Return the optimizer of a run: a shipped one or the user's.

    Args:
        run: The run.
        params: Its parameters by name, changed in place.
        undecayed: Names of the parameters without weight decay.

    Raises:
        ConfigError: If the name is unknown or an argument wrong.
    """
    if run.optimizer.target is None:
        return Optimizer([run.optimizer], params, undecayed=undecayed)
    return OwnOptimizer(run.optimizer, params, lr=run.lr, undecayed=undecayed)


def _made(spec: Component, groups: Sequence[Mapping[str, Any]], lr: float) -> torch.optim.Optimizer:
    assert spec.target is not None
    args = {key: value for key, value in spec.args.items() if key not in _OURS}
    if "lr" in args:
        raise ConfigError("optimizer.lr: set the learning rate as lr, at the top level of the config.")
    make = resolve_target(spec.target, "optimizer")
    try:
        made = make(groups, lr=lr, **args)
    except Exception as error:
        raise ConfigError(f"optimizer._target_={spec.target}: {described(error)}") from error
    if not isinstance(made, torch.optim.Optimizer):
        found = type(made).__name__
        raise ConfigError(f"optimizer._target_={spec.target}: got {found}, expected a torch.optim.Optimizer.")
    if not all("lr" in group for group in made.param_groups):
        raise ConfigError(f"optimizer._target_={spec.target}: its param_groups have no 'lr' for the schedule to set.")
    if spec.args.get("decay_norm") is False and "weight_decay" not in made.defaults:
        raise ConfigError(f"optimizer.decay_norm=false: {spec.target} has no weight_decay.")
    return made
