"""How values are distributed before and after each norm."""

import torch
from torch import Tensor

from normbench.training.probing.view import Moment, View, by_unit

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


def _around(before: Tensor, after: Tensor) -> Tensor:
    return torch.stack([distribution(before), distribution(after)])


def distribution(x: Tensor) -> Tensor:
    """Return mean, biased deviation and the percentiles 15, 50 and 85 of each unit of x, averaged over units.

    Args:
        x: (B, C) or (B, C, H, W).

    Returns:
        (5,).
    """
    values = by_unit(x).sort(dim=1).values
    typical = [values.mean(1), values.std(1, correction=0), *(_percentile(values, p) for p in _PERCENTILES)]
    return torch.stack([statistic.mean() for statistic in typical])


def _percentile(values: Tensor, percentile: int) -> Tensor:
    """Interpolate linearly in rows that are sorted; `torch.quantile` refuses more than 16 million values."""
    whole, rest = divmod(percentile * (values.shape[1] - 1), 100)
    above = min(whole + 1, values.shape[1] - 1)
    return torch.lerp(values[:, whole], values[:, above], rest / 100)
