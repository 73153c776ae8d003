"""Norms over sequences: one wrapper with which every norm of the registry normalises (N, L, C)."""

from typing import final

import torch
from torch import Tensor, nn

from normbench.errors import ConfigError, nearest
from normbench.norms.factory import NormFactory

NORM_OVER = ("tokens", "time")
NORM_TIME = ("shared", "step")


@final
class SequenceNorm(nn.Module):
    """A norm of sequences, called for all steps at once or step by step.

    What is pooled:

    - Norms with batch statistics take each channel over samples and valid steps. `norm_batch_size` counts sequences.
      With `time` = `step` each step has statistics of its own, over samples alone; scale and shift are shared.
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
        self.pools = self.by_batch or over == "time" or bool(getattr(norm.norm, "needs_positions", False))
        count = length if time == "step" and self.by_batch else 1
        self.norms = nn.ModuleList(norm(num_features, activated=activated) for _ in range(count))
        for later in self.norms[1:]:
            for name in list(later._parameters):
                later._parameters[name] = self.norms[0]._parameters[name]

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalise whole sequences.

        Args:
            x: (N, L, C).
            valid: (N, L) bool, which steps are no padding; None if all are valid.

        Returns:
            (N, L, C); what padded steps become has no meaning.
        """
        if len(self.norms) > 1:
            masks = [None] * x.shape[1] if valid is None else valid.unbind(1)
            return torch.stack(
                [self.step(at, step, mask) for step, (at, mask) in enumerate(zip(x.unbind(1), masks, strict=True))], 1
            )
        if self.pools:
            y: Tensor = self.norms[0](x.transpose(1, 2))
            return y.transpose(1, 2)
        flat: Tensor = self.norms[0](x.reshape(-1, x.shape[2]))
        return flat.reshape(x.shape)

    def step(self, x: Tensor, step: int, valid: Tensor | None = None) -> Tensor:
        """Normalise one step of all sequences.

        Args:
            x: (N, C).
            step: Its place, from 0; beyond the last statistics these are used again.
            valid: (N,) bool, which sequences have such a step; None if all have.

        Returns:
            (N, C).
        """
        y: Tensor = self.norms[min(step, len(self.norms) - 1)](x)
        return y
