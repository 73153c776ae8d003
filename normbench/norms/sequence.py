"""Norms over sequences: one wrapper with which every norm of the registry normalises (N, L, C)."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.errors import ConfigError, ImpossibleRunError, nearest
from normbench.norms.factory import NormFactory, norm_layers
from normbench.norms.statistics import BatchStatistics

NORM_OVER = ("tokens", "time")
NORM_TIME = ("shared", "step")


@final
class SequenceNorm(nn.Module):
    """A norm of sequences, called for all steps at once or step by step.

    What is pooled:

    - Norms with batch statistics take each channel over samples and valid steps. `norm_batch_size` counts sequences.
      With `time` = `step` each step has statistics of its own, over samples alone (Cooijmans et al. 2016); scale and
      shift are shared. A step that fewer than two samples of a batch reach is normalised by running statistics, and a
      step that no batch has reached yet by those of the step before it.
    - Other norms take each step by itself (`over` = `tokens`), or also pool over the valid steps (`over` = `time`).
      Norms that need several positions, such as instance norm, always pool over the steps.

    Args:
        norm: Makes the norm.
        num_features: Channels C.
        length: L, the most steps of a sequence.
        over: `tokens` or `time`.
        time: `shared` or `step`.
        activated: Whether a norm that includes an activation applies it.

    Raises:
        ConfigError: If `over` or `time` is unknown.
    """

    def __init__(
        self,
        norm: NormFactory,
        num_features: int,
        *,
        length: int,
        over: str = "tokens",
        time: str = "shared",
        activated: bool = False,
    ) -> None:
        super().__init__()
        for key, value, known in (("norm_over", over, NORM_OVER), ("norm_time", time, NORM_TIME)):
            if value not in known:
                raise ConfigError(f"model.{key}: unknown value {value!r}{nearest(value, known)}")
        self.by_batch = bool(getattr(norm.norm, "batch_statistics", False))
        self.needs_positions = bool(getattr(norm.norm, "needs_positions", False))
        self.pools = self.by_batch or over == "time" or self.needs_positions
        count = length if time == "step" and self.by_batch else 1
        self.norms = nn.ModuleList(norm(num_features, activated=activated) for _ in range(count))
        for later in self.norms[1:]:
            for name in list(later._parameters):
                later._parameters[name] = self.norms[0]._parameters[name]

    def forward(self, x: Tensor, valid: Tensor | None = None, step: int | None = None) -> Tensor:
        """Normalise whole sequences, or one step of them.

        Args:
            x: (N, L, C).
            valid: (N, L) bool, which steps are no padding; padding stands at the end. None if all are valid.
            step: As `step` passes it on, so that hooks see its calls too.

        Returns:
            (N, L, C); what padded steps become has no meaning.
        """
        if step is not None:
            return self._at(step, x, valid)
        if len(self.norms) > 1:
            masks = [None] * x.shape[1] if valid is None else valid.unbind(1)
            steps = enumerate(zip(x.unbind(1), masks, strict=True))
            return torch.stack([self._at(place, at, mask) for place, (at, mask) in steps], 1)
        norm = self.norms[0]
        if not self.pools:
            flat: Tensor = norm(x.reshape(-1, x.shape[2]))
            return flat.reshape(x.shape)
        channels_first = x.transpose(1, 2)
        if valid is None:
            y: Tensor = norm(channels_first)
        elif self.needs_positions or not self.by_batch:
            filled = _filled(channels_first, valid)
            y = norm(filled, F.pad(valid, (0, _FILLERS))) if self.by_batch else norm(filled)
            y = y[..., : x.shape[1]]
        else:
            y = norm(channels_first, valid)
        return y.transpose(1, 2)

    def step(self, x: Tensor, step: int, valid: Tensor | None = None) -> Tensor:
        """Normalise one step of all sequences.

        Args:
            x: (N, C).
            step: Its place, from 0; beyond the last statistics these are used again.
            valid: (N,) bool, which sequences have such a step; None if all have.

        Returns:
            (N, C).
        """
        y: Tensor = self(x, valid, step)
        return y

    def _at(self, step: int, x: Tensor, valid: Tensor | None) -> Tensor:
        if self.needs_positions:
            raise ImpossibleRunError(
                "the norm averages over several positions, and here it gets one step of a sequence at a time; use "
                "model.norm_place=input with model.norm_time=shared in a recurrent net, or another norm."
            )
        place = min(step, len(self.norms) - 1)
        norm = self.norms[place]
        y: Tensor = norm(x) if valid is None or not self.by_batch else norm(x, valid)
        if place and valid is not None:
            _continue(self.norms[place - 1], norm)
        return y


def norm_sites(model: nn.Module) -> dict[str, nn.Module]:
    """Return the norms of a model by qualified name, in the order of the model: a `SequenceNorm` is one.

    Without those of `SequenceNorm`, these are the norm layers.
    """
    layers = norm_layers(model)
    wrappers = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, SequenceNorm))
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, SequenceNorm) or (name in layers and not name.startswith(wrappers))
    }


_FILLERS = 2
"""Positions that are added at the end, so that padding has at least two."""


def _filled(x: Tensor, valid: Tensor) -> Tensor:
    """Fill padding so that each channel of a sample has the mean and variance of its valid positions.

    A norm that pools positions by means of x and x^2 then computes what it would without padding, and so do its
    gradients. Fillers are mean +- s in turn, an odd last one the mean itself, where s makes the variance right.

    Args:
        x: (N, C, L).
        valid: (N, L).

    Returns:
        (N, C, L + 2).
    """
    length = x.shape[2] + _FILLERS
    weight = valid.to(x.dtype).unsqueeze(1)
    number = weight.sum(2, keepdim=True)
    mean = (x * weight).sum(2, keepdim=True) / number.clamp(min=1)
    var = ((x - mean).square() * weight).sum(2, keepdim=True) / number.clamp(min=1)
    fillers = length - number
    odd = fillers % 2
    # The root of a zero variance has no gradient.
    deviation = torch.where(var > 0, var, 1).sqrt() * (var > 0)
    spread = deviation * (fillers / (fillers - odd)).sqrt()
    place = torch.arange(length, device=x.device) - number
    sign = 1 - 2 * (place % 2)
    last = (odd == 1) & (place == fillers - 1)
    filler = mean + spread * torch.where(last, 0, sign)
    return torch.where(F.pad(valid, (0, _FILLERS)).unsqueeze(1), F.pad(x, (0, _FILLERS)), filler)


@torch.no_grad()
def _continue(earlier: nn.Module, norm: nn.Module) -> None:
    """Give a step that no training batch has reached yet the statistics of the step before it."""
    if not norm.training or not isinstance(norm, BatchStatistics) or norm.num_batches_tracked is None:
        return
    untrained = norm.num_batches_tracked == 0
    for name, own in norm.named_buffers(recurse=False):
        if name.startswith("running"):
            own.copy_(torch.where(untrained, getattr(earlier, name), own))
