"""Checkpointing: everything that the steps of a run change, as plain data, so that an interrupted run can resume."""

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from normbench.training.outcome import Evaluation, Score
from normbench.training.probing.driver import Probes
from normbench.training.setup import Setup
from normbench.training.window import Window

Saved = dict[str, Any]
"""Dicts, lists, tensors, numbers and strings, as ``torch.load(..., weights_only=True)`` reads."""


class Checkpoint(Protocol):
    """Storage for the state of one run until it has ended."""

    def due(self, step: int) -> bool:
        """Return whether to save the state after step `step` (from 1)."""

    def load(self) -> Saved | None:
        """Return the last saved state, its tensors on the CPU; None if there is none."""

    def save(self, state: Saved) -> None:
        """Replace the saved state."""


@dataclass
class Progress:
    """The progress of a run.

    Attributes:
        window: Losses and outputs since the last evaluation.
        step: Optimizer steps taken.
        curve: The evaluations so far.
    """

    window: Window
    step: int = 0
    curve: list[Evaluation] = field(default_factory=list)


def resume(setup: Setup, checkpoint: Checkpoint | None, probes: Probes | None = None) -> Progress:
    """Restore a prepared run from its checkpoint; without one, it starts from the beginning."""
    state = setup.ranks.of_first(None if checkpoint is None else checkpoint.load())
    return Progress(Window(setup.task)) if state is None else restore(setup, state, probes)


def capture(setup: Setup, progress: Progress, probes: Probes | None = None) -> Saved:
    """Return everything that the steps of a run have changed.

    Attributes of a user's layer other than parameters and buffers are not included.

    Args:
        setup: The run.
        progress: Its progress.
        probes: Its probes, some of which compare with earlier weights.

    Returns:
        The state; its tensors are those of the run, not copies.
    """
    device = _device(setup)
    return {
        "step": progress.step,
        "model": _tensors(setup),
        "optimizer": setup.optimizer.state(),
        "scale": list(setup.scale),
        "window": progress.window.state(),
        "probes": probes.state() if probes else {},
        "curve": [asdict(point) for point in progress.curve],
        "masks": setup.masks.get_state(),
        "crops": setup.crops.get_state(),
        "global": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def restore(setup: Setup, state: Saved, probes: Probes | None = None) -> Progress:
    """Put a prepared run, and the global random generators, into the state that `capture` returned.

    Args:
        setup: The run at its start; changed in place.
        state: The state.
        probes: Its probes, changed in place.

    Returns:
        The progress of the run.
    """
    device, tensors = _device(setup), _tensors(setup)
    for name, value in state["model"].items():
        # Dropout masks do not exist before the first step, and are redrawn at each step.
        if name in tensors:
            tensors[name].copy_(value)
    setup.optimizer.restore(state["optimizer"])
    for mine, kept in zip(setup.scale, state["scale"], strict=True):
        mine.copy_(kept)
    if probes:
        probes.restore({name: tensor.to(device) for name, tensor in state["probes"].items()})
    setup.masks.set_state(state["masks"])
    setup.crops.set_state(state["crops"])
    torch.set_rng_state(state["global"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
    curve = [Evaluation(**{**at, "train": Score(**at["train"]), "val": Score(**at["val"])}) for at in state["curve"]]
    return Progress(Window.restored(setup.task, state["window"], device), state["step"], curve)


def _tensors(setup: Setup) -> dict[str, Tensor]:
    """Return every parameter and buffer of the model, sharing its memory."""
    named = (*setup.model.named_parameters(), *setup.model.named_buffers())
    return {name: tensor.detach() for name, tensor in named}


def _device(setup: Setup) -> torch.device:
    return next(iter(setup.params.values())).device
