"""Data sets of named tensors."""

from typing import Any

import pytest
import torch

from normbench.data import Fields, limit, load, split
from normbench.data.fields import fields_hash
from normbench.data.vocabulary import Vocabulary
from normbench.errors import DataError


def waves(count: int = 40, **changes: Any) -> Fields:
    """Return numbers with a number to predict, and a class that is the parity of the sample."""
    fields = {"x": torch.arange(3.0 * count).view(count, 3), "y": torch.arange(count), "kind": torch.arange(count) % 2}
    return Fields("waves", fields, **{"class_names": ("even", "odd"), "label": "kind", **changes})


def test_a_batch_holds_the_samples_asked_for() -> None:
    """In any shape of index, and without the classes, which a run's split holds."""
    data = waves()
    batch = data.fetch(torch.tensor([[3, 1], [0, 2]]))
    assert set(batch) == {"x", "y"}
    assert batch["y"].tolist() == [[3, 1], [0, 2]]
    assert batch["x"].shape == (2, 2, 3)
    assert (len(data), data.input_shape, data.values, data.num_pool) == (40, (3,), 3, 40)


def test_a_split_brings_the_classes_with_it() -> None:
    """Stratified, with label noise on the training part alone."""
    data = waves()
    parts = split(data, seed=0, val_fraction=0.2, test_fraction=0.2, label_noise=0.5)
    assert (parts.fields["kind"][parts.val] == data.fields["kind"][parts.val]).all()
    assert torch.bincount(data.fields["kind"][parts.test]).tolist() == [4, 4]
    assert (parts.fields["kind"] != data.fields["kind"]).sum() == 12
    batch = parts.batch(data, parts.train[:4])
    assert torch.equal(batch["kind"], parts.fields["kind"][parts.train[:4]])


def test_samples_without_classes_are_split_too() -> None:
    """By count alone; label noise is refused."""
    data = waves(label=None, class_names=())
    parts = split(data, seed=0, val_fraction=0.25, test_fraction=0.25)
    assert [len(part) for part in (parts.train, parts.val, parts.test)] == [20, 10, 10]
    assert parts.fields == {}
    assert set(parts.batch(data, parts.val)) == {"x", "y", "kind"}
    with pytest.raises(DataError, match=r"data\.label_noise: data set 'waves' has no classes, got 0.1, expected 0"):
        split(data, seed=0, val_fraction=0.2, label_noise=0.1)


def test_groups_stay_together() -> None:
    """The field that names them is no input, and moves, shrinks and counts in the hash as the others do."""
    fields = {**waves().fields, "writer": torch.arange(40) // 4}
    data = Fields("waves", fields, class_names=("even", "odd"), label="kind", group="writer")
    assert set(data.fetch(torch.arange(2))) == {"x", "y"}
    parts = split(data, seed=0, val_fraction=0.1, test_fraction=0.2)
    assert data.groups is not None
    assert [len(set(data.groups[part].tolist())) for part in (parts.train, parts.val, parts.test)] == [7, 1, 2]
    cut = limit(data, 10)
    assert cut.groups is not None
    assert torch.equal(cut.groups, cut.fields["y"] // 4)


def test_limit_keeps_the_proportions() -> None:
    """As for images."""
    cut = limit(waves(), 10)
    assert torch.bincount(cut.fields["kind"]).tolist() == [5, 5]
    assert cut.content == waves().content


def test_the_hash_holds_names_values_and_types() -> None:
    """And does not depend on the order of the fields."""
    x, y = torch.arange(4.0), torch.arange(4)
    hashes = [
        fields_hash(fields, num_test)
        for fields, num_test in (({"x": x, "y": y}, 0), ({"x": y, "y": x}, 0), ({"x": x, "y": y + 1}, 0), ({"x": x}, 1))
    ]
    assert len(set(hashes)) == 4
    assert fields_hash({"y": y, "x": x}, 0) == hashes[0] == Fields("a", {"x": x, "y": y}).content


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "lengths": ({"fields": {"x": torch.rand(3), "y": torch.rand(2)}}, r"equal length, got {'x': 3, 'y': 2}"),
    "test samples": ({"num_test": 40}, "num_test is 40, expected 0 or more, below 40"),
    "classes": ({"class_names": ("all",)}, r"field 'kind' must be int64 in 0\.\.0, got torch.int64 in 0\.\.1"),
    "nan": ({"fields": {"x": torch.tensor([0.0, float("nan")])}, "label": None}, "field 'x' has values that are nan"),
    "shift": ({"test_shift": "noise"}, r"data\.test_shift=noise works on images only"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_wrong_fields_are_refused(changes: dict[str, Any], message: str) -> None:
    """The message says what was got."""
    values = {"fields": waves().fields, "class_names": ("even", "odd"), "label": "kind", **changes}
    with pytest.raises(DataError, match=message):
        Fields("waves", **values)


def test_image_keys_are_refused() -> None:
    """There is nothing to scale or to crop."""
    with pytest.raises(DataError, match=r"data\.size: data set 'mine' has no images, got 4, expected null"):
        load("mine", {"size": 4}, waves)
    with pytest.raises(
        DataError, match=r"data\.augment: data set 'waves' has no augmentation, got crop, expected none"
    ):
        waves().check_augmentation("crop")


def test_vocabularies_count_in_the_hash() -> None:
    """Without any, the hash is what it was before there were vocabularies."""
    data = waves()
    assert data.content == "53c16558b2227e26ca9de4551cde2e223739066277037965b6e2c4bf421aaa1f"
    spoken = waves(vocabularies={"y": Vocabulary(("<pad>", "<unk>", "a"), "character")})
    other = waves(vocabularies={"y": Vocabulary(("<pad>", "<unk>", "b"), "character")})
    assert len({data.content, spoken.content, other.content}) == 3


def test_vocabularies_stay_with_their_set() -> None:
    """However it is cut."""
    data = waves(vocabularies={"y": Vocabulary(("<pad>", "<unk>", "a"), "character")})
    assert limit(data, 10).vocabularies == data.vocabularies
    assert data.select(torch.arange(5), num_val=0, num_test=0).vocabularies == data.vocabularies
