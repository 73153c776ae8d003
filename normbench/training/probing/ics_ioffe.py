"""Internal covariate shift as Ioffe & Szegedy describe it: changing distributions of units."""

import torch
from torch import Tensor

from normbench.training.probing.view import Moment, Named, View

_FLOOR = 1e-5
"""Added to variances: a unit that is constant before and after has not moved; the norms' own default eps."""


def ics_ioffe(view: View, moment: Moment) -> dict[str, Tensor]:
    """Return how far the distribution of each unit has moved since the last measurement (Ioffe & Szegedy 2015).

    A unit's distribution over samples and positions is approximated as Gaussian, and the distance between N(m, v) and
    N(m', v') is the symmetric Kullback-Leibler divergence

        KL + KL' = ((v + d^2) / v' + (v' + d^2) / v) / 2 - 1,   d = m - m',

    averaged over the units of a layer. Units are measured at the output of the norm.

    Args:
        view: The model.
        moment: Uses `earlier`, `params`, `buffers` and `batch`.

    Returns:
        ``drift.<layer>`` in nats and ``drift``, its mean over layers, each ().
    """
    then = _moments(view, moment.earlier, moment)
    now = _moments(view, moment.params, moment)
    drifts = {f"drift.{layer}": gaussian_divergence(then[layer], now[layer]).mean() for layer in view.sites}
    return {**drifts, "drift": torch.stack(list(drifts.values())).mean()} if drifts else {}


def _moments(view: View, params: Named, moment: Moment) -> dict[str, Tensor]:
    with view.watching(view.sites, lambda _, output: torch.stack(output.moments())) as seen:
        view.outputs(params, moment.buffers, moment.batch)
    return {layer: torch.cat(calls, dim=1) for layer, calls in seen.items()}


def gaussian_divergence(one: Tensor, other: Tensor) -> Tensor:
    """Return the symmetric divergence (C,) between Gaussians given as means and variances, (2, C) each."""
    square = (one[0] - other[0]).square()
    a, b = one[1] + _FLOOR, other[1] + _FLOOR
    return ((a + square) / b + (b + square) / a) / 2 - 1
