"""How large the gradient of each hidden state of a recurrent model is, and how that changes with time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from normbench.models.sequences.cells import RecurrentCell
from normbench.training.probing.gradients import slope
from normbench.training.probing.view import Moment, Named, View, length

MOST_STEPS = 8
"""Steps whose norms have columns, evenly spaced."""


def gradients_time(view: View, moment: Moment) -> dict[str, Tensor]:
    """Return the gradient norm of each layer's hidden state h_t over time (Pascanu et al. 2013, Cooijmans et al. 2016).

    With g_t the norm of dL/dh_t over the n_t samples that have step t, times the root of B / n_t, the slope is that of
    the least-squares line through (t, ln g_t) over the steps that some sample has. Above 0, gradients vanish towards
    the first step: ln 2 halves them with each step back. Steps are counted in the order in which the layer reads them.
    The cell state of an LSTM is no part of h.

    Args:
        view: The model.
        moment: Uses `params`, `buffers` and `batch`.

    Returns:
        ``norm.<layer>.t<step>`` for up to `MOST_STEPS` steps, NaN at one that no sample has; ``first.<layer>``, the
        norm at t = 0, ``last.<layer>``, that over each sample's own last step, and ``slope.<layer>``; ``slope``, the
        mean over layers; each (). A slope is NaN if a gradient is zero. Nothing for a model without recurrent layers.
    """
    cells = {name: cell for name, cell in view.skeleton.named_modules() if isinstance(cell, RecurrentCell)}
    if not cells:
        return {}
    states, masks = _states(view, cells, moment)

    def loss(nudges: Named) -> Tensor:
        with _nudged(cells, nudges):
            return view.loss(moment.params, moment.buffers, moment.batch)

    grads: dict[str, Tensor] = torch.func.grad(loss)({name: torch.zeros_like(h) for name, h in states.items()})
    scalars: dict[str, Tensor] = {}
    slopes = []
    for name, grad in grads.items():
        valid = masks[name]
        norms: Tensor = torch.vmap(length, in_dims=1)(grad)
        reached = None if valid is None else valid.any(0)
        if valid is not None:
            norms = norms * (len(grad) / valid.sum(0)).sqrt().to(norms.dtype)
            norms = torch.where(valid.any(0), norms, torch.nan)
        # Of equal width, so that tables and TensorBoard sort them by time.
        width = len(str(len(norms) - 1))
        scalars |= {f"norm.{name}.t{step:0{width}}": norms[step] for step in shown_steps(len(norms))}
        scalars[f"first.{name}"] = norms[0]
        scalars[f"last.{name}"] = norms[-1] if valid is None else length(_last(grad, valid))
        slopes.append(slope(norms.log(), reached))
        scalars[f"slope.{name}"] = slopes[-1]
    return {**scalars, "slope": torch.stack(slopes).mean()}


def shown_steps(steps: int) -> tuple[int, ...]:
    """Return up to `MOST_STEPS` of so many steps, evenly spaced, with the first and the last."""
    most = min(steps, MOST_STEPS)
    return tuple(round(place * (steps - 1) / max(1, most - 1)) for place in range(most))


def _states(
    view: View, cells: Mapping[str, RecurrentCell], moment: Moment
) -> tuple[dict[str, Tensor], dict[str, Tensor | None]]:
    """Return the hidden states (B, L, H) of each layer that the model calls, and which are valid, (B, L)."""
    states: dict[str, Tensor] = {}
    masks: dict[str, Tensor | None] = {}

    def keep(name: str) -> Any:
        def called(_: RecurrentCell, args: tuple[Any, ...], output: Tensor) -> None:
            states[name] = output
            masks[name] = args[1] if len(args) > 1 else None

        return called

    hooks = [cell.register_forward_hook(keep(name)) for name, cell in cells.items()]
    try:
        view.outputs(moment.params, moment.buffers, moment.batch)
    finally:
        for hook in hooks:
            hook.remove()
    return states, masks


@contextmanager
def _nudged(cells: Mapping[str, RecurrentCell], nudges: Named) -> Iterator[None]:
    """Add a tensor (B, L, H) to the hidden states of each layer, wherever they go from there."""

    def nudged(cell: RecurrentCell, rows: tuple[Tensor, ...]) -> Any:
        plain = cell.step

        def step(now: Tensor, state: tuple[Tensor, ...], place: int, valid: Tensor | None) -> tuple[Tensor, ...]:
            h, *rest = plain(now, state, place, valid)
            return (h + rows[place], *rest)

        return step

    for name, nudge in nudges.items():
        vars(cells[name])["step"] = nudged(cells[name], nudge.unbind(1))
    try:
        yield
    finally:
        for name in nudges:
            del vars(cells[name])["step"]


def _last(grad: Tensor, valid: Tensor) -> Tensor:
    """Return a gradient (B, L, H) with zeros but at the last valid step of each sample."""
    later = torch.cat((valid[:, 1:], torch.zeros_like(valid[:, :1])), dim=1)
    return grad * (valid & ~later).unsqueeze(2)
