"""Tries before anything starts whether ranks may share the batches of a run."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from normbench.data import Examples
from normbench.errors import ConfigError
from normbench.norms import REGISTRY
from normbench.norms.statistics import own_batch
from normbench.spec import Component, Run
from normbench.training.setup import Setup, set_up

_CLOSE = 1e-3
"""Rounding, in shares of the largest output: samples that affect each other differ by much more."""


def try_ranks(run: Run, dataset: Examples, size: int) -> None:
    """Check that a run on so many ranks is the run in one process.

    Batches and ghost batches must divide evenly. Only normbench's norms exchange their statistics: no other layer may
    let samples affect each other, keep statistics of its own, or draw random numbers, which would be the same on all
    ranks.

    Args:
        run: The run.
        dataset: Its data set.
        size: The ranks; for 1 nothing is tried.

    Raises:
        ConfigError: If not.
    """
    if size == 1:
        return
    asked = f"engine.ranks={size}"
    if run.batch_size % size:
        raise ConfigError(f"{asked} does not divide batch_size={run.batch_size}.")
    rows, chunk = run.batch_size // size, run.norm_batch_size or run.batch_size
    if rows % chunk and chunk % rows:
        raise ConfigError(
            f"{asked}: a rank has {rows} of the {run.batch_size} samples of a batch, and norm_batch_size={chunk} is "
            "neither a divisor nor a multiple of that."
        )
    constant = Component("constant", {"warmup_steps": 0})
    setup = set_up(replace(run, epochs=None, steps=1, schedule=constant), dataset, torch.device("cpu"))
    if reason := _why_not(setup):
        raise ConfigError(f"{asked}: {reason}; use another norm or model, or engine.ranks=1.")


@torch.no_grad()
def _why_not(setup: Setup) -> str:
    """Return what a model does that ranks would change; empty if nothing."""
    model, name = setup.model, f"model={setup.run.model.name}"
    for module in model.modules():
        if getattr(module, "batch_statistics", False) and type(module) not in REGISTRY.values():
            return f"{type(module).__name__} has batch statistics that ranks do not exchange"
    buffers = {key: buffer.clone() for key, buffer in model.named_buffers()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        random = torch.get_rng_state()
        four = setup.parts.train[:4]
        # Normbench's norms take two samples at a time here, whatever they are called with.
        together, apart = _outputs(setup, four), torch.cat([_outputs(setup, two) for two in torch.split(four, 2)])
        if not torch.equal(torch.get_rng_state(), random):
            return f"{name} draws random numbers in its forward pass, the same ones on every rank"
    kept = (key for key, buffer in model.named_buffers() if not torch.equal(buffer, buffers[key]))
    if (key := next(kept, None)) is not None:
        return f"{_layer(model, key)} of {name} keeps statistics that ranks do not exchange"
    if not torch.allclose(together, apart, rtol=0, atol=_CLOSE * float(together.abs().amax().clamp(min=1))):
        return f"norm={setup.run.norm.name} or a layer of {name} lets samples affect each other, which ranks divide"
    return ""


def _outputs(setup: Setup, index: Tensor) -> Tensor:
    with own_batch(setup.model, 2):
        return setup.task.call(setup.model, setup.parts.batch(setup.dataset, index))


def _layer(model: nn.Module, key: str) -> str:
    return type(model.get_submodule(key.rpartition(".")[0])).__name__
