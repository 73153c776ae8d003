"""Internal covariate shift as Santurkar et al. measure it: changes of gradients by updates of the layers below."""

import torch
from torch import Tensor

from normbench.training.probing.view import Moment, Named, View, cosine, length, mean_of


def ics_santurkar(view: View, moment: Moment) -> dict[str, Tensor]:
    """Return how the step of the layers below changes each layer's gradient (Santurkar et al. 2018, definition 2.1).

    G is the gradient of a weight before the step, G' the same after only the parameters in front of it have been
    updated. If layers did not shift each other's task, |G - G'| would be 0 and the cosine 1.

    Args:
        view: The model.
        moment: Uses all fields except `earlier` and `lr`.

    Returns:
        ``norm.<layer>`` |G - G'| and ``cosine.<layer>`` of G and G', for every weight layer except the first, which
        has none below it; ``norm`` and ``cosine``, their means over these layers; each (). A cosine with a gradient of
        zero is NaN and not included in the mean.
    """
    norms, cosines = {}, {}
    order = list(moment.before)
    for layer in view.weights[1:]:
        name = f"{layer}.weight"
        below = {other: moment.params[other] for other in order[: order.index(name)]}
        there, here = _gradient(view, name, {**moment.before, **below}, moment), moment.grads[name]
        norms[f"norm.{layer}"] = length(here - there)
        cosines[f"cosine.{layer}"] = cosine(here, there)
    if not norms:
        return {}
    return {**norms, **cosines, "norm": mean_of(norms.values()), "cosine": mean_of(cosines.values())}


def _gradient(view: View, name: str, params: Named, moment: Moment) -> Tensor:
    def loss(weight: Tensor) -> Tensor:
        return view.loss({**params, name: weight}, moment.buffers, moment.batch)

    found: Tensor = torch.func.grad(loss)(params[name])
    return found
