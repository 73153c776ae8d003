"""What an evaluation gathers: the measures of a task, summed over samples, and its predictions of each sample."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from normbench.training.window import add_sums

_INDEX = "index"


@dataclass
class Gathered:
    """Sums and predictions of the samples that were evaluated so far, of one run or of R stacked ones.

    Attributes:
        stacked: Whether everything has a first dimension R.
        sums: The task's measures, summed over samples, and ``count``.
        kept: The task's predictions of each sample, and the indices of the samples, part by part.
    """

    stacked: bool
    sums: dict[str, Tensor] = field(default_factory=dict)
    kept: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, found: Mapping[str, Tensor], predictions: Mapping[str, Tensor], index: Tensor) -> None:
        """Add what was found of some samples.

        Args:
            found: A row a sample, (B, ...) or (R, B, ...), by name: summed.
            predictions: The same, kept.
            index: The samples, (B,) or (R, B).
        """
        over_samples = {name: rows.sum(dim=int(self.stacked)) for name, rows in found.items()}
        add_sums(self.sums, over_samples, count=index.shape[-1])
        for name, rows in {**predictions, _INDEX: index}.items() if predictions else ():
            self.kept.setdefault(name, []).append(rows.cpu())

    def join(self, other: Self) -> Self:
        """Add what was gathered of other samples, and return all of it."""
        for name, more in other.sums.items():
            self.sums[name] = self.sums[name] + more
        for name, parts in other.kept.items():
            self.kept[name] += parts
        return self

    def of_each_run(self) -> list[dict[str, Tensor]]:
        """Return the sums and predictions of each run; predictions in the order of the samples in the data.

        So scores do not depend on the order of evaluation, which differs between kinds of statistics.
        """
        kept = {name: torch.cat(parts, dim=int(self.stacked)) for name, parts in self.kept.items()}
        if not self.stacked:
            return [{**self.sums, **_in_order(kept)}]
        return [
            {
                **{name: value if name == "count" else value[run] for name, value in self.sums.items()},
                **_in_order({name: rows[run] for name, rows in kept.items()}),
            }
            for run in range(len(self.sums["loss"]))
        ]


def _in_order(kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: rows[kept[_INDEX].argsort()] for name, rows in kept.items() if name != _INDEX}
