import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from normbench.data import Dataset, dataset
from normbench.errors import DataError


def make(images: Tensor, num_test: int = 0, num_classes: int = 2) -> Dataset:
    labels = torch.arange(len(images)) % num_classes
    return Dataset("made", images, labels, num_test, tuple("abcdefghij"[:num_classes]), "0" * 64)


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (50, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=["uint8", "float32"])
def test_moments_are_those_of_each_channel(images: Tensor, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean and biased standard deviation a channel equal NumPy's over the whole set, however it is cut into chunks."""
    monkeypatch.setattr("normbench.data.images.CHUNK_VALUES", 7 * images[0].numel())
    made = make(images.to(dtype))
    values = images.numpy().astype(np.float64)
    np.testing.assert_allclose(made.mean.numpy(), values.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(made.std.numpy(), values.std(axis=(0, 2, 3)), rtol=1e-6)


def test_moments_leave_out_the_own_test_part(images: Tensor) -> None:
    """Images of the set's own test part do not influence how the others are standardised."""
    changed = images.clone()
    changed[40:] = 255
    assert torch.equal(make(images, num_test=10).mean, make(changed, num_test=10).mean)
    assert not torch.equal(make(images).mean, make(changed).mean)


def test_a_constant_channel_becomes_zero() -> None:
    """A channel without variance is divided by the least deviation, not by zero."""
    batch = make(torch.full((4, 1, 2, 2), 9, dtype=torch.uint8)).batch(torch.arange(4))
    assert torch.equal(batch, torch.zeros(4, 1, 2, 2))


def test_batch_is_standardised(images: Tensor) -> None:
    """All images together have mean 0 and standard deviation 1 a channel."""
    batch = make(images).batch(torch.arange(50))
    assert batch.dtype == torch.float32
    torch.testing.assert_close(batch.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.std(dim=(0, 2, 3), correction=0), torch.ones(3))


def test_large_sets_give_the_same_batches(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set too large to be kept as float32 is standardised batch by batch, bit for bit as a small one."""
    index = torch.tensor([[3, 49, 3], [0, 7, 8]])
    small = make(images).batch(index)
    monkeypatch.setattr("normbench.data.images.CACHED_BYTES", 0)
    large = make(images)
    assert torch.equal(large.batch(index), small)
    assert large._standardised is None
    assert small.shape == (2, 3, 3, 4, 5)
    by_hand = (images[49].float() - large.mean.view(3, 1, 1)) / large.std.view(3, 1, 1)
    assert torch.equal(small[0, 1], by_hand)


def test_to_returns_the_set_itself_where_nothing_moves(images: Tensor) -> None:
    """Asking for the device that a set is on copies nothing; elsewhere it has the same batches."""
    made = make(images, num_test=10)
    assert made.to("cpu") is made
    moved = made.to("cpu:0")  # torch counts this as another place, so that no accelerator is needed here
    assert moved is not made
    assert moved.num_test == 10
    assert torch.equal(moved.batch(torch.arange(50)), made.batch(torch.arange(50)))


def test_shapes(images: Tensor) -> None:
    """A set knows the shape of an image, its classes and the size of what is not test."""
    made = make(images, num_test=10, num_classes=3)
    assert (made.input_shape, made.num_classes, made.num_pool) == ((3, 4, 5), 3, 40)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(50, 4, 5)}, r"images must be \(N, C, H, W\)"),
        ({"images": torch.zeros(50, 3, 4, 5, dtype=torch.float64)}, "uint8 or float32, got .* torch.float64"),
        ({"labels": torch.zeros(49, dtype=torch.int64)}, r"labels must be \(50,\)"),
        ({"labels": torch.zeros(50)}, "int64"),
        ({"labels": torch.full((50,), 2)}, r"labels must be in 0\.\.1 .* got 2\.\.2"),
        ({"num_test": 50}, "num_test is 50, expected 0 or more, below 50"),
        ({"num_test": 10, "num_val": 40}, "num_val is 40, expected 0 or more, below 40"),
        ({"images": torch.zeros(50, 3, 4, 5, dtype=torch.uint16)}, r"in torch\.uint16; images\.float\(\) converts"),
        ({"images": np.zeros((50, 3, 4, 5), np.uint8)}, r"got ndarray; torch\.as_tensor\(images\) converts them"),
        ({"labels": [0, 1]}, r"labels of a data set must be a torch\.Tensor, got list; torch\.as_tensor\(labels\)"),
        ({"labels": torch.zeros(50, dtype=torch.int32)}, r"in torch\.int32; labels\.long\(\)"),
        ({"groups": torch.zeros(49, dtype=torch.int64)}, r"groups must be \(50,\) in int64, got \(49,\)"),
        ({"groups": [0, 1]}, r"groups of a data set must be a torch\.Tensor, got list"),
    ],
    ids=[
        *("images_3d", "images_float64", "labels_too_few", "labels_float", "label_too_large", "all_test", "all_val"),
        *("images_uint16", "images_numpy", "labels_list", "labels_int32"),
        *("groups_too_few", "groups_list"),
    ],
)
def test_unfit_tensors_are_refused(images: Tensor, change: dict[str, object], message: str) -> None:
    """A user's loader that returns unfit tensors is told what is wrong with them."""
    made = make(images)
    with pytest.raises(DataError, match=message):
        dataclasses.replace(made, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.uint8, "362211fb56bb297032a443c8a92ad34c58558df8ffbcb57b35ef546e76b5ffa1"),
        (torch.float32, "fddc47190e8f611448f42275fb5d3b662c6ab17e16d287c442a77fd6559828bf"),
    ],
    ids=["uint8", "float32"],
)
def test_content_hash_is_fixed(dtype: torch.dtype, expected: str) -> None:
    """The hash is part of run ids: it must never change for the same tensors."""
    images = torch.arange(8).view(2, 1, 2, 2).to(dtype)
    assert dataset.content_hash(images, torch.tensor([0, 1]), 0) == expected


@pytest.mark.parametrize("what", ["images", "labels", "num_test", "num_val", "shape", "groups", "other groups"])
def test_content_hash_sees_every_part(what: str) -> None:
    """Other pixels, labels, shapes or another test part are other data."""
    images = torch.arange(8, dtype=torch.uint8).view(2, 1, 2, 2)
    labels, num_test, num_val = torch.tensor([0, 1]), 0, 0
    groups = torch.tensor([0, 1]) if what == "other groups" else None
    before = dataset.content_hash(images, labels, num_test, groups=groups)
    match what:
        case "images":
            images = images + 1
        case "labels":
            labels = 1 - labels
        case "num_test":
            num_test = 1
        case "num_val":
            num_val = 1
        case "shape":
            images = images.view(2, 1, 1, 4)
        case "groups" | "other groups":
            groups = torch.tensor([3, 3])
    assert dataset.content_hash(images, labels, num_test, num_val, groups) != before


def test_content_hash_of_other_than_tensors_is_refused() -> None:
    """It is called first in a user's own function, and says what to do as the data set does."""
    array: Any = np.zeros((2, 1, 2, 2), np.uint8)
    with pytest.raises(DataError, match=r"images of a data set must be a torch\.Tensor, got ndarray"):
        dataset.content_hash(array, torch.tensor([0, 1]), 0)


def test_content_hash_does_not_see_the_memory_layout(images: Tensor) -> None:
    """The same pixels in channels-last memory are the same data."""
    labels = torch.zeros(50, dtype=torch.int64)
    other = images.contiguous(memory_format=torch.channels_last)
    assert dataset.content_hash(other, labels, 0) == dataset.content_hash(images, labels, 0)
