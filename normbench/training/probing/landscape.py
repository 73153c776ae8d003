"""The loss along an optimizer step."""

from collections.abc import Mapping

import torch
from torch import Tensor

from normbench.training.probing.view import Moment, View, length

LENGTHS = tuple(2 ** (-1 + 3 * point / 7) for point in range(8))
"""Points along the step, in step lengths: eight from 1/2 to 4, at equal ratios."""


def landscape(view: View, moment: Moment) -> dict[str, Tensor]:
    """Return how loss and gradient vary along the optimizer step (Santurkar et al. 2018, fig. 4).

    With W the parameters before the step, s the step and a in `LENGTHS`:

    - ``loss_range``: largest minus smallest L(W + a s);
    - ``gradient_range``: largest minus smallest |dL/dW(W + a s) - dL/dW(W)|;
    - ``smoothness``, the effective beta: the largest |dL/dW(W + a s) - dL/dW(W)| / |a s|.

    The step is the optimizer's, with momentum and weight decay, on the samples of its minibatch.

    Args:
        view: The model.
        moment: Uses all fields except `earlier` and `lr`.

    Returns:
        All three, each (); the last is NaN if the step is zero.
    """
    step = {name: moment.params[name] - old for name, old in moment.before.items()}
    distance = joint_norm(step)
    losses, changes = [], []
    for multiple in LENGTHS:
        there = {name: old + multiple * step[name] for name, old in moment.before.items()}
        grads, loss = torch.func.grad_and_value(view.loss)(there, moment.buffers, moment.batch)
        losses.append(loss)
        changes.append(joint_norm({name: grad - moment.grads[name] for name, grad in grads.items()}))
    change = torch.stack(changes)
    slopes = change / (distance * change.new_tensor(LENGTHS))
    return {
        "loss_range": _range(torch.stack(losses)),
        "gradient_range": _range(change),
        "smoothness": slopes.amax(),
    }


def joint_norm(tensors: Mapping[str, Tensor]) -> Tensor:
    """Return the Euclidean norm () of all tensors as one vector."""
    return length(torch.stack([length(tensor) for tensor in tensors.values()]))


def _range(values: Tensor) -> Tensor:
    return values.amax() - values.amin()
