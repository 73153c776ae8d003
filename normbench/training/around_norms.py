"""Inputs and outputs of each norm, for the histograms of a run's TensorBoard log; the run is not changed."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from normbench.norms.sequence import SequenceNorm, norm_sites
from normbench.norms.statistics import own_batch


@torch.no_grad()
def around_norms(model: nn.Module, inputs: Sequence[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return input and output of each norm as in training (Ioffe & Szegedy 2015, fig. 1).

    Batch statistics are those of `inputs`; no buffer is changed and no random number drawn.

    Args:
        model: The model; its mode is restored.
        inputs: Inputs of the model, (B, ...) each: fixed examples.

    Returns:
        Input and output by the name of the layer, both on the CPU; of a `SequenceNorm` those of all steps together,
        (M, C), without padding.
    """
    sites = norm_sites(model)
    calls: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in sites}
    # Before the hooks of a replacement norm, which move its channels and activate its output.
    hooks = [layer.register_forward_hook(_keeping(calls[name]), prepend=True) for name, layer in sites.items()]
    was_training = model.training
    try:
        with own_batch(model.eval(), None):
            model(*inputs)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    seen = {}
    for name, own in calls.items():
        if own:
            befores, afters = zip(*(own if isinstance(sites[name], SequenceNorm) else own[-1:]), strict=True)
            seen[name] = torch.cat(befores), torch.cat(afters)
    return seen


def _keeping(calls: list[tuple[Tensor, Tensor]]) -> Callable[[nn.Module, Any, Tensor], None]:
    def keep(layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        pair = [tensor.detach().clone().cpu() for tensor in (args[0], output)]
        if isinstance(layer, SequenceNorm):
            valid = args[1] if len(args) > 1 else None
            rows = slice(None) if valid is None else valid.flatten().cpu()
            pair = [tensor.flatten(0, -2)[rows] for tensor in pair]
        calls.append((pair[0], pair[1]))

    return keep
