"""Attention over several heads, written out: on the CPU, fused attention is slow under `torch.vmap`."""

from typing import final

import torch
from torch import Tensor, nn

from normbench.norms.factory import NormFactory


@final
class Attention(nn.Module):
    r"""Attention over several heads (Vaswani et al. 2017).

    $$y = W_o \, \mathrm{concat}_h \, \mathrm{softmax}\left(\frac{Q_h K_h^T}{\sqrt{C / H}}\right) V_h$$

    Queries are from x, keys and values from `source`.

    Args:
        width: C, channels, a multiple of the heads.
        heads: H.
        norm: A norm that changes weights changes those of all four layers.

    Shape:
        x (N, L, C) and source (N, S, C) to (N, L, C).
    """

    def __init__(self, width: int, heads: int, norm: NormFactory) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (norm.weighted(nn.Linear(width, width)) for _ in range(4))

    def forward(self, x: Tensor, mask: Tensor | None, source: Tensor | None = None) -> Tensor:
        """Attend from x to a source, or to x itself.

        Args:
            x: (N, L, C).
            mask: Which keys each query may see, bool, broadcast to (N, H, L, S); None for all.
            source: (N, S, C); None for x.
        """
        source = x if source is None else source
        query, key, value = self._split(self.query(x)), self._split(self.key(source)), self._split(self.value(source))
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        if mask is not None:
            # Not -inf: a sequence without any valid step would give nan.
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        y = scores.softmax(-1) @ value
        return self.out(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]  # nn.Module calls are untyped

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


def visible_keys(valid: Tensor | None) -> Tensor | None:
    """Return the mask of keys that are no padding, (N, 1, 1, S), from `valid` (N, S)."""
    return None if valid is None else valid[:, None, None, :]


def visible_before(x: Tensor, valid: Tensor | None) -> Tensor:
    """Return the mask of keys up to each query and no padding, (N or 1, 1, L, L), for x (N, L, ...)."""
    earlier = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
    keys = visible_keys(valid)
    return earlier[None, None] if keys is None else keys & earlier
