from collections import Counter
from collections.abc import Sequence

import pytest

from normbench.data.folder_notes import describe
from normbench.data.layout import Layout, Listing


def listing(folder: str, counts: Sequence[int], left_out: dict[str, int] | None = None) -> Listing:
    """Make a part with so many images of each class."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    names = [f"c{label}" for label in range(len(counts))]
    return Listing(folder, names, [f"{row}.png" for row in range(len(labels))], labels, Counter(left_out or {}))


def layout(
    train: Listing, val: Sequence[int] = (), test: Sequence[int] = (), names: tuple[str, str] = ("val", "test")
) -> Layout:
    return Layout(train, listing(names[0], val), listing(names[1], test))


TRAIN = listing("train", [3, 2])


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (layout(listing("", [3, 2])), "5 images (c0 3, c1 2); validation and test images are drawn from them"),
        (
            layout(listing("", [5] * 12 + [9])),
            "69 images (13 classes of 5 to 9); validation and test images are drawn from them",
        ),
        (
            layout(TRAIN, test=[1, 1]),
            "train 5 images (c0 3, c1 2), test 2 images (c0 1, c1 1); validation images are drawn from train",
        ),
        (
            layout(TRAIN, test=[1, 1], names=("", "valid")),
            "train 5 images (c0 3, c1 2), valid 2 images (c0 1, c1 1); valid is used as the test part, as there is "
            "no other; validation images are drawn from train",
        ),
        (
            layout(TRAIN, val=[1, 1], test=[2, 2], names=("dev", "test")),
            "train 5 images (c0 3, c1 2), dev 2 images (c0 1, c1 1), test 4 images (c0 2, c1 2); dev is the validation "
            "part; data.val_fraction has no effect",
        ),
    ],
    ids=["classes", "many classes", "train and test", "train and valid", "three parts"],
)
def test_classes_and_counts_are_always_said(made: Layout, expected: str) -> None:
    """With where validation and test images come from, in one line."""
    assert list(describe(made, {})) == [expected]


def test_what_is_left_out_is_counted() -> None:
    """Over all parts: folders, images outside class folders, and types that are not read."""
    made = Layout(
        listing("train", [1, 1], {"": 2, ".gif": 1}),
        listing("", []),
        listing("test", [1, 1], {".gif": 2, ".heic": 1}),
        unused=("labels", "logs"),
    )
    assert list(describe(made, {}))[1:] == [
        "left out: labels, logs, without images",
        "left out: images outside class folders, 2",
        "left out: 3 .gif, 1 .heic; these types are not supported",
    ]


def test_what_was_done_to_images_is_counted() -> None:
    """A line for each kind, and none for what did not occur."""
    assert list(describe(layout(TRAIN, test=[1, 1]), {"oriented": 3, "sixteen_bit": 7}))[1:] == [
        "rotated to their EXIF orientation: 3 of 7 images",
        "16 bits per pixel, scaled to 8: 7 of 7 images",
    ]


@pytest.mark.parametrize(
    ("made", "found", "expected"),
    [
        (
            layout(TRAIN, test=[1, 1]),
            {"train test": 1},
            ["warning: 1 of 2 test images are byte-identical to images in train; test accuracy will be too high"],
        ),
        (
            layout(TRAIN, test=[3, 2]),
            {"train test": 5, "copies": 1},
            ["warning: all 5 test images are byte-identical to images in train; test accuracy will be too high"],
        ),
        (
            layout(TRAIN, val=[1, 1], test=[1, 1]),
            {"train val": 2, "val test": 1},
            [
                "warning: all 2 val images are byte-identical to images in train; val accuracy will be too high",
                "warning: 1 of 2 test images are byte-identical to images in val; test accuracy will be too high",
            ],
        ),
        (
            layout(listing("", [3, 2])),
            {"copies": 2},
            ["warning: 2 of 5 images are byte-identical copies; test and training may share them"],
        ),
    ],
    ids=["one in train", "test is train", "validation too", "drawn parts"],
)
def test_copies_between_parts_are_warned_of(made: Layout, found: dict[str, int], expected: list[str]) -> None:
    """A net that has seen the test images is judged by its memory."""
    assert list(describe(made, found))[1:] == expected
