"""How large the gradient of each layer is, and how that changes with depth."""

import torch
from torch import Tensor

from normbench.training.probing.view import Moment, View, hidden, length


def gradients(view: View, moment: Moment) -> dict[str, Tensor]:
    """Return the gradient norm of each weight and its slope over depth (Yang et al. 2019).

    With g_l the Frobenius norm of dL/dW_l, the slope is that of the least-squares line through (l, ln g_l) over the
    layers except the head. Below 0, gradients grow towards the input: -ln 2 doubles them with each layer.

    Args:
        view: The model.
        moment: Uses `grads`.

    Returns:
        ``norm.<layer>`` and ``slope``, each (); the slope is NaN if a gradient is zero or there is a single layer.
    """
    norms = {layer: length(moment.grads[f"{layer}.weight"]) for layer in view.weights}
    scalars = {f"norm.{layer}": norm for layer, norm in norms.items()}
    if hidden(view):
        scalars["slope"] = slope(torch.stack([norms[layer] for layer in hidden(view)]).log())
    return scalars


def slope(heights: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return the slope () of the least-squares line through (0, y_0), (1, y_1), ...

    Args:
        heights: y, (n,).
        counted: (n,) bool, which of them count; None if all do.
    """
    places = torch.arange(len(heights), dtype=heights.dtype, device=heights.device)
    if counted is None:
        places = places - places.mean()
    else:
        places = torch.where(counted, places - (places * counted).sum() / counted.sum(), 0)
        heights = torch.where(counted, heights, 0)
    rise = (places * heights).sum() / places.square().sum()
    return torch.where(torch.isfinite(rise), rise, torch.nan)
