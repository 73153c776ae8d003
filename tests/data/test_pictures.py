from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from normbench.data import Dataset, Pictures, limit, load, resize, split
from normbench.data.boxes import scaled_boxes
from normbench.data.exact import nearest_pixels
from normbench.errors import DataError

COUNT, HEIGHT, WIDTH = 20, 12, 16


def pixels(count: int = COUNT) -> Tensor:
    return torch.randint(
        0, 256, (count, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def make(**changes: Any) -> Pictures:
    stream = torch.Generator().manual_seed(1)
    given: dict[str, Any] = {
        "boxes": torch.tensor([[2.0, 3.0, 10.0, 9.0], [0.0, 0.0, 16.0, 12.0]]).repeat(COUNT, 1, 1),
        "box_labels": torch.tensor([[1, -1]]).repeat(COUNT, 1),
        "box_ignored": torch.zeros(COUNT, 2, dtype=torch.bool),
        "masks": torch.randint(0, 3, (COUNT, HEIGHT, WIDTH), dtype=torch.uint8, generator=stream),
        "class_names": ("cat", "dog"),
        "mask_names": ("background", "cat", "dog"),
    }
    return Pictures("made", pixels(), 4, "0" * 64, **{**given, **changes})


def test_fetch_has_all_fields() -> None:
    """Of rows in any shape; masks have the type that losses take."""
    data, index = make(), torch.tensor([[3, 0, 3], [7, 1, 2]])
    fields = data.fetch(index)
    assert {name: (values.dtype, values.shape[2:]) for name, values in fields.items()} == {
        "images": (torch.float32, (3, HEIGHT, WIDTH)),
        "boxes": (torch.float32, (2, 4)),
        "box_labels": (torch.int64, (2,)),
        "box_ignored": (torch.bool, (2,)),
        "masks": (torch.int64, (HEIGHT, WIDTH)),
    }
    assert data.masks is not None
    assert torch.equal(fields["masks"][1, 0], data.masks[7].long())
    blank = data.blank(5)
    assert {name: (values.dtype, values.shape[1:]) for name, values in blank.items()} == {
        name: (values.dtype, values.shape[2:]) for name, values in fields.items()
    }
    assert (blank["box_labels"] == -1).all()


@pytest.mark.parametrize("has", ["boxes", "masks"])
def test_a_set_may_have_only_one_of_them(has: str) -> None:
    """Fields that a set does not have are absent, so a task can say what it misses."""
    none = {"boxes": None, "box_labels": None, "box_ignored": None} if has == "masks" else {"masks": None}
    fields = {"images", "masks"} if has == "masks" else {"images", "boxes", "box_labels", "box_ignored"}
    assert set(make(**none).fetch(torch.arange(3))) == set(make(**none).blank(1)) == fields


def test_pictures_are_standardised_as_images() -> None:
    """By the same mean and deviation, and with the same shift of test pictures."""
    rows = torch.tensor([17, 16, 19])
    labelled = Dataset("made", pixels(), torch.arange(COUNT) % 2, 4, ("a", "b"), "0" * 64)
    for kind in ("none", "contrast", "noise"):
        fields = replace(make(), test_shift=kind).fetch_test(rows)
        assert torch.equal(fields["images"], replace(labelled, test_shift=kind).test_batch(rows))
        assert "masks" in fields
    assert torch.equal(make().fetch(rows)["images"], labelled.batch(rows))


def test_it_is_cut_down_split_and_moved_as_any_set() -> None:
    """Pictures have no class, so parts need not have all classes of the boxes."""
    data = limit(make(masks=torch.arange(COUNT).view(-1, 1, 1).repeat(1, HEIGHT, WIDTH).to(torch.uint8) % 3), 10)
    assert (len(data), data.num_test) == (14, 4)
    parts = split(data, seed=0, val_fraction=0.2)
    assert [len(part) for part in (parts.train, parts.val, parts.test)] == [8, 2, 4]
    assert set(parts.fields) == set()
    assert data.to("cpu") is data
    moved = data.to("cpu:0")  # torch counts this as another place, so that no accelerator is needed here
    assert moved is not data
    assert torch.equal(moved.fetch(torch.arange(3))["masks"], data.fetch(torch.arange(3))["masks"])


def test_boxes_and_masks_follow_a_new_size() -> None:
    """Boxes are scaled like the sides, and mask pixels are Pillow's nearest ones."""
    data = make()
    small = resize(data, 5)
    assert small.boxes is not None and small.masks is not None and data.masks is not None
    assert small.images.shape[2:] == small.masks.shape[1:] == (5, 5)
    expected = torch.tensor([2 * 5 / 16, 3 * 5 / 12, 10 * 5 / 16, 9 * 5 / 12])
    torch.testing.assert_close(small.boxes[0, 0], expected)
    assert small.boxes[0, 1].tolist() == [0, 0, 5, 5]
    nearest = Image.fromarray(data.masks[3].numpy()).resize((5, 5), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(small.masks[3].numpy(), np.asarray(nearest))


def test_nearest_pixels_are_those_of_pillow() -> None:
    """For scaling down and up; of two that are equally near the later one is taken, and Pillow takes either."""
    for old in (3, 16, 97):
        for new in (2, 3, 7, 16, 200):
            row = Image.fromarray(np.arange(old, dtype=np.uint8)[None]).resize((new, 1), Image.Resampling.NEAREST)
            clear = (2 * np.arange(new) + 1) * old % (2 * new) != 0
            np.testing.assert_array_equal(nearest_pixels(old, new)[clear], np.asarray(row)[0, clear])


def test_a_box_at_the_edge_stays_inside() -> None:
    """No rounding may push it out of the picture."""
    for old in range(1, 400):
        edge, size = torch.tensor([0.0, 0.0, old, old]), torch.tensor([old, old])
        assert scaled_boxes(edge, size, torch.tensor([127, 96])).tolist() == [0, 0, 127, 96]


def test_pixels_are_inspected() -> None:
    """As those of images with labels are."""
    images = pixels().float()
    images[3, 0, 0, 0] = torch.nan
    with pytest.raises(DataError, match="image 3 has nan or inf pixels"):
        load("mine", {}, lambda: replace(make(), images=images))
    equal = load("mine", {"size": 6}, lambda: replace(make(), images=torch.zeros_like(pixels())))
    assert equal.input_shape == (3, 6, 6)
    assert "all images are equal" in equal.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": None, "box_labels": None, "box_ignored": None, "masks": None}, "need boxes or masks, got neither"),
        ({"box_labels": None}, r"box_labels of a data set must be a torch\.Tensor, got NoneType"),
        ({"boxes": torch.zeros(COUNT, 2, 4).double()}, r"boxes must be \(20, 2, 4\) in torch\.float32, got .*float64"),
        ({"box_labels": torch.zeros(COUNT, 3, dtype=torch.int64)}, r"box_labels must be \(20, 2\)"),
        ({"box_ignored": torch.zeros(COUNT, 2)}, r"box_ignored must be .* in torch\.bool"),
        ({"box_labels": torch.full((COUNT, 2), 2)}, r"box_labels must be in 0\.\.1 or -1, got 2\.\.2"),
        (
            {"boxes": torch.zeros(COUNT, 2, 4)},
            r"x1 < x2, y1 < y2 inside 16 x 12 pixels, got \[0\.0, 0\.0,",
        ),
        ({"boxes": torch.tensor([0.0, 0, 17, 2]).repeat(COUNT, 2, 1)}, "inside 16 x 12 pixels"),
        ({"boxes": torch.tensor([0.0, 0, torch.nan, 2]).repeat(COUNT, 2, 1)}, "inside 16 x 12 pixels"),
        ({"masks": torch.full((COUNT, HEIGHT, WIDTH), 3, dtype=torch.uint8)}, r"masks must be in 0\.\.2 or 255, got 3"),
        ({"masks": torch.zeros(COUNT, 3, 3, dtype=torch.uint8)}, r"masks must be \(20, 12, 16\)"),
        ({"groups": torch.zeros(3)}, "groups must be"),
        ({"test_shift": "blur"}, "unknown data.test_shift"),
    ],
    ids=[
        *("neither", "no labels", "float64", "too many labels", "ignored no bool", "label too large", "no area"),
        *("outside", "nan", "mask too large", "mask shape", "groups", "shift"),
    ],
)
def test_unfit_tensors_are_refused(change: dict[str, Any], message: str) -> None:
    """A user's loader that returns unfit tensors is told what is wrong with them."""
    with pytest.raises(DataError, match=message):
        make(**change)


def test_ignored_pixels_are_no_class() -> None:
    """255 is allowed whatever the number of classes."""
    make(masks=torch.full((COUNT, HEIGHT, WIDTH), 255, dtype=torch.uint8))


def test_an_augmentation_that_boxes_cannot_follow_is_refused() -> None:
    """The message lists those they can."""
    make().check_augmentation("crop_flip")
    with pytest.raises(DataError, match=r"got random_resized_crop, expected none \| crop \| flip \| crop_flip"):
        make().check_augmentation("random_resized_crop")
