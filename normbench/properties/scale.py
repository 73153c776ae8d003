"""The effect of the scale of a weight in front of a norm."""

import torch
from torch import Tensor

from normbench.norms import BatchNorm
from normbench.properties.finding import Finding
from normbench.properties.small_problem import NormMaker
from normbench.randomness import generator

_RELATIVE = 1e-10
_EPS = 1e-5


def scale_invariance(norm: NormMaker = BatchNorm, *, factors: tuple[float, ...] = (0.01, 0.5, 3.0, 100.0)) -> Finding:
    r"""Prove that the scale of a weight before the norm has no effect except to divide its gradient.

    $$BN_{a^2 \epsilon}(aWx) = BN_\epsilon(Wx), \quad
    \partial L / \partial (aW) = \tfrac{1}{a} \partial L / \partial W, \quad
    \langle W, \partial L / \partial W \rangle = O(\epsilon)$$

    Eps is scaled too, which makes both identities exact; with a fixed eps they hold up to eps / var.

    Args:
        norm: Called as ``norm(num_features, eps=...)``.
        factors: Values of a.

    Returns:
        `supported` if both identities hold up to rounding for every factor, otherwise `refuted`.
    """
    draws = generator(0, "properties", "scale")
    x, weight, target = (
        torch.randn(shape, generator=draws, dtype=torch.float64) for shape in ((32, 8), (6, 8), (32, 6))
    )
    y, grad = _apply(norm, _EPS, weight, x, target)
    output_gap = gradient_gap = 0.0
    for a in factors:
        scaled, scaled_grad = _apply(norm, a * a * _EPS, a * weight, x, target)
        output_gap = max(output_gap, _relative_gap(scaled, y))
        gradient_gap = max(gradient_gap, _relative_gap(a * scaled_grad, grad))
    cosine = float((weight * grad).sum() / weight.norm() / grad.norm())
    numbers = {"output_gap": output_gap, "gradient_gap": gradient_gap, "weight_gradient_cosine": cosine}
    evidence = (
        f"For a in {', '.join(f'{a:g}' for a in factors)}, norm(aWx) equals norm(Wx) within {output_gap:.1g} and the "
        f"gradient times a within {gradient_gap:.1g} of itself; weight and gradient have a cosine of {cosine:.1g}."
    )
    if max(output_gap, gradient_gap) < _RELATIVE:
        return Finding("supported", "proved", evidence, numbers)
    return Finding("refuted", "disproved", evidence, numbers)


def _apply(norm: NormMaker, eps: float, weight: Tensor, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return norm(Wx) and the gradient of a nonlinear loss of it with respect to W."""
    weight = weight.clone().requires_grad_()
    y: Tensor = norm(len(weight), eps=eps).double().train()(x @ weight.T)
    (grad,) = torch.autograd.grad((y - target).pow(2).sum() + (y * target).exp().mean(), weight)
    return y.detach(), grad


def _relative_gap(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())
