import math
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor

from normbench.data import Dataset, load
from normbench.errors import DataError

NAMES = count()


def made(images: Tensor) -> Dataset:
    return Dataset("made", images, torch.arange(len(images)) % 2, 0, ("even", "odd"), "0" * 64)


def loaded(images: Tensor) -> Dataset:
    found = load(f"mine{next(NAMES)}", {}, lambda: made(images))
    assert isinstance(found, Dataset)
    return found


@pytest.fixture
def images() -> Tensor:
    return torch.randn(20, 3, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normbench.data.images.CHUNK_VALUES", 300)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_pixels_that_are_no_numbers_are_refused(images: Tensor, value: float) -> None:
    """They would end every run at its first step, as if it had diverged."""
    images[13, 1, 2, 3] = value
    with pytest.raises(DataError, match="data set 'made': image 13 has nan or inf pixels"):
        loaded(images)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=["uint8", "float32"])
def test_nothing_is_said_of_images_that_differ(images: Tensor, dtype: torch.dtype) -> None:
    """A difference in the last image alone is one, and notes of the loader's own stay."""
    images = images[:1].mul(50).abs().to(dtype).repeat(20, 1, 1, 1)
    images[19, 0, 0, 0] += 1
    own = replace(made(images), notes=("mine",))
    assert load(f"mine{next(NAMES)}", {}, lambda: own) is own


def same(images: Tensor) -> Tensor:
    return images[:1].repeat(20, 1, 1, 1)


def blank(images: Tensor) -> Tensor:
    return torch.full((20, 3, 4, 5), 255, dtype=torch.uint8)


def without_channels(images: Tensor) -> Tensor:
    images[:, 0], images[:, 2] = 1, -3
    return images


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (same, "all images are equal"),
        (blank, "all images are equal"),
        (without_channels, "constant over all pixels of all images: channel 0, 2 of 3"),
    ],
)
def test_sets_without_variance_are_warned_of(images: Tensor, change: Any, message: str) -> None:
    """Nothing can be learned from them, which accuracy at chance would say too late."""
    assert loaded(change(images)).notes == (f"warning: data set 'made': {message}",)
