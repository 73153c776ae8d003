"""Which units are off for every sample."""

import torch
from torch import Tensor

from normbench.training.probing.view import Moment, View, by_unit


def dead_units(view: View, moment: Moment) -> dict[str, Tensor]:
    """Return the share of units that are exactly zero for every sample, at every position: dead, if they are ReLUs.

    A unit is a channel of what an activation puts out. An activation that is called twice has twice the units. One
    that is never exactly zero, such as a sigmoid, has no dead units by this measure.

    Args:
        view: The model.
        moment: Of which `params`, `buffers` and `batch` are read.

    Returns:
        ``share.<activation>`` and, over the units of all of them, ``share``, each (); nothing for a model whose
        activations are not modules.
    """
    with view.watching(view.activations, lambda _, output: (by_unit(output) == 0).all(dim=1)) as seen:
        view.outputs(moment.params, moment.buffers, moment.batch)
    if not seen:
        return {}
    dead = {layer: torch.cat(calls).to(moment.lr.dtype) for layer, calls in seen.items()}
    shares = {f"share.{layer}": units.mean() for layer, units in dead.items()}
    return {**shares, "share": torch.cat(list(dead.values())).mean()}
