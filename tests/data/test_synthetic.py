from typing import Any

import pytest
import torch

from normbench.data.synthetic import synthetic
from normbench.errors import DataError

ARGS: dict[str, Any] = {
    "num_classes": 3,
    "num_samples": 100,
    "image_size": 9,
    "channels": 2,
    "difficulty": 0.5,
    "generator_seed": 0,
}


def test_shape_and_classes() -> None:
    """The set has the shape asked for and classes of equal size, up to one image."""
    data = synthetic(**ARGS)
    assert (data.images.dtype, data.images.shape) == (torch.uint8, (100, 2, 9, 9))
    assert torch.bincount(data.labels).tolist() == [34, 33, 33]
    assert data.class_names == ("0", "1", "2")


def test_content_is_fixed() -> None:
    """The images are part of run ids: neither machine nor refactoring may change a bit of them."""
    assert synthetic(**ARGS).content == "652e928e73f8f74515b298abccd9c6c178f223a40f1f07104b12e04f4a4e6d3d"


@pytest.mark.parametrize("change", [{"generator_seed": 1}, {"difficulty": 0.501}], ids=["generator_seed", "difficulty"])
def test_arguments_change_the_images(change: dict[str, Any]) -> None:
    """Another seed or difficulty is other data."""
    assert synthetic(**{**ARGS, **change}).content != synthetic(**ARGS).content


def test_difficulty_zero_repeats_the_templates() -> None:
    """Without noise all images of a class are equal and the classes differ."""
    images = synthetic(**{**ARGS, "difficulty": 0}).images
    assert torch.equal(images[0::3], images[:1].expand(34, -1, -1, -1))
    assert not torch.equal(images[0], images[1])


def test_difficulty_one_is_noise() -> None:
    """At the end of the dial the mean images of two classes differ by no more than chance."""
    data = synthetic(**{**ARGS, "difficulty": 1, "num_samples": 3000})
    means = torch.stack([data.images[data.labels == k].float().mean(dim=0) for k in range(3)])
    error = data.images.float().std() * (2 / 1000) ** 0.5
    assert (means[0] - means[1]).abs().max() < 5 * error


def test_templates_are_smooth() -> None:
    """Neighbouring pixels of a template differ far less than distant ones."""
    image = synthetic(**{**ARGS, "difficulty": 0, "image_size": 64}).images[0, 0].float()
    assert image.diff(dim=1).abs().max() < 0.1 * (image.max() - image.min())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_classes", 1, "data.num_classes must be at least 2, got 1"),
        ("num_samples", 2, "data.num_samples must be at least 3, got 2"),
        ("image_size", 1, "data.image_size must be at least 2, got 1"),
        ("channels", 0, "data.channels must be at least 1, got 0"),
        ("generator_seed", -1, "data.generator_seed must be at least 0, got -1"),
        ("difficulty", 1.1, r"data.difficulty must be in \[0, 1\], got 1.1"),
    ],
)
def test_arguments_out_of_range_are_refused(key: str, value: float, message: str) -> None:
    """Each argument that cannot be met is named with the value given."""
    with pytest.raises(DataError, match=message):
        synthetic(**{**ARGS, key: value})
