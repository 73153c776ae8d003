"""The values of the units of a layer, with padding told apart."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class Units(NamedTuple):
    """The values of each unit, that is channel, over samples and positions.

    Attributes:
        values: (C, M): M = B for features, B * H * W for maps, B * L for sequences of L steps.
        valid: (M,) bool, which of them are no padding; None if all are. What padding holds enters no statistic.
    """

    values: Tensor
    valid: Tensor | None = None

    @classmethod
    def of(cls, x: Tensor, *, channels: int = 1, valid: Tensor | None = None) -> Self:
        """Return the values of a tensor.

        Args:
            x: The tensor, (B, C, ...), or with the channels elsewhere.
            channels: The dimension of the channels.
            valid: Which positions are no padding, of the shape of x without channels.
        """
        values = x.transpose(0, 1) if channels in (1, 1 - x.ndim) else x.movedim(channels, 0)
        return cls(values.flatten(1), None if valid is None else valid.flatten())

    def moments(self, correction: int = 0) -> tuple[Tensor, Tensor]:
        """Return mean and variance of each unit, (C,) each; the variance is divided by the count less `correction`."""
        if self.valid is None:
            return self.values.mean(1), self.values.var(1, correction=correction)
        count = self.valid.sum()
        mean = torch.where(self.valid, self.values, 0).sum(1) / count
        squares = torch.where(self.valid, self.values - mean.unsqueeze(1), 0).square().sum(1)
        return mean, squares / (count - correction).clamp(min=1)

    def deviation(self) -> Tensor:
        """Return the biased deviation of each unit, (C,)."""
        return self.values.std(1, correction=0) if self.valid is None else self.moments()[1].sqrt()

    def sorted(self) -> Self:
        """Return the values of each unit in ascending order, padding last."""
        if self.valid is None:
            return type(self)(self.values.sort(dim=1).values)
        values = torch.where(self.valid, self.values, torch.inf).sort(dim=1).values
        places = torch.arange(values.shape[1], device=values.device)
        return type(self)(values, places < self.valid.sum())

    def percentile(self, percent: int) -> Tensor:
        """Return a percentile of each unit, (C,), of values that are sorted; between two it is interpolated linearly.

        `torch.quantile` refuses more than 16 million values.
        """
        if self.valid is None:
            most = self.values.shape[1] - 1
            whole, rest = divmod(percent * most, 100)
            return torch.lerp(self.values[:, whole], self.values[:, min(whole + 1, most)], rest / 100)
        last = (self.valid.sum() - 1).clamp(min=0)
        place = percent * last
        whole_, rest_ = place // 100, place % 100
        below, above = (
            self.values.take_along_dim(index.reshape(1, 1).expand(len(self.values), 1), 1).squeeze(1)
            for index in (whole_, torch.minimum(whole_ + 1, last))
        )
        return torch.lerp(below, above, (rest_ / 100).to(below.dtype))

    def always_zero(self) -> Tensor:
        """Return which units are exactly zero everywhere, (C,) bool."""
        zero = self.values == 0
        return zero.all(dim=1) if self.valid is None else (zero | ~self.valid).all(dim=1)
