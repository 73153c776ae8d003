"""The signal that remains when one or two samples are normalised together."""

import torch
from torch import Tensor, nn

from normbench.errors import ImpossibleRunError
from normbench.norms import BatchNorm
from normbench.norms.factory import NormFactory, norm_layers
from normbench.properties.finding import Finding
from normbench.properties.small_problem import NormMaker, eps_of, images_and_labels, initial, set_affine, small_mlp
from normbench.randomness import generator

_EXACT = 1e-12


def tiny_norm_batch(norm: NormMaker = BatchNorm) -> Finding:
    r"""Prove that with two samples only a sign of each unit remains, and with one sample nothing.

    With h = (x_1 - x_2) / 2 the mean of two is x_1 - h and their biased variance h^2, so

    $$\hat x = \pm h / \sqrt{h^2 + \epsilon}$$

    which is a sign up to eps. One sample is its own mean: the output is beta, and the gradient 0.

    Args:
        norm: Called as ``norm(num_features)``. If it refuses a single sample, the formula is used there instead.

    Returns:
        `supported` if both hold exactly, otherwise `refuted`.
    """
    pair_gap, signs = _pairs(norm)
    beta_gap, gradient, refused = _single(norm)
    numbers = {
        "gap_at_2": pair_gap,
        "share_of_signs_at_2": signs,
        "gap_to_beta_at_1": beta_gap,
        "largest_gradient_at_1": gradient,
        "refused_at_1": float(refused),
    }
    evidence = (
        f"In a perceptron every norm's output for two samples is +-h / sqrt(h^2 + eps) within {pair_gap:.1g}, and "
        f"{signs:.0%} of them are +-1 within 1 %; for one sample the output is beta within {beta_gap:.1g} and the "
        f"largest gradient {gradient:.1g}{' (computed by the formula: the layer refuses)' if refused else ''}."
    )
    if max(pair_gap, beta_gap, gradient) < _EXACT:
        return Finding("supported", "proved", evidence, numbers)
    return Finding("refuted", "disproved", evidence, numbers)


@torch.no_grad()
def _pairs(norm: NormMaker) -> tuple[float, float]:
    """Return the largest gap to the formula over the norms of a perceptron, and the share of outputs that are signs."""
    model = initial(small_mlp, NormFactory(norm))
    gaps, outputs = [], []

    def compare(layer: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
        half = (args[0][0] - args[0][1]) / 2
        expected = torch.stack([half, -half]) / (half.square() + eps_of(layer)).sqrt()
        gaps.append((output - expected).abs().max())
        outputs.append(output.flatten())

    for layer in norm_layers(model).values():
        layer.register_forward_hook(compare)
    model(images_and_labels(2)[0])
    # A unit with equal values for both samples has no sign.
    alive = torch.cat(outputs)[torch.cat(outputs) != 0]
    return float(torch.stack(gaps).max()), float(((alive.abs() - 1).abs() < 0.01).double().mean())


def _single(norm: NormMaker) -> tuple[float, float, bool]:
    """Return the gap to beta, the largest gradient, and whether the norm refused and the formula was used."""
    draws = generator(0, "properties", "single")
    x = torch.randn(1, 6, generator=draws, dtype=torch.float64).requires_grad_()
    gamma, beta, weights = (torch.randn(6, generator=draws, dtype=torch.float64) for _ in range(3))
    layer = norm(6).double().train()
    set_affine(layer, gamma=gamma, beta=beta)
    try:
        y, refused = layer(x), False
    except ImpossibleRunError:
        variance = x.var(0, correction=0)
        y, refused = (x - x.mean(0)) / (variance + eps_of(layer)).sqrt() * gamma + beta, True
    (grad,) = torch.autograd.grad((y * weights).sum(), x)
    return float((y.detach() - beta).abs().max()), float(grad.abs().max()), refused
