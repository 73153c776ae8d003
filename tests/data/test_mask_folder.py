from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import Command
from numpy.typing import NDArray
from PIL import Image

from normbench.data import Pictures
from normbench.data.mask_folder import mask_folder
from normbench.errors import DataError

WIDTH, HEIGHT = 12, 8


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMBENCH_CACHE", str(tmp_path / "cache"))


def values(number: int, most: int = 2) -> NDArray[np.uint8]:
    drawn = np.random.default_rng(number).integers(0, most + 1, (HEIGHT, WIDTH), np.uint8)
    drawn[0, 0] = most
    return drawn


def save(path: Path, pixels: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def pair(root: Path, name: str, number: int, part: str = "") -> None:
    save(
        root / "images" / part / f"{name}.png",
        np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8),
    )
    save(root / "masks" / part / f"{name}.png", values(number))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate("abcd"):
        pair(tmp_path / "made", name, number)
    return tmp_path / "made"


def load(root: Path, **changes: Any) -> Pictures:
    return mask_folder(str(root), **{"classes": None, "skip_bad": False, "size": None, **changes})


def test_pictures_and_masks_belong_together(root: Path) -> None:
    """By their names; pixels have the values of the mask."""
    data = load(root)
    assert data.masks is not None
    assert (data.images.shape, data.masks.dtype) == ((4, 3, HEIGHT, WIDTH), torch.uint8)
    for number, mask in enumerate(data.masks):
        np.testing.assert_array_equal(mask.numpy(), values(number))
    assert (data.mask_names, data.class_names) == (("background", "1", "2"), ())
    assert data.notes[0] == f"{root}: train 4 pictures"
    assert data.notes[3].startswith(f"{root}: pixels of the training part: background 3")


def test_parts_of_its_own(tmp_path: Path) -> None:
    """Folders below images and masks; a part without one is drawn by the seed."""
    for number, part in enumerate(("train", "train", "val", "test")):
        pair(tmp_path, f"x{number}", number, part)
    data = load(tmp_path)
    assert (len(data), data.num_val, data.num_test) == (4, 1, 1)
    assert data.masks is not None
    np.testing.assert_array_equal(data.masks[2].numpy(), values(2))
    (tmp_path / "images/test").rename(tmp_path / "images/unused")
    assert (len(load(tmp_path)), load(tmp_path).num_test) == (3, 0)


@pytest.mark.parametrize("kind", ["palette", "bits", "sixteen"])
def test_masks_may_have_any_type_of_one_value(root: Path, kind: str) -> None:
    """A palette's colours do not matter, its numbers do."""
    mask = Image.fromarray(values(1, most=1))
    if kind == "palette":
        mask = mask.convert("P")
        mask.putdata(values(1, most=1).flatten().tolist())
        mask.putpalette([200, 10, 10, 10, 200, 10])
    elif kind == "bits":
        mask = Image.fromarray(values(1, most=1).astype(bool))
    else:
        mask = Image.fromarray(values(1, most=1).astype(np.uint16))
    mask.save(root / "masks/b.png")
    masks = load(root).masks
    assert masks is not None
    np.testing.assert_array_equal(masks[1].numpy(), values(1, most=1))


def test_masks_are_scaled_by_the_nearest_pixel(root: Path) -> None:
    """A mean of two classes is no class."""
    masks = load(root, size=8).masks
    assert masks is not None
    nearest = Image.fromarray(values(2)).resize((8, 8), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(masks[2].numpy(), np.asarray(nearest))
    assert set(masks.flatten().tolist()) == {0, 1, 2}


def test_ignored_pixels_are_no_class(root: Path) -> None:
    """They are kept, and counted in a note."""
    save(root / "masks/b.png", np.full((HEIGHT, WIDTH), 255, np.uint8))
    data = load(root)
    assert data.masks is not None
    assert (data.masks[1] == 255).all()
    assert len(data.mask_names) == 3
    assert f"{root}: 25.00% of its pixels have the value 255 and count nowhere" in data.notes


def test_content_is_that_of_pictures_masks_and_names(root: Path) -> None:
    """Not that of the folder or the size."""
    before = load(root).content
    assert load(root, size=4).content == before
    assert load(root.rename(root.parent / "moved")).content == before
    moved = root.parent / "moved"
    assert load(moved, classes=["background", "x", "y"]).content != before
    save(moved / "masks/a.png", values(7))
    assert load(moved).content != before


def other_size(root: Path) -> None:
    save(root / "masks/b.png", values(1)[:, :5])


def beyond(root: Path) -> None:
    save(root / "masks/b.png", values(1, most=5))


def no_mask(root: Path) -> None:
    (root / "masks/b.png").unlink()


def no_picture(root: Path) -> None:
    (root / "images/b.png").unlink()


@pytest.mark.parametrize(
    ("change", "message", "kind"),
    [
        (other_size, r"masks/b\.png has 5 x 8 pixels, but its picture has 12 x 8", "masks of another size"),
        (beyond, r"masks/b\.png has the value 5, beyond the 3 classes sky, sea, land", "masks with values beyond"),
        (no_mask, r"images/b\.png has no mask .*masks/b\.png", "pictures without masks"),
        (no_picture, r"masks/b\.png has no picture in .*images", "masks of missing pictures"),
    ],
)
def test_bad_entries(root: Path, change: Any, message: str, kind: str) -> None:
    """Each is an error that names the file, or is left out and counted."""
    change(root)
    names = ["sky", "sea", "land"]
    with pytest.raises(DataError, match=rf"{message}.*\ndata\.skip_bad=true leaves out {kind}"):
        load(root, classes=names)
    data = load(root, classes=names, skip_bad=True)
    assert (len(data), data.mask_names) == (3, ("sky", "sea", "land"))
    assert data.masks is not None
    np.testing.assert_array_equal(data.masks[1].numpy(), values(2))
    assert any(kind in note and ", 1; the first: " in note for note in data.notes)


def test_masks_of_one_class_are_refused(root: Path) -> None:
    """Masks of 0 and 255 are common, and 255 counts nowhere."""
    for name in "abcd":
        save(root / f"masks/{name}.png", values(1, most=1) * 255)
    with pytest.raises(DataError, match=r"masks have one class, 0, and perhaps 255.*write the classes as 0, 1, 2"):
        load(root)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((HEIGHT, WIDTH, 3), np.uint8), r"cannot read image .*b\.png: a mask has a class per pixel.*\(RGB\)"),
        (np.full((HEIGHT, WIDTH), 300, np.uint16), r"b\.png: classes are in 0\.\.254.* got 300"),
    ],
    ids=["colours", "large"],
)
def test_masks_that_are_none_are_refused(root: Path, pixels: NDArray[Any], message: str) -> None:
    """The file and what a mask is are named."""
    save(root / "masks/b.png", pixels)
    with pytest.raises(DataError, match=message):
        load(root)


@pytest.mark.parametrize("classes", [["sky"], ["sky", "sky"], []], ids=str)
def test_names_that_do_not_fit_are_refused(root: Path, classes: list[str]) -> None:
    """There are two classes or more, with different names."""
    with pytest.raises(DataError, match=r"data\.classes: got .*, expected 2 to 255 names that differ"):
        load(root, classes=classes)


def test_missing_folders_are_named(root: Path) -> None:
    """Masks, and the part of the training."""
    (root / "masks").rename(root / "elsewhere")
    with pytest.raises(DataError, match=r"data\.root: there is no folder .*masks"):
        load(root)
    (root / "elsewhere").rename(root / "masks")
    (root / "images/val").mkdir()
    with pytest.raises(DataError, match=r"images has val, but no folder train"):
        load(root)
    (root / "images/train").mkdir()
    with pytest.raises(DataError, match=r"images/train has no folder of masks .*masks/train"):
        load(root)


def test_a_mask_beyond_the_classes_starts_nothing(root: Path, normbench: Command, tmp_path: Path) -> None:
    """The command names it in two lines and exits with 2."""
    beyond(root)
    result = normbench("train", "data=mask_folder", f"data.root={root}", "data.classes=[sky,sea,land]")
    assert result.code == 2
    assert result.err.splitlines()[1] == "data.skip_bad=true leaves out masks with values beyond the classes"
    assert not (tmp_path / "results").exists()
