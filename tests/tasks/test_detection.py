"""The loss of detectors against torchvision's RetinaNet, and what the task says of itself."""

import pytest
import torch
from made_up_pictures import MOST, rectangles
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from normbench.errors import ImpossibleRunError
from normbench.models.dense.ssd import square_anchors
from normbench.shapes import BoxShape
from normbench.tasks import Detection
from normbench.tasks.boxes import assign, encode

DATA = rectangles()
ANCHORS = square_anchors(4, 4, [4.0, 6.0, 8.0])


def outputs_of(count: int) -> Tensor:
    made = torch.randn(count, len(ANCHORS), 10, generator=torch.Generator().manual_seed(0))
    made[..., :4] = ANCHORS
    return made


def test_the_loss_is_focal_loss_and_distances_over_the_anchors_that_find() -> None:
    """Image by image, in a loop; images without a box divide by 1."""
    batch, outputs = DATA.fetch(torch.arange(12)), outputs_of(12)
    task = Detection(DATA)
    losses = []
    for picture, own in enumerate(outputs):
        labels, counts, boxes = (
            field[0]
            for field in assign(
                ANCHORS[None], *(batch[name][picture : picture + 1] for name in ("boxes", "box_labels", "box_ignored"))
            )
        )
        finds = labels >= 0
        wanted = torch.zeros(len(ANCHORS), 2)
        wanted[finds, labels[finds]] = 1
        focal = sigmoid_focal_loss(own[counts, 8:], wanted[counts], reduction="sum")
        distances = torch.nn.functional.smooth_l1_loss(
            own[finds, 4:8], encode(ANCHORS[finds], boxes[finds]), reduction="sum"
        )
        losses.append(float((focal + distances) / max(1, int(finds.sum()))))
    assert task.losses(outputs, batch).tolist() == pytest.approx(losses)
    assert float(task.loss(outputs, batch)) == pytest.approx(sum(losses) / 12)


def test_right_boxes_have_a_small_loss_and_full_scores() -> None:
    """Anchors at the boxes themselves, sure of their classes."""
    data = rectangles(seed=3)
    task = Detection(data)
    batch = data.fetch(torch.arange(len(data)))
    batch["box_ignored"] = torch.zeros_like(batch["box_ignored"])
    # Two boxes on each other would be told apart by their order alone.
    batch["box_labels"][:, 1:] = -1
    there = (batch["box_labels"] >= 0).unsqueeze(-1)
    logits = torch.where(torch.nn.functional.one_hot(batch["box_labels"].clamp(min=0), 2) * there > 0, 9.0, -9.0)
    outputs = torch.cat((batch["boxes"], torch.zeros_like(batch["boxes"]), logits), dim=-1)
    outputs[..., 2:4][~there.expand(-1, -1, 2)] = 1
    assert float(task.loss(outputs, batch)) < 1e-3
    kept = task.predictions(outputs, batch)
    assert task.scores(kept) == pytest.approx({"map50": 1.0, "map": 1.0})


def test_predictions_of_stacked_runs_are_those_of_each() -> None:
    """Rows of R runs come with R in front."""
    task, outputs = Detection(DATA), outputs_of(6)
    batches = [DATA.fetch(torch.arange(3)), DATA.fetch(torch.arange(3, 6))]
    stacked = {name: torch.stack([one[name] for one in batches]) for name in batches[0]}
    together = task.predictions(outputs.reshape(2, 3, *outputs.shape[1:]), stacked)
    for run, batch in enumerate(batches):
        for name, rows in task.predictions(outputs[3 * run : 3 * run + 3], batch).items():
            assert torch.equal(together[name][run], rows)


def test_models_are_told_the_images_and_the_most_boxes() -> None:
    """How many anchors they look at is theirs."""
    task = Detection(DATA)
    assert task.input_shape == BoxShape(1, 16, 16, MOST)
    assert task.num_outputs == 2
    assert task.blank_outputs(2).shape == (2, 48, 10)
    assert task.free == (1,)
    assert task.scores({}) == {} and task.chance == {"map50": 0, "map": 0}


def test_data_without_boxes_are_refused() -> None:
    """In words of the data."""
    with pytest.raises(ImpossibleRunError, match="the task needs boxes and box_labels and box_ignored, and data=rect"):
        Detection(rectangles(masks=True))
    with pytest.raises(ImpossibleRunError, match="detection needs classes of boxes, and data=plain has none"):
        Detection(type(DATA)("plain", DATA.fields))
    none = {name: values[:, :0] if name.startswith("box") else values for name, values in DATA.fields.items()}
    with pytest.raises(ImpossibleRunError, match="detection needs boxes, and no picture of data=empty has one"):
        Detection(type(DATA)("empty", none, class_names=("one",)))
