"""Units that are zero for every sample."""

import torch
from torch import Tensor

from normbench.training.probing.view import Moment, View


def dead_units(view: View, moment: Moment) -> dict[str, Tensor]:
    """Return the share of units that are exactly zero for every sample at every position: dead units, for ReLU.

    A unit is an output channel of an activation. An activation that is called twice counts twice the units. One that is
    never exactly zero, such as a sigmoid, has no dead units by this measure.

    Args:
        view: The model.
        moment: Uses `params`, `buffers` and `batch`.

    Returns:
        ``share.<activation>`` and ``share``, over the units of all activations, each (); nothing for a model whose
        activations are not modules.
    """
    with view.watching(view.activations, lambda _, output: output.always_zero()) as seen:
        view.outputs(moment.params, moment.buffers, moment.batch)
    if not seen:
        return {}
    dead = {layer: torch.cat(calls).to(moment.lr.dtype) for layer, calls in seen.items()}
    shares = {f"share.{layer}": units.mean() for layer, units in dead.items()}
    return {**shares, "share": torch.cat(list(dead.values())).mean()}
