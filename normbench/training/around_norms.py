"""What goes into and comes out of each norm, for the histograms of a run's TensorBoard log; it changes nothing."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from normbench.norms.factory import norm_layers
from normbench.norms.statistics import own_batch


@torch.no_grad()
def around_norms(model: nn.Module, inputs: Sequence[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return what goes into and comes out of each norm layer, as training would see it (Ioffe & Szegedy 2015, fig. 1).

    Batch statistics are those of `inputs`; no buffer is touched and nothing is drawn.

    Args:
        model: The model, left in the mode it was in.
        inputs: What the model is called with, (B, ...) each: fixed examples.

    Returns:
        Input and output by the name of the layer, both on the CPU.
    """
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = [
        layer.register_forward_hook(
            lambda _, args, output, name=name: seen.update(
                {name: (args[0].detach().clone().cpu(), output.detach().clone().cpu())}
            ),
            # Before the hooks of a norm in the place of another, which move its channels and activate its output.
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
