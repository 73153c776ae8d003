"""Loss, mean IoU and pixel accuracy of masks, against scikit-learn's confusion matrix and sums over single pixels."""

import pytest
import torch
from made_up_pictures import rectangles
from sklearn.metrics import confusion_matrix
from torch import Tensor

from normbench.data.moved import IGNORED
from normbench.data.pictures import Pictures
from normbench.errors import ImpossibleRunError
from normbench.shapes import PixelShape
from normbench.tasks import Detection, Segmentation
from normbench.tasks.segmentation import confusion_scores

DATA = rectangles(masks=True)


def outputs_of(count: int = 8, classes: int = 3) -> Tensor:
    return torch.randn(count, classes, 16, 16, generator=torch.Generator().manual_seed(1))


def by_scikit_learn(given: Tensor, masks: Tensor, classes: int) -> tuple[float, float]:
    """Return mean IoU over the classes that occur or are given, and pixel accuracy."""
    counts = masks != IGNORED
    matrix = confusion_matrix(masks[counts], given[counts], labels=range(classes))
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    shares = [matrix[one, one] / union[one] for one in range(classes) if union[one]]
    return sum(shares) / len(shares), matrix.trace() / matrix.sum()


@pytest.mark.parametrize(
    "absent", [(), (1,), (0, 2)], ids=["all classes", "a class that nothing has or is given", "one class alone"]
)
def test_scores_are_those_of_the_confusion_matrix(absent: tuple[int, ...]) -> None:
    """Summed over images, with ignored pixels; a class that is nowhere is left out of the mean."""
    batch, outputs = DATA.fetch(torch.arange(30)), outputs_of(30)
    masks = batch["masks"]
    for gone in absent:
        masks[masks == gone] = IGNORED
        outputs[:, gone] = -100
    assert (masks == IGNORED).any()
    task = Segmentation(DATA)
    sums = {name: rows.double().sum(0) for name, rows in task.measure(outputs, {"masks": masks}).items()}
    miou, accuracy = by_scikit_learn(outputs.argmax(1), masks, 3)
    assert task.scores(sums) == pytest.approx({"miou": miou, "pixel_accuracy": accuracy})


def test_a_part_without_a_pixel_that_counts_has_a_loss_and_scores() -> None:
    """Both are 0, not nan: a crop may ignore all of an image."""
    task, batch = Segmentation(DATA), {"masks": torch.full((2, 16, 16), IGNORED)}
    sums = {name: rows.double().sum(0) for name, rows in task.measure(outputs_of(2), batch).items()}
    assert float(task.loss(outputs_of(2), batch)) == 0
    assert task.mean_loss({**sums, "loss": torch.tensor(0.0)}) == 0
    assert task.scores(sums) == {"miou": 0, "pixel_accuracy": 0}


def test_the_loss_is_a_weighted_mean_over_pixels() -> None:
    """Of a batch and of a whole part alike; ignored pixels are left out."""
    task, batch, outputs = Segmentation(DATA, background_weight=0.3), DATA.fetch(torch.arange(8)), outputs_of()
    total = weights = 0.0
    for logits, classes in zip(outputs.movedim(1, -1).flatten(0, 2), batch["masks"].flatten().tolist(), strict=True):
        if classes != IGNORED:
            weight = 1.0 if classes else 0.3
            total -= weight * float(logits.log_softmax(0)[classes])
            weights += weight
    assert float(task.loss(outputs, batch)) == pytest.approx(total / weights)
    sums = {name: rows.double().sum(0) for name, rows in task.measure(outputs, batch).items()}
    assert task.mean_loss({**sums, "loss": task.losses(outputs, batch).sum()}) == pytest.approx(total / weights)


def test_chance_is_the_most_frequent_class_everywhere() -> None:
    """Which class that is comes from the training part, its score from the test part."""
    masks = DATA.fields["masks"][-DATA.num_test :]
    miou, accuracy = by_scikit_learn(torch.zeros_like(masks), masks, 3)
    assert Segmentation(DATA).chance == pytest.approx({"miou": miou, "pixel_accuracy": accuracy})


def test_models_are_told_the_images() -> None:
    """And have an output for each class and pixel."""
    task = Segmentation(DATA)
    assert task.input_shape == PixelShape(1, 16, 16)
    assert task.num_outputs == 3
    assert task.blank_outputs(2).shape == (2, 3, 16, 16)


def test_data_without_masks_or_with_one_class_are_refused() -> None:
    """In words of the data."""
    with pytest.raises(ImpossibleRunError, match="the task needs masks, and data=rectangles has images, boxes"):
        Segmentation(rectangles())
    single = type(DATA)("plain", DATA.fields, class_names=("background",))
    with pytest.raises(ImpossibleRunError, match="needs two classes of pixels or more, and data=plain has 1"):
        Segmentation(single)


def test_a_perfect_net_has_full_scores() -> None:
    """Whatever the classes' shares."""
    assert confusion_scores(torch.diag(Tensor([90, 9, 1]))) == {"miou": 1.0, "pixel_accuracy": 1.0}


def test_the_records_name_the_classes_of_the_task() -> None:
    """Of pictures with boxes and masks, segmentation has the background as a class, too."""
    boxes, masks = torch.zeros(4, 1, 4), torch.arange(4).view(4, 1, 1).expand(4, 8, 8).byte()
    nowhere, unmarked = torch.full((4, 1), -1), torch.zeros(4, 1, dtype=torch.bool)
    names = ("one", "two", "three")
    both = Pictures(
        *("both", torch.zeros(4, 1, 8, 8), 0, "", boxes, nowhere, unmarked, masks),
        class_names=names,
        mask_names=("background", *names),
    )
    assert (Segmentation(both).num_classes, Detection(both).num_classes) == (4, 3)
