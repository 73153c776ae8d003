from dataclasses import replace
from typing import Any

import pytest
import torch

from normbench.data import Pictures, load, picture_scenes, split
from normbench.data.digits import digits
from normbench.errors import DataError

ARGS: dict[str, Any] = {
    "num_scenes": 500,
    "min_size": 16,
    "max_size": 28,
    "min_digits": 1,
    "max_digits": 4,
    "clutter": 4,
    "overlap": 0.1,
    "contrast": 0.5,
    "generator_seed": 0,
}


def scenes(**changes: Any) -> Pictures:
    return picture_scenes.picture_scenes(**{**ARGS, **changes})


def tight(mask: torch.Tensor) -> list[int]:
    rows, columns = mask.nonzero(as_tuple=True)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def test_content_is_fixed() -> None:
    """Scenes, boxes and masks are part of run ids: neither machine nor refactoring may change a bit of them."""
    assert scenes().content == "7c81fc36219c9ac24c020ff2dbc75181447d2c4e6ff12fa8ec0f5d040cd463dd"


@pytest.mark.parametrize(
    "change",
    [
        *({"generator_seed": 1}, {"min_size": 15}, {"max_size": 29}, {"min_digits": 2}, {"max_digits": 5}),
        *({"clutter": 3}, {"overlap": 0.3}, {"contrast": 0.4}),
    ],
    ids=str,
)
def test_arguments_change_the_scenes(change: dict[str, Any]) -> None:
    """Another value of any key is other data."""
    assert not torch.equal(scenes(**change).images, scenes().images)


def test_names_and_numbers() -> None:
    """The background is the first class of the pixels and none of the boxes; every number of digits is drawn."""
    data = scenes()
    assert (data.images.shape, data.num_test) == ((500, 1, 64, 64), 0)
    assert data.mask_names == ("background", *data.class_names) == ("background", *"0123456789")
    assert data.box_labels is not None and data.masks is not None
    assert set((data.box_labels >= 0).sum(dim=1).tolist()) == {1, 2, 3, 4}
    assert set(data.masks.flatten().tolist()) == set(range(11))
    assert set((scenes(min_digits=0).fetch(torch.arange(500))["box_labels"] >= 0).sum(dim=1).tolist()) == {
        0,
        1,
        2,
        3,
        4,
    }


def test_boxes_are_tight_around_the_pixels_of_their_digit() -> None:
    """Where nothing covers it, a digit's box encloses exactly its pixels in the mask."""
    data = scenes(min_digits=1, max_digits=1, clutter=0)
    assert data.boxes is not None and data.masks is not None and data.box_labels is not None
    for box, label, mask in zip(data.boxes[:, 0], data.box_labels[:, 0], data.masks, strict=True):
        assert box.tolist() == tight(mask == label + 1)
        assert set(mask.flatten().tolist()) == {0, int(label) + 1}


def test_a_covered_digit_keeps_its_box_and_loses_its_pixels() -> None:
    """The mask has what is seen, the box what is there: no pixel of the mask is outside the boxes of its class."""
    data, covered = scenes(overlap=1.0, clutter=12), 0
    assert data.boxes is not None and data.masks is not None and data.box_labels is not None
    for boxes, labels, mask in zip(data.boxes, data.box_labels, data.masks, strict=True):
        inside = torch.zeros(11, 64, 64, dtype=torch.bool)
        for (x1, y1, x2, y2), label in zip(boxes.long().tolist(), labels.tolist(), strict=True):
            if label >= 0:
                inside[label + 1, y1:y2, x1:x2] = True
                seen = mask[y1:y2, x1:x2] == label + 1
                covered += not seen.any() or tight(seen) != [0, 0, x2 - x1, y2 - y1]
        inside[0] = True
        assert inside.gather(0, mask[None].long()).all()
    assert covered > 100


def test_masks_are_where_ink_is_seen() -> None:
    """In the strongest ink and without clutter, a pixel is of a digit if and only if it is dark enough."""
    data = scenes(contrast=1.0, clutter=0, overlap=0.0, max_digits=1)
    assert data.masks is not None
    # Two neighbouring strengths share the grey value 135.
    weakest = 64 + picture_scenes.INK * 191 // 255
    assert (data.masks[data.images[:, 0] > weakest] > 0).all()
    assert (data.masks[data.images[:, 0] < weakest] == 0).all()


def test_no_digit_is_in_scenes_of_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a digit were drawn otherwise, whole and as a piece, then scenes of one part alone would change."""
    data, original = scenes(), digits()
    parts = split(data, seed=0, val_fraction=0.1, test_fraction=0.2)
    assert [len(part) for part in (parts.train, parts.val, parts.test)] == [350, 50, 100]
    part_of = torch.empty(len(data), dtype=torch.int64)
    for number, rows in enumerate((parts.train, parts.val, parts.test)):
        part_of[rows] = number
    changed = 0
    for digit in range(0, len(original), 150):
        images = original.images.clone()
        images[digit] = 16 - images[digit]
        monkeypatch.setattr(picture_scenes, "digits", lambda images=images: replace(original, images=images))
        (rows,) = (scenes().images != data.images).flatten(1).any(dim=1).nonzero(as_tuple=True)
        assert len(set(part_of[rows].tolist())) <= 1
        changed += len(rows)
    assert changed > 12


def test_it_takes_the_shared_keys() -> None:
    """Cut down and scaled, boxes and masks included."""
    data = load("picture_scenes", {**ARGS, "limit": 100, "size": 32})
    assert isinstance(data, Pictures) and data.boxes is not None and data.masks is not None
    assert (data.images.shape, data.masks.shape) == ((100, 1, 32, 32), (100, 32, 32))
    assert data.boxes.max() <= 32


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("max_size", 65, "data.max_size must be at least 16 and at most 64, got 65"),
        ("min_digits", -1, "data.min_digits must be at least 0, got -1"),
        ("max_digits", 0, "data.max_digits must be at least 1, got 0"),
        ("clutter", -1, "data.clutter must be at least 0, got -1"),
    ],
)
def test_arguments_out_of_range_are_refused(key: str, value: float, message: str) -> None:
    """Each argument that cannot be met is named with the value given."""
    with pytest.raises(DataError, match=message):
        scenes(**{key: value})
