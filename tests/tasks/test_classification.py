"""Classification's metrics against scikit-learn's, and what no skill gets."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from torch import Tensor

from normbench.data import Dataset, Fields, load
from normbench.errors import ImpossibleRunError
from normbench.tasks import Classification


def pictures(counts: list[int], num_test: int = 0) -> Dataset:
    """Return as many images of each class as `counts` says, in the order of the classes."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    images = torch.rand(len(labels), 1, 2, 2, generator=torch.Generator().manual_seed(0))
    return Dataset("pictures", images, labels, num_test, tuple(map(str, range(len(counts)))), "0" * 64)


def scored(task: Classification, logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the metrics of all samples, added up in two parts."""
    parts = [task.measure(logits[part], {"labels": labels[part]}) for part in (slice(0, 7), slice(7, None))]
    sums = {name: sum((part[name].double().sum(0) for part in parts), torch.zeros(())) for name in parts[0]}
    return task.scores({**sums, "count": torch.tensor(len(labels))})


@pytest.mark.parametrize("counts", [[20, 20, 20], [40, 12, 8], [55, 5, 0]], ids=["even", "uneven", "a class missing"])
def test_metrics_are_those_of_scikit_learn(counts: list[int]) -> None:
    """Balanced accuracy comes with uneven classes, and is the mean recall of the classes that are there."""
    data = pictures(counts)
    task = Classification(data)
    logits = torch.randn(len(data), 3, generator=torch.Generator().manual_seed(1))
    # Scikit-learn warns of answers that are no class of the data.
    logits[:, torch.tensor(counts) == 0] = -9
    found = scored(task, logits, data.labels)
    answers = logits.argmax(1)
    assert found.pop("accuracy") == pytest.approx(accuracy_score(data.labels, answers))
    balanced = {} if len(set(counts)) == 1 else {"balanced_accuracy": balanced_accuracy_score(data.labels, answers)}
    assert found == pytest.approx(balanced)
    assert task.metrics == ("accuracy", *balanced)


@pytest.mark.parametrize(("counts", "uneven"), [([30, 20], True), ([29, 20], False)], ids=["1.5 times", "less"])
def test_uneven_means_half_as_many_again(counts: list[int], uneven: bool) -> None:
    """The largest class has at least 1.5 times the samples of the smallest."""
    assert Classification(pictures(counts)).uneven is uneven


def test_the_largest_class_is_the_baseline() -> None:
    """Its share of the test part where the set has its own, else of all; even classes need no such column."""
    assert Classification(pictures([40, 12, 8])).chance == pytest.approx(
        {"accuracy": 40 / 60, "balanced_accuracy": 1 / 3}
    )
    # The last 20 are the set's own test part: all of the third class but none of the first.
    assert Classification(pictures([40, 12, 20], num_test=20)).chance["accuracy"] == 0
    assert Classification(load("digits", {})).chance == {}


def test_losses_are_those_of_each_sample() -> None:
    """Their mean is the loss of the batch."""
    task, logits, labels = Classification(load("digits", {})), torch.randn(6, 10), torch.arange(6)
    assert torch.equal(task.losses(logits, {"labels": labels}), F.cross_entropy(logits, labels, reduction="none"))
    assert torch.equal(task.loss(logits, {"labels": labels}), F.cross_entropy(logits, labels))


def test_measures_go_under_vmap() -> None:
    """For runs that train together each has its own counts."""
    task = Classification(pictures([40, 12, 8]))
    logits, labels = torch.randn(2, 60, 3), torch.stack([task.data.strata, task.data.strata.flip(0)])
    together = torch.vmap(task.measure)(logits, {"labels": labels})
    for run in range(2):
        alone = task.measure(logits[run], {"labels": labels[run]})
        assert all(torch.equal(together[name][run], alone[name]) for name in alone)
    assert task.sums == {"accuracy": (), "found": (3,), "members": (3,)}


def test_data_without_its_fields_are_refused() -> None:
    """The message names what the task needs and what there is."""
    with pytest.raises(ImpossibleRunError, match=r"needs images and labels, and data=waves has x;"):
        Classification(Fields("waves", {"x": torch.rand(9, 2)}))


def test_images_without_classes_are_refused() -> None:
    """Two fields of the right names are not enough."""
    fields = {"images": torch.rand(9, 1, 2, 2), "labels": torch.zeros(9, dtype=torch.int64)}
    with pytest.raises(ImpossibleRunError, match="needs classes, and data=plain has none"):
        Classification(Fields("plain", fields))
