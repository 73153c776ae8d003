"""The gradient of power normalization, which averages a statistic of the gradient over the steps."""

from typing import Any

import torch
from torch import Tensor

from normbench.ranks import Ranks


class PowerGradient(torch.autograd.Function):
    r"""A division by a quadratic mean, with the approximate gradient of Shen et al. (2020, algorithm 2).

    With $\hat x = x / \psi$, g the gradient of the loss by $\hat x$, and the nu from before the step:

    $$\frac{\partial L}{\partial x} = \frac{g - \nu \hat x}{\psi}, \quad
    \nu \leftarrow \nu (1 - a \Gamma) + a \Lambda, \quad
    \Gamma = E_{N,H,W}[\hat x^2], \quad \Lambda = E_{N,H,W}[g \hat x]$$

    In the plain steps $\psi$ is the batch's own, and Lambda in place of nu makes the gradient exact. nu takes one step
    per chunk, in order. The backward pass changes it in place.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        values: Tensor,
        scale: Tensor,
        plain: Tensor,
        shares: Tensor,
        valid: Tensor,
        before: Tensor,
        running: Tensor,
        ranks: Ranks | None,
        sharing: int,
    ) -> Tensor:
        """Return the divided values.

        Args:
            values: The chunks, (k, m, C, ...).
            scale: 1 / psi, (1, 1, C, 1, ...) or (k, 1, C, 1, ...).
            plain: Whether psi is each chunk's own, ().
            shares: a for each of the K chunks of the whole batch, (K,).
            valid: The share of each chunk's values that is no padding, (K,); padding is zero.
            before: nu from before the step, (C,).
            running: nu, which the backward pass updates, (C,).
            ranks: The ranks, if there are several.
            sharing: Ranks that share each chunk.
        """
        return values * scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass needs."""
        _, scale, plain, shares, valid, before, ctx.running, ctx.ranks, ctx.sharing = inputs
        ctx.save_for_backward(output, scale, plain, shares, valid, before)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient by the values, and update nu."""
        standard, scale, plain, shares, valid, before = ctx.saved_tensors
        dims = [1, *range(3, grad.ndim)]
        own = torch.stack(((grad * standard).mean(dims), standard.square().mean(dims)))
        places = slice(None)
        every = own
        if ctx.ranks is not None:
            own, every = _exchanged(own, ctx.ranks, ctx.sharing)
            first = ctx.ranks.rank * own.shape[1] // ctx.sharing
            places = slice(first, first + own.shape[1])
        most = valid.clamp(min=torch.finfo(valid.dtype).tiny)
        own, every = own / most[places, None], every / most[:, None]
        correction = torch.where(plain, own[0], before)
        correction = correction.reshape(-1, 1, grad.shape[2], *[1] * (grad.ndim - 3))
        _update(ctx.running, shares[:, None], every)
        return (grad - correction * standard) * scale, *[None] * 8


def normalized(
    values: Tensor, scale: Tensor, plain: Tensor, shares: Tensor, valid: Tensor, before: Tensor, running: Tensor
) -> Tensor:
    """Return `PowerGradient` of values that no other rank has parts of; compiled steps contain it as one operation."""
    output: Tensor = PowerGradient.apply(values, scale, plain, shares, valid, before, running, None, 1)
    return output


def _exchanged(own: Tensor, ranks: Ranks, sharing: int) -> tuple[Tensor, Tensor]:
    """Return means over this rank's chunks (2, k, C), and over all chunks (2, K, C), from those of its rows."""
    every = ranks.each(own)
    if sharing > 1:
        every = every.reshape(-1, sharing, *own.shape).mean(1)
        own = every[ranks.rank // sharing]
    return own, every.transpose(0, 1).flatten(1, 2)


@torch.no_grad()
def _update(running: Tensor, shares: Tensor, every: Tensor) -> None:
    """Update nu (C,) by K chunks in order, in closed form, from their Lambda and Gamma (2, K, C)."""
    keep = 1 - shares * every[1]
    # What is left of each chunk after the later ones.
    left = keep.flip(0).cumprod(0).flip(0)
    later = torch.cat((left[1:], torch.ones_like(left[:1])))
    running.mul_(left[0]).add_((shares * every[0] * later).sum(0))
