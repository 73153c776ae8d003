"""Classification of images, or of other samples with one label each, into K classes."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from normbench.data.examples import Batch, Examples
from normbench.errors import ImpossibleRunError
from normbench.tasks.task import Task

UNEVEN = 1.5
"""From this ratio of the largest to the smallest class, accuracy alone misleads; balanced accuracy is reported too."""


class Classification(Task):
    """Images with one label each: cross-entropy in nats, and accuracy.

    If classes are uneven, balanced accuracy (the mean of the recall over classes) is added, and chance level is the
    share of the largest class.

    Args:
        data: With `images` (B, C, H, W) and `labels` (B,).

    Shape:
        Outputs are logits (B, K).
    """

    inputs: tuple[str, ...] = ("images",)
    targets: tuple[str, ...] = ("labels",)

    def __init__(self, data: Examples) -> None:
        super().__init__(data)
        if data.num_classes < 1:
            raise ImpossibleRunError(f"classification needs classes, and data={data.name} has none.")
        counts = torch.bincount(data.strata[: data.num_pool].cpu(), minlength=data.num_classes)
        self.uneven = int(counts.max()) >= UNEVEN * int(counts.min())
        self.metrics = ("accuracy", "balanced_accuracy") if self.uneven else ("accuracy",)
        self._largest = int(counts.argmax())

    @property
    def num_outputs(self) -> int:
        """K."""
        return self.data.num_classes

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy () of logits (B, K)."""
        return F.cross_entropy(outputs, batch["labels"])

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the cross-entropy (B,) of logits (B, K)."""
        return F.cross_entropy(outputs, batch["labels"], reduction="none")

    def measure(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return whether the largest of the logits (B, K) is right, and also by class if classes are uneven."""
        labels = batch["labels"]
        right = outputs.argmax(dim=-1) == labels
        if not self.uneven:
            return {"accuracy": right}
        members = labels.unsqueeze(-1) == torch.arange(self.num_outputs, device=labels.device)
        return {"accuracy": right, "found": members & right.unsqueeze(-1), "members": members}

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Return accuracy and, if classes are uneven, its mean over the classes that occur."""
        scores = {"accuracy": float(sums["accuracy"] / sums["count"])}
        if self.uneven:
            there = sums["members"] > 0
            scores["balanced_accuracy"] = float((sums["found"][there] / sums["members"][there]).mean())
        return scores

    @property
    def chance(self) -> dict[str, float]:
        """Scores of always predicting the largest class; empty for even classes (1 / K, from `num_classes`)."""
        if not self.uneven:
            return {}
        data = self.data
        judged = data.strata[data.num_pool :] if data.num_test else data.strata
        share = float((judged == self._largest).double().mean())
        return {"accuracy": share, "balanced_accuracy": 1 / data.num_classes}
