"""How values are distributed before and after each norm."""

import torch
from torch import Tensor

from normbench.training.probing.units import Units
from normbench.training.probing.view import Moment, View

_PERCENTILES = (15, 50, 85)
_STATISTICS = ("mean", "deviation", *(f"p{percentile}" for percentile in _PERCENTILES))


def activations(view: View, moment: Moment) -> dict[str, Tensor]:
    """Return moments and percentiles of a typical unit before and after each norm (Ioffe & Szegedy 2015, fig. 1).

    Each statistic is computed per unit over samples and positions, then averaged over the units of the layer. In a
    model without norm layers, before and after are input and output of a weight layer.

    Args:
        view: The model.
        moment: Uses `params`, `buffers` and `batch`.

    Returns:
        ``<before or after>.<mean, deviation, p15, p50, p85>.<layer>``, each ().
    """
    with view.watching(view.sites, _around) as seen:
        view.outputs(moment.params, moment.buffers, moment.batch)
    return {
        f"{place}.{statistic}.{layer}": value
        for layer, calls in seen.items()
        for place, row in zip(("before", "after"), torch.stack(calls).mean(0), strict=True)
        for statistic, value in zip(_STATISTICS, row, strict=True)
    }


def _around(before: Units, after: Units) -> Tensor:
    return torch.stack([distribution(before), distribution(after)])


def distribution(units: Units) -> Tensor:
    """Return mean, biased deviation and the percentiles 15, 50 and 85 of each unit, averaged over units, (5,)."""
    ordered = units.sorted()
    typical = [ordered.moments()[0], ordered.deviation(), *(ordered.percentile(percent) for percent in _PERCENTILES)]
    return torch.stack([statistic.mean() for statistic in typical])
