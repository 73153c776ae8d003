"""Segmentation: the class of each pixel of an image."""

from collections.abc import Mapping
from functools import lru_cache
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.data.examples import Batch, Examples
from normbench.data.moved import IGNORED
from normbench.errors import ImpossibleRunError
from normbench.shapes import PixelShape
from normbench.tasks.drawing import enlarged, visible, with_classes
from normbench.tasks.task import Drawn, Task, trained_and_judged

_AT_ONCE = 256


@final
class Segmentation(Task):
    """Images with a class for each pixel: weighted cross-entropy in nats, mean IoU and pixel accuracy.

    The intersection over union of a class is the number of pixels that have it and are given it, divided by those that
    have it or are given it, over all images of a part. Mean IoU is the mean over the classes that any pixel has or is
    given: a class that is absent from both is left out, not counted as 0 or 1. Chance level is that of giving every
    pixel the most frequent class.

    Args:
        data: With `images` (N, C, H, W) and `masks` (N, H, W), classes of pixels, 255 for those that do not count.
        background_weight: Weight of the pixels of class 0 in the loss; others have 1. Most pixels are background, and
            with equal weights a net may give this class to all of them.

    Shape:
        Outputs are logits (B, K, H, W).

    Raises:
        ImpossibleRunError: If the data set lacks a field or has fewer than two classes.
    """

    inputs = ("images",)
    targets = ("masks",)
    metrics = ("miou", "pixel_accuracy")
    alone = "task=segmentation: convolutions on maps take the time, so runs gain nothing from training together"
    draws = "The class of each pixel as a colour; background has none."

    def __init__(self, data: Examples, *, background_weight: float = 0.1) -> None:
        super().__init__(data)
        # A set with boxes too has other names for their classes.
        self.classes = len(getattr(data, "mask_names", data.class_names))
        self.background_weight = background_weight
        if self.classes < 2:
            raise ImpossibleRunError(
                f"segmentation needs two classes of pixels or more, and data={data.name} has {self.classes}."
            )

    @property
    def input_shape(self) -> PixelShape:
        """The shape of the images."""
        channels, height, width = self.data.input_shape
        return PixelShape(channels, height, width)

    @property
    def num_outputs(self) -> int:
        """K."""
        return self.classes

    @property
    def num_classes(self) -> int:
        """K, the background among them; boxes may have other classes."""
        return self.classes

    def blank_outputs(self, count: int) -> Tensor:
        """Return zeros (count, K, H, W)."""
        _, height, width = self.input_shape
        return torch.zeros(1).expand(count, self.classes, height, width)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the weighted mean cross-entropy () of logits (B, K, H, W) over the pixels that count."""
        # Without any such pixel it is 0.
        return self.losses(outputs, batch).sum() / self._weights(batch).sum().clamp(min=1e-6)

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the weighted sum of the cross-entropy of each image's pixels, (B,)."""
        nats = F.cross_entropy(outputs, batch["masks"], ignore_index=IGNORED, reduction="none")
        return (self._weights(batch) * nats).sum((1, 2))

    def mean_loss(self, sums: Mapping[str, Tensor]) -> float:
        """Return the weighted mean over pixels."""
        pixels = sums["confusion"].sum(1)
        weight = self.background_weight * pixels[0] + pixels[1:].sum()
        return float(sums["loss"] / weight.clamp(min=1e-6))

    def measure(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the confusion matrix of each image, (B, K, K): pixels by the class that they have and are given."""
        given, masks, cells = outputs.argmax(dim=1), batch["masks"], self.classes**2
        cell = torch.where(masks == IGNORED, cells, masks * self.classes + given).flatten(1)
        counts = torch.zeros(len(cell), cells + 1, dtype=torch.int64, device=cell.device)
        counts = counts.scatter_add(1, cell, torch.ones_like(cell))
        return {"confusion": counts[:, :-1].reshape(-1, self.classes, self.classes)}

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Return mean IoU and pixel accuracy; 0 if no pixel counts."""
        return confusion_scores(sums["confusion"])

    @torch.no_grad()
    def drawn(self, model: nn.Module, batch: Batch) -> list[Drawn]:
        """Return images, the same with the classes that their pixels have, and with those that they are given."""
        given = self.call(model, batch).argmax(dim=1)
        rows = zip(visible(self.data, batch["images"]), batch["masks"], given, strict=True)
        return [
            Drawn(image, *(with_classes(image, enlarged(classes), self.classes) for classes in (wanted, made)))
            for image, wanted, made in rows
        ]

    @property
    def chance(self) -> dict[str, float]:
        """The scores of giving every pixel the most frequent class."""
        pixels = _pixels_of_classes(self.data, self.classes)
        trained, judged = trained_and_judged(self.data)
        confusion = torch.zeros(self.classes, self.classes)
        confusion[:, pixels[trained].sum(0).argmax()] = pixels[judged].sum(0).float()
        return confusion_scores(confusion)

    def _weights(self, batch: Batch) -> Tensor:
        masks = batch["masks"]
        return torch.where(masks == 0, self.background_weight, 1.0) * (masks != IGNORED)


def confusion_scores(confusion: Tensor) -> dict[str, float]:
    """Return mean IoU and pixel accuracy of a confusion matrix, (K, K): true classes by given ones."""
    right, union = confusion.diagonal(), confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
    there = union > 0
    if not there.any():
        return {"miou": 0.0, "pixel_accuracy": 0.0}
    return {
        "miou": float((right[there] / union[there]).mean()),
        "pixel_accuracy": float(right.sum() / confusion.sum()),
    }


@lru_cache(maxsize=8)
def _pixels_of_classes(data: Examples, classes: int) -> Tensor:
    """Return how many pixels of each sample have each class, (N, K)."""
    device = next(iter(data.blank(1).values())).device
    found = []
    for index in torch.split(torch.arange(len(data), device=device), _AT_ONCE):
        masks = data.fetch(index)["masks"].cpu()
        found += [torch.bincount(mask.flatten(), minlength=IGNORED + 1)[:classes] for mask in masks]
    return torch.stack(found)
