from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from normbench.data import Dataset, digit_scenes, load, split
from normbench.data.digits import digits
from normbench.errors import DataError

ARGS: dict[str, Any] = {
    "num_scenes": 1000,
    "min_size": 16,
    "max_size": 24,
    "clutter": 2,
    "overlap": 0.1,
    "contrast": 0.5,
    "generator_seed": 0,
}


def scenes(**changes: Any) -> Dataset:
    return digit_scenes.digit_scenes(**{**ARGS, **changes})


def test_shape_and_classes() -> None:
    """The classes have equal size, in every block too."""
    data = scenes()
    assert (data.images.dtype, data.images.shape) == (torch.uint8, (1000, 1, 32, 32))
    assert data.groups is not None
    assert torch.bincount(10 * data.groups + data.labels).tolist() == [2] * 500
    assert data.class_names == tuple("0123456789")


def test_content_is_fixed() -> None:
    """The images are part of run ids: neither machine nor refactoring may change a bit of them."""
    assert scenes().content == "6d85f206feb598c59206e68b1f111e5698b4be4de3469f6a7c5969798343ad92"


@pytest.mark.parametrize(
    "change",
    [{"generator_seed": 1}, {"min_size": 15}, {"max_size": 25}, {"clutter": 3}, {"overlap": 0.3}, {"contrast": 0.4}],
    ids=str,
)
def test_arguments_change_the_images(change: dict[str, Any]) -> None:
    """Another value of any key is other data."""
    assert not torch.equal(scenes(**change).images, scenes().images)


def test_no_digit_is_in_scenes_of_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a digit were drawn otherwise, whole and as a piece, then scenes of one part alone would change."""
    data, original = scenes(clutter=6), digits()
    assert data.groups is not None
    parts = split(data, seed=0, val_fraction=0.1, test_fraction=0.2)
    part_of = torch.empty(len(data), dtype=torch.int64)
    for number, rows in enumerate((parts.train, parts.val, parts.test)):
        part_of[rows] = number
    changed = 0
    for digit in range(0, len(original), 100):
        images = original.images.clone()
        images[digit] = 16 - images[digit]
        monkeypatch.setattr(digit_scenes, "digits", lambda images=images: replace(original, images=images))
        (rows,) = (scenes(clutter=6).images != data.images).flatten(1).any(dim=1).nonzero(as_tuple=True)
        assert len(set(part_of[rows].tolist())) <= 1
        assert len(set(data.groups[rows].tolist())) <= 1
        changed += len(rows)
    assert changed > 18


def test_each_scene_shows_its_digit() -> None:
    """Without clutter, at full size and in the strongest ink, a scene is an enlarged digit of its class."""
    data = scenes(num_scenes=300, min_size=32, max_size=32, clutter=0, contrast=1.0)
    corners = np.arange(8) * 31 // 7
    small = (data.images[:, 0, corners][..., corners].int() - 64).mul(16).div(191).round()
    distances = torch.cdist(small.flatten(1).float(), digits().images.flatten(1).float(), p=1)
    assert torch.equal(digits().labels[distances.argmin(dim=1)], data.labels)


@pytest.mark.parametrize("limit", [None, 100])
def test_it_splits_as_any_set(limit: int | None) -> None:
    """By the shared keys: cut down, scaled, with label noise, and with classes in equal shares."""
    data = load("digit_scenes", {**ARGS, "limit": limit, "size": 16})
    assert isinstance(data, Dataset)
    parts = split(data, seed=1, val_fraction=0.1, test_fraction=0.2, label_noise=0.2)
    assert data.images.shape == (limit or 1000, 1, 16, 16)
    if limit is None:
        assert [len(part) for part in (parts.train, parts.val, parts.test)] == [700, 100, 200]
        assert torch.bincount(data.labels[parts.test]).tolist() == [20] * 10


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_scenes", 9, "data.num_scenes must be at least 10, got 9"),
        ("min_size", 7, "data.min_size must be at least 8 and at most 32, got 7"),
        ("max_size", 15, "data.max_size must be at least 16 and at most 32, got 15"),
        ("max_size", 33, "data.max_size must be at least 16 and at most 32, got 33"),
        ("clutter", -1, "data.clutter must be at least 0, got -1"),
        ("overlap", 1.1, "data.overlap must be at least 0 and at most 1, got 1.1"),
        ("contrast", 0, "data.contrast must be at least 0.001 and at most 1, got 0"),
        ("generator_seed", -1, "data.generator_seed must be at least 0, got -1"),
    ],
)
def test_arguments_out_of_range_are_refused(key: str, value: float, message: str) -> None:
    """Each argument that cannot be met is named with the value given."""
    with pytest.raises(DataError, match=message):
        scenes(**{key: value})
