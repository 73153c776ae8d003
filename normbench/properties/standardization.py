"""Mean and deviation of outputs, and the effect of gamma and beta."""

import torch
from torch import Tensor, nn

from normbench.norms import BatchNorm
from normbench.norms.factory import NormFactory, norm_layers
from normbench.properties.finding import Finding
from normbench.properties.small_problem import (
    NormMaker,
    eps_of,
    images_and_labels,
    initial,
    inputs,
    over_channel,
    set_affine,
    small_mlp,
    train,
)

_EXACT = 1e-12
"""Rounding of float64 sums over a few hundred values of size 10."""

_UP_TO_EPS = 1e-4
"""An eps of 1e-5 lowers a deviation of 1 or more by at most half of itself."""

_VISIBLE = 0.01
_STEPS = 30


def standardized_outputs(norm: NormMaker = BatchNorm) -> Finding:
    r"""Judge whether each output channel has mean 0 and deviation 1.

    $$\hat x = (x - E[x]) / \sqrt{Var[x] + \epsilon}$$

    has both up to eps; the layer's output is gamma * x_hat + beta, with mean beta and deviation gamma.

    Args:
        norm: Called as ``norm(num_features)``; gamma must start at 1 and beta at 0.

    Returns:
        `refuted` if it holds for x_hat but not for the outputs after training, or not even for x_hat; `supported` if it
        holds for both.
    """
    fresh = [_gaps(norm(x.shape[1]).double().train()(x)) for x in inputs()]
    mean, deviation = (max(gaps) for gaps in zip(*fresh, strict=True))
    trained_mean, trained_deviation = _gaps(_trained_outputs(norm))
    numbers = {
        "largest_mean": mean,
        "largest_deviation_gap": deviation,
        "largest_mean_trained": trained_mean,
        "largest_deviation_gap_trained": trained_deviation,
    }
    before = f"Before gamma and beta, means are 0 within {mean:.1g} and deviations 1 within {deviation:.1g}"
    after = (
        f"after {_STEPS} steps of training, means are up to {trained_mean:.2g} and deviations up to "
        f"{trained_deviation:.2g} away from that"
    )
    if mean > _EXACT or deviation > _UP_TO_EPS:
        return Finding("refuted", "not even before gamma and beta", f"{before}; {after}.", numbers)
    if max(trained_mean, trained_deviation) > _VISIBLE:
        return Finding("refuted", "proved before gamma and beta, disproved after", f"{before}; {after}.", numbers)
    return Finding("supported", "proved", f"{before}; {after}.", numbers)


def affine_restores_capacity(norm: NormMaker = BatchNorm) -> Finding:
    r"""Judge whether gamma and beta can undo the normalization (Ioffe & Szegedy 2015, section 3).

    $$\gamma = \sqrt{Var[x] + \epsilon}, \beta = E[x] \implies y = x$$

    on the batch whose moments are used.

    Args:
        norm: Called as ``norm(num_features)``.

    Returns:
        `supported` if the layer becomes the identity, otherwise `refuted`.
    """
    gaps = [_identity_gap(norm(x.shape[1]).double().train(), x) for x in inputs()]
    gap = max(gaps)
    evidence = (
        "With gamma = sqrt(var + eps) and beta = mean of the batch, the layer returns features and maps as they were "
        f"within {gap:.1g}."
    )
    if gap < _EXACT:
        return Finding("supported", "proved", evidence, {"largest_gap": gap})
    return Finding("refuted", "disproved", evidence, {"largest_gap": gap})


@torch.no_grad()
def _identity_gap(layer: nn.Module, x: Tensor) -> float:
    """Return the distance of the layer from the identity, with the gamma and beta that should give the identity."""
    dims = over_channel(x)
    set_affine(layer, gamma=(x.var(dims, correction=0) + eps_of(layer)).sqrt(), beta=x.mean(dims))
    return float((layer(x) - x).abs().max())


def _gaps(y: Tensor) -> tuple[float, float]:
    """Return how far the worst channel's mean is from 0, and its biased deviation from 1."""
    dims = over_channel(y)
    return float(y.detach().mean(dims).abs().max()), float((y.detach().std(dims, correction=0) - 1).abs().max())


def _trained_outputs(norm: NormMaker) -> Tensor:
    """Return the output of the last norm of a trained perceptron in training mode."""
    model = initial(small_mlp, NormFactory(norm))
    train(model, steps=_STEPS)
    seen: list[Tensor] = []
    last = list(norm_layers(model).values())[-1]
    last.register_forward_hook(lambda _, args, output: seen.append(output))
    model(images_and_labels(64)[0])
    return seen[-1]
