"""Inputs and outputs of each norm, for the histograms of a run's TensorBoard log; the run is not changed."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from normbench.norms.factory import norm_layers
from normbench.norms.statistics import own_batch


@torch.no_grad()
def around_norms(model: nn.Module, inputs: Sequence[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return input and output of each norm layer as in training (Ioffe & Szegedy 2015, fig. 1).

    Batch statistics are those of `inputs`; no buffer is changed and no random number drawn.

    Args:
        model: The model; its mode is restored.
        inputs: Inputs of the model, (B, ...) each: fixed examples.

    Returns:
        Input and output by the name of the layer, both on the CPU.
    """
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = [
        layer.register_forward_hook(
            lambda _, args, output, name=name: seen.update(
                {name: (args[0].detach().clone().cpu(), output.detach().clone().cpu())}
            ),
            # Before the hooks of a replacement norm, which move its channels and activate its output.
            prepend=True,
        )
        for name, layer in norm_layers(model).items()
    ]
    was_training = model.training
    try:
        with own_batch(model.eval(), None):
            model(*inputs)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return seen
