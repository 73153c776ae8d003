"""Runs the probes at each evaluation, for one run or several stacked, and keeps what they compare with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from normbench.data import Batch
from normbench.tasks import Task
from normbench.training.probing import REGISTRY, check_probes
from normbench.training.probing.view import Moment, Named, View

_COLUMN = "probe"


class Probes:
    """The probes of one run, or of R runs stacked along a first dimension of every tensor.

    Around each step that is followed by an evaluation, and only there:

        probes.before_step(params)          # keeps copies, if a probe wants them
        ...                                 # the step changes params and buffers
        rows = probes.look(params, buffers, lr)

    Arguments are not changed and no random number is drawn, so a run with probes is bit for bit the run without.

    Args:
        names: Keys of `REGISTRY`.
        model: The model, or for stacked runs any model of their structure; copied.
        params: Trainable parameters at the start of training, by name in the order of the model.
        task: The task.
        batch: The fixed samples, each field (B, ...), or (R, B, ...) if stacked.
        norm_batch_size: Samples per chunk of norm statistics in training. An incomplete last chunk is left out; if B is
            smaller, all B share statistics.
        stacked: Whether every tensor has the dimension R.
        together: Runs to measure at once; None takes all. Limits memory.

    Raises:
        ConfigError: If a name is unknown.
    """

    def __init__(
        self,
        names: Sequence[str],
        model: nn.Module,
        params: Named,
        *,
        task: Task,
        batch: Batch,
        norm_batch_size: int,
        stacked: bool = False,
        together: int | None = None,
    ) -> None:
        check_probes(names)
        samples = next(iter(batch.values())).shape[int(stacked)]
        chunk = norm_batch_size if norm_batch_size <= samples else None
        kept = samples - samples % (chunk or 1)
        self._batch = {name: field.narrow(int(stacked), 0, kept) for name, field in batch.items()}
        self._stacked, self._together = stacked, together
        self.view = View.of(model, task, self._pair(), norm_batch_size=chunk)
        self._probes = {name: REGISTRY[name] for name in names}
        self._reads = frozenset[str]().union(*(probe.reads for probe in self._probes.values()))
        self._earlier = _copied(params) if "earlier" in self._reads else None
        self._before: dict[str, Tensor] | None = None

    def before_step(self, params: Named) -> None:
        """Save the parameters before a step that `look` follows."""
        if self._reads & {"before", "grads"}:
            self._before = _copied(params)

    @torch.no_grad()
    def look(self, params: Named, buffers: Named, lr: Tensor | float) -> dict[str, list[float]]:
        """Return the scalars after a step that `before_step` preceded.

        Args:
            params: Trainable parameters after the step.
            buffers: Buffers, and the parameters that are not trained.
            lr: Learning rate of the step: a number, or (R,) if stacked.

        Returns:
            One number per run for each column, such as ``probe.gradients.slope``.
        """
        moment = self._moment(params, buffers, lr)
        columns = {
            f"{_COLUMN}.{name}.{key}": values.reshape(-1)
            for name, probe in self._probes.items()
            for key, values in self._apply(partial(probe.measure, self.view), moment).items()
        }
        if self._earlier is not None:
            self._earlier = _copied(params)
        self._before = None
        # Copied at once: on a GPU each single number would be a wait.
        rows: list[list[float]] = torch.stack(list(columns.values())).tolist() if columns else []
        return dict(zip(columns, rows, strict=True))

    def columns(self, params: Named, buffers: Named) -> dict[str, tuple[str, ...]]:
        """Return the names of the columns by probe; empty for a probe that measures nothing in this model."""
        state = {name: self._first(value.detach()) for name, value in params.items()}
        rest = {name: self._first(value) for name, value in buffers.items()}
        rate = next(iter(state.values())).new_zeros(())
        moment = Moment(state, state, state, rest, state, rate, self._pair())
        view = replace(self.view, norm_batch_size=None)
        with torch.no_grad():
            return {
                name: tuple(f"{_COLUMN}.{name}.{key}" for key in probe.columns(view, moment))
                for name, probe in self._probes.items()
            }

    def state(self) -> dict[str, Tensor]:
        """Return the state for a checkpoint: the parameters at the last `look`; not copied, empty if not needed."""
        return self._earlier or {}

    def restore(self, state: Named) -> None:
        """Restore what `state` returned."""
        if self._earlier is not None:
            self._earlier = _copied(state)

    def _moment(self, params: Named, buffers: Named, lr: Tensor | float) -> Moment:
        now = {name: param.detach() for name, param in params.items()}
        wants_step = bool(self._reads & {"before", "grads"})
        assert self._before is not None or not wants_step, "call before_step before the step"
        like = next(iter(now.values()))
        rate = torch.as_tensor(lr, dtype=like.dtype, device=like.device)
        moment = Moment(
            before=self._before or now,
            params=now,
            earlier=self._earlier or now,
            buffers={name: buffer.detach() for name, buffer in buffers.items()},
            grads={},
            lr=rate.expand(len(like)) if self._stacked else rate,
            batch=self._batch,
        )
        return moment._replace(grads=self._apply(self._gradients, moment)) if "grads" in self._reads else moment

    def _pair(self) -> dict[str, Tensor]:
        """Return two samples of one run."""
        return {name: self._first(field)[:2] for name, field in self._batch.items()}

    def _first(self, tensor: Tensor) -> Tensor:
        return tensor[0] if self._stacked else tensor

    def _gradients(self, moment: Moment) -> dict[str, Tensor]:
        return self.view.gradients(moment.before, moment.buffers, moment.batch)

    def _apply(self, function: Callable[[Moment], dict[str, Tensor]], moment: Moment) -> dict[str, Tensor]:
        if not self._stacked:
            return function(moment)
        found: dict[str, Tensor] = torch.vmap(_as_tree(function), chunk_size=self._together)(moment._asdict())
        return found


def _as_tree(function: Callable[[Moment], dict[str, Tensor]]) -> Callable[[Mapping[str, Any]], dict[str, Tensor]]:
    return lambda fields: function(Moment(**fields))


def _copied(params: Named) -> dict[str, Tensor]:
    return {name: param.detach().clone() for name, param in params.items()}
