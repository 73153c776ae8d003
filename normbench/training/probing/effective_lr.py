"""How fast the direction of each weight turns."""

from torch import Tensor

from normbench.training.probing.view import Moment, View, cosine, hidden, mean_of


def effective_lr(view: View, moment: Moment) -> dict[str, Tensor]:
    """Return each weight's effective learning rate and its product with its gradient (van Laarhoven 2017).

    A norm after W makes the loss a function of W / |W|, whose direction turns as fast as with rate lr / |W|^2 at
    |W| = 1. Then <W, dL/dW> = 0, up to the norm's eps: if it is far from 0, the weight is not scale-invariant.

    Args:
        view: The model.
        moment: Uses `before`, `grads` and `lr`: weight and gradient of the product are of the same time.

    Returns:
        ``rate.<layer>``, infinite for a weight of zero, and ``product.<layer>``; ``cosine``, the mean absolute cosine
        between weight and gradient over the layers except the head, without layers where one is zero; each ().
    """
    pairs = {layer: (moment.before[f"{layer}.weight"], moment.grads[f"{layer}.weight"]) for layer in view.weights}
    scalars: dict[str, Tensor] = {}
    for layer, (weight, grad) in pairs.items():
        scalars[f"rate.{layer}"] = moment.lr / weight.square().sum()
        scalars[f"product.{layer}"] = (weight * grad).sum()
    if hidden(view):
        scalars["cosine"] = mean_of(cosine(*pairs[layer]).abs() for layer in hidden(view))
    return scalars
