"""Internal covariate shift in front of each norm and behind it, as training meets it."""

import torch
from torch import Tensor

from normbench.training.probing.ics_ioffe import gaussian_divergence
from normbench.training.probing.view import Moment, Named, View


def ics_training(view: View, moment: Moment) -> dict[str, Tensor]:
    """Return how far distributions have moved since the last measurement, in front of each norm and behind it.

    The distance is that of `ics_ioffe`, with two differences. Noise that a norm adds in training is included, so that
    ``after`` is what the next layer receives: the noise of the next step against that of the step before it, which
    differ by as much as those of any two steps. And ``before`` is measured on what a norm is given, which no norm has
    standardized. In a model without norm layers, before and after are input and output of a weight layer.

    Args:
        view: The model.
        moment: Uses `earlier`, `params`, `buffers` and `batch`.

    Returns:
        ``before.<layer>`` and ``after.<layer>`` in nats, averaged over the units of a layer; ``before`` and ``after``,
        their means over layers; each (). Without noise, ``after`` is the drift of `ics_ioffe`.
    """
    then = _moments(view, moment.earlier, moment, later=-1)
    now = _moments(view, moment.params, moment, later=0)
    if not now:
        return {}
    scalars: dict[str, Tensor] = {}
    for place, name in enumerate(("before", "after")):
        drifts = {layer: gaussian_divergence(then[layer][place], now[layer][place]).mean() for layer in now}
        scalars |= {f"{name}.{layer}": drift for layer, drift in drifts.items()}
        scalars[name] = torch.stack(list(drifts.values())).mean()
    return scalars


def _moments(view: View, params: Named, moment: Moment, *, later: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Return means and variances (2, C) of the units in front of each layer and behind it."""
    with (
        view.watching(view.sites, lambda given, _: torch.stack(given.moments())) as before,
        view.watching(view.sites, lambda _, output: torch.stack(output.moments())) as after,
    ):
        view.outputs_with_noise(params, moment.buffers, moment.batch, later=later)
    return {layer: (torch.cat(before[layer], dim=1), torch.cat(after[layer], dim=1)) for layer in view.sites}
