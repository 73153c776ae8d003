"""Detection: boxes around objects, and their classes."""

from collections.abc import Mapping
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.data.examples import Batch, Examples
from normbench.errors import ImpossibleRunError
from normbench.shapes import BoxShape
from normbench.tasks.average_precision import average_precision
from normbench.tasks.boxes import MOST, assign, detections, encode
from normbench.tasks.drawing import scale, visible, with_boxes
from normbench.tasks.task import Drawn, Task

SHOWN = 0.3
"""Score from which a detection is drawn; of those that overlap by half, whatever their classes, only the surest."""

_PLACES = 3 / 16
"""Anchors for each pixel that memory is planned for: three on a map of a quarter of the height and width."""


@final
class Detection(Task):
    """Images with boxes around objects: focal loss and smooth L1, and mean average precision.

    Each image's loss is the focal loss (Lin et al. 2017) of the classes of all anchors, plus the smooth L1 loss of the
    deltas of those that are to find a box, both divided by the number of the latter. Mean average precision is
    pycocotools' (`average_precision`), of at most 100 detections an image after non-maximum suppression. Chance level
    is 0.

    Args:
        data: With `images` (N, C, H, W), `boxes` (N, M, 4), x1 y1 x2 y2 in pixels, `box_labels` (N, M), -1 where there
            is no box, and `box_ignored` (N, M), boxes that are neither to be found nor wrong if found.

    Shape:
        Outputs are (B, A, 4 + 4 + K): for each of the A anchors that the model chooses its own box, the deltas from it
        to the box found, and the logits of the classes.

    Raises:
        ImpossibleRunError: If the data set lacks a field or has no classes.
    """

    inputs = ("images",)
    targets = ("boxes", "box_labels", "box_ignored")
    metrics = ("map50", "map")
    alone = "task=detection: convolutions on maps take the time, so runs gain nothing from training together"
    free = (1,)
    draws = (
        f"Boxes and their classes. Of the detections those with a score of {SHOWN:g} or more are drawn, and of those "
        "that overlap by half only the surest; the number is its score."
    )

    def __init__(self, data: Examples) -> None:
        super().__init__(data)
        self.classes = len(data.class_names)
        if not self.classes:
            raise ImpossibleRunError(f"detection needs classes of boxes, and data={data.name} has none.")
        if not data.blank(1)["boxes"].shape[1]:
            raise ImpossibleRunError(f"detection needs boxes, and no picture of data={data.name} has one.")

    @property
    def input_shape(self) -> BoxShape:
        """The shape of the images, and the most boxes of one."""
        channels, height, width = self.data.input_shape
        return BoxShape(channels, height, width, self.data.blank(1)["boxes"].shape[1])

    @property
    def num_outputs(self) -> int:
        """K."""
        return self.classes

    def blank_outputs(self, count: int) -> Tensor:
        """Return zeros (count, A, 8 + K), with a usual number of anchors A."""
        _, height, width, _ = self.input_shape
        return torch.zeros(1).expand(count, max(1, round(height * width * _PLACES)), 8 + self.classes)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss () of the images of a batch."""
        return self.losses(outputs, batch).mean()

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the loss of each image, (B,)."""
        from torchvision.ops import sigmoid_focal_loss

        anchors, deltas, logits = torch.split(outputs, [4, 4, self.classes], dim=-1)
        anchors = anchors.detach()
        labels, counts, boxes = assign(anchors, *(batch[field] for field in self.targets))
        finds = labels >= 0
        wanted = (labels.unsqueeze(-1) == torch.arange(self.classes, device=labels.device)).to(logits.dtype)
        focal = torch.where(counts, sigmoid_focal_loss(logits, wanted).sum(-1), 0).sum(-1)
        distances = F.smooth_l1_loss(deltas, encode(anchors, boxes), reduction="none").sum(-1)
        return (focal + torch.where(finds, distances, 0).sum(-1)) / finds.sum(-1).clamp(min=1)

    def measure(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return nothing: average precision is no function of sums."""
        return {}

    @torch.no_grad()
    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the detections in each image, (B, 100, 6), and its boxes, (B, M, 6); see `average_precision`."""
        _, height, width, _ = self.input_shape
        found = torch.stack([detections(image, height, width) for image in outputs.flatten(0, -3)])
        marks = (batch[field].unsqueeze(-1).to(outputs.dtype) for field in ("box_labels", "box_ignored"))
        truth = torch.cat((batch["boxes"], *marks), dim=-1)
        return {"found": found.reshape(*outputs.shape[:-2], *found.shape[1:]), "truth": truth}

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Return mean average precision, of evaluations only."""
        if "found" not in sums:
            return {}
        return average_precision(sums["found"], sums["truth"], self.classes, MOST)

    @torch.no_grad()
    def drawn(self, model: nn.Module, batch: Batch) -> list[Drawn]:
        """Return images with their boxes, and with the detections."""
        from torchvision.ops import nms

        found = self.predictions(self.call(model, batch), batch)["found"]
        factor, names = scale(batch["images"]), self.data.class_names
        drawn = []
        for place, image in enumerate(visible(self.data, batch["images"])):
            there = batch["box_labels"][place] >= 0
            own = [names[label] for label in batch["box_labels"][place][there].tolist()]
            sure = found[place][found[place, :, 4] >= SHOWN]
            sure = sure[nms(sure[:, :4], sure[:, 4], 0.5)]
            said = [f"{names[int(label)]} {score:.2f}" for score, label in sure[:, 4:].tolist()]
            wanted = with_boxes(image, batch["boxes"][place][there] * factor, own, "lime")
            drawn.append(Drawn(image, wanted, with_boxes(image, sure[:, :4] * factor, said, "orange")))
        return drawn

    @property
    def chance(self) -> dict[str, float]:
        """Nothing is found by chance."""
        return dict.fromkeys(self.metrics, 0.0)
