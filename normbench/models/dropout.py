"""Dropout with masks drawn before the forward pass, as `torch.func.vmap` has no separate randomness per run."""

from typing import final

import torch
from torch import Tensor, nn

from normbench.ranks import ALONE, Ranks


@final
class Dropout(nn.Module):
    """In training, zero units with probability p and divide the rest by 1 - p (Srivastava et al. 2014).

    y = mask * x in training, with masks from `draw_masks`; y = x in evaluation.

    Args:
        p: Probability that a unit is zeroed, in (0, 1).
        features: Shape of one sample of the input.

    Attributes:
        mask: Buffer, (B, *features), of 0 and 1/(1 - p); None until drawn. It is an input of the step, so it is not
            in the state dict.

    Shape:
        (B, *features) to the same.
    """

    mask: Tensor | None

    def __init__(self, p: float, features: tuple[int, ...]) -> None:
        super().__init__()
        assert 0 < p < 1, "leave the module out if p is 0"
        self.p = p
        self.features = features
        self.register_buffer("mask", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the mask to x, (B, *features)."""
        if not self.training:
            return x
        if self.mask is None:
            # A dry run only checks shapes, without gradients; a training step without masks would have no dropout.
            assert x.is_meta or not torch.is_grad_enabled(), "call draw_masks before a training step"
            return x
        return x * self.mask

    def sample(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Draw which units are kept: (B, *features) of 0 and 1, in float32 on the generator's device."""
        kept = torch.empty(batch_size, *self.features, device=generator.device)
        return kept.bernoulli_(1 - self.p, generator=generator)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return f"p={self.p}, features={self.features}"


def draw_masks(model: nn.Module, batch_size: int, generator: torch.Generator, ranks: Ranks = ALONE) -> None:
    """Draw new masks for every `Dropout` of a model, in the order of ``model.modules()``.

    A mask of the right size is overwritten in place, so that a stacked state or a compiled step that holds it sees the
    new one. For a model without dropout it does and draws nothing.

    Args:
        model: The model; masks have the dtype and device of its parameters.
        batch_size: Samples B of the next step.
        generator: Generator of all the run's masks.
        ranks: The ranks of the run; each draws for the whole batch and keeps its rows.
    """
    like = next(model.parameters())
    for module in model.modules():
        if not isinstance(module, Dropout):
            continue
        mask = ranks.rows(module.sample(batch_size, generator)).to(like) / (1 - module.p)
        if module.mask is not None and module.mask.shape == mask.shape:
            module.mask.copy_(mask)
        else:
            module.mask = mask


def optional_dropout(p: float, features: tuple[int, ...]) -> nn.Module:
    """Return a `Dropout`, or an identity if p is 0."""
    return Dropout(p, features) if p else nn.Identity()
