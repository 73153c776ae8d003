"""Units in front of layers and behind them during a forward pass, with steps and padding of sequences understood."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from normbench.models.sequences.steps import valid_steps
from normbench.norms.sequence import SequenceNorm
from normbench.norms.statistics import BatchStatistics
from normbench.training.probing.units import Units

Summary = Callable[[Units, Units], Tensor]


@contextmanager
def watch(model: nn.Module, layers: Mapping[str, int], summary: Summary) -> Iterator[dict[str, list[Tensor]]]:
    """Summarise the units in front of some layers and behind them during the forward passes inside the context.

    Norms of sequences are told which steps are no padding. Another layer is by the nearest module around it whose
    ``forward`` has an argument ``valid``, (N, L) bool, or ``lengths``, (N,), beside the sequences (N, L, ...). Inside
    such a module, a layer that is called L times on features (N, C) is called step by step: its calls count as one.

    Summaries are computed as soon as they can be: with many stacked runs, the values of all layers may not fit in
    memory.

    Args:
        model: The model.
        layers: Names of layers, in calling order, and the dimension of their channels.
        summary: Maps the units in front of a layer and behind it to their summary.

    Yields:
        For each layer one summary per call, filled during the passes.
    """
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}
    hooks = []
    for name, channels in layers.items():
        layer, around = model.get_submodule(name), _around(model, name)
        watched = _Watched(layer, channels, summary, seen[name])
        # Before the hooks of a replacement norm, which move its channels and activate its output.
        hooks.append(layer.register_forward_hook(watched.called, prepend=True, with_kwargs=True))
        hooks.append(around.register_forward_pre_hook(watched.begins, with_kwargs=True))
        hooks.append(around.register_forward_hook(watched.ends))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@dataclass
class _Watched:
    """A layer during a pass.

    Attributes:
        layer: The layer.
        channels: The dimension of its channels.
        summary: As in `watch`.
        seen: The summaries.
        steps: L, inside a module of sequences.
        valid: (N, L); None if all steps are valid.
        held: Input, output and mask of calls step by step.
    """

    layer: nn.Module
    channels: int
    summary: Summary
    seen: list[Tensor]
    steps: int | None = None
    valid: Tensor | None = None
    held: list[tuple[Tensor, Tensor, Tensor | None]] = field(default_factory=list)

    def begins(self, around: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.steps, self.valid = _steps(around, args, kwargs)

    def called(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        x: Tensor = args[0]
        if isinstance(layer, SequenceNorm | BatchStatistics):
            told = _arguments(layer, args, kwargs)
            if told.get("step") is None:
                self._add(x, output, told.get("valid"), self.channels)
            else:
                self.held.append((x, output, told.get("valid")))
        elif self.steps is not None and x.ndim == 2:
            place = len(self.held)
            here = None if self.valid is None or place >= self.steps else self.valid[:, place]
            self.held.append((x, output, here))
        else:
            self._add(x, output, self.valid, self.channels)

    def ends(self, *_: object) -> None:
        if isinstance(self.layer, SequenceNorm) or len(self.held) == self.steps:
            if self.held:
                before, after, masks = zip(*self.held, strict=True)
                given = [mask for mask in masks if mask is not None]
                self._add(torch.stack(before, 1), torch.stack(after, 1), torch.stack(given, 1) if given else None, -1)
        else:
            for x, output, _mask in self.held:
                self._add(x, output, None, self.channels)
        self.held.clear()

    def _add(self, x: Tensor, output: Tensor, valid: Tensor | None, channels: int) -> None:
        self.seen.append(self.summary(_units(x, channels, valid), _units(output, channels, valid)))


def _units(x: Tensor, channels: int, valid: Tensor | None) -> Units:
    """Return the units of x; a mask of other positions than those of x is none of it."""
    positions = list(x.shape)
    del positions[channels]
    return Units.of(x, channels=channels, valid=valid if valid is not None and list(valid.shape) == positions else None)


def _around(model: nn.Module, name: str) -> nn.Module:
    """Return the nearest module around a layer that knows steps of sequences, or the model."""
    parts = name.split(".")[:-1]
    above = [model.get_submodule(".".join(parts[:end])) for end in range(len(parts), -1, -1)]
    return next((module for module in above if not _KNOW_STEPS.isdisjoint(_parameters(module))), model)


_KNOW_STEPS = frozenset({"valid", "lengths"})


def _parameters(module: nn.Module) -> Sequence[str]:
    return tuple(inspect.signature(module.forward).parameters)


def _arguments(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    return inspect.signature(module.forward).bind(*args, **kwargs).arguments


def _steps(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int | None, Tensor | None]:
    """Return the steps of the sequences that a module is called with, and which are valid."""
    if _KNOW_STEPS.isdisjoint(_parameters(module)):
        return None, None
    sequence, told = args[0], _arguments(module, args, kwargs)
    steps: int = sequence.shape[1]
    valid, lengths = told.get("valid"), told.get("lengths")
    if valid is None:
        valid = valid_steps(sequence, lengths)
    return steps, valid
