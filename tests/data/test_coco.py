import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from annotations import BOXES, COCO, coco_content, write

from normbench.data import Pictures
from normbench.data.coco import coco
from normbench.errors import DataError

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "made")


def load(root: Path, **changes: object) -> Pictures:
    return coco(str(root), **{**COCO, **changes})


def edit(root: Path, change: Edit) -> None:
    content = coco_content(list(BOXES))
    change(content)
    (root / "all.json").write_text(json.dumps(content))


def annotation(**values: object) -> Edit:
    """Change the annotation of picture b."""
    return lambda content: content["annotations"][2].update(values)


BAD: dict[str, tuple[Edit, str, str, int]] = {
    "outside": (annotation(bbox=[5, 5, 50, 4]), r"annotation 2 \(cat\): a box outside the picture", "outside", 5),
    "no area": (
        annotation(bbox=[5, 5, 0, 4]),
        r"annotation 2 \(cat\): a box without area",
        "without area",
        5,
    ),
    "wrong order": (annotation(bbox=[5, 5, -4, 4]), r"annotation 2 \(cat\): a box with corners in the", "order", 5),
    "nan": (annotation(bbox=[float("nan"), 5, 4, 4]), r"a box whose corners are no numbers", "no numbers", 5),
    "three": (
        annotation(bbox=[5, 5, 4]),
        r"annotation 2: bbox is \[5, 5, 4\], expected \[x",
        "cannot be read",
        5,
    ),
    "huge": (annotation(bbox=[0, 0, 10**400, 4]), r"annotation 2: bbox is \[0, 0, 1000", "cannot be read", 5),
    "text": (annotation(bbox="5 5 4 4"), r"annotation 2: bbox is '5 5 4 4', expected", "cannot be read", 5),
    "category": (annotation(category_id=3), r"annotation 2: no category has the id 3", "unknown categories", 5),
    "list": (annotation(category_id=[3]), r"annotation 2: no category has the id \[3\]", "unknown categories", 5),
    "picture": (annotation(image_id="x"), r"annotation 2: no picture has the id 'x'", "unknown pictures", 5),
    "no object": (
        lambda content: content["annotations"].__setitem__(2, 5),
        r"annotation number 2: no picture has the id None",
        "unknown pictures",
        5,
    ),
    "no file": (
        lambda content: content["images"][2].update(file_name="nowhere.png"),
        r"all\.json: picture 98 \(nowhere\.png\): there is no file .*JPEGImages/nowhere\.png",
        "annotations of missing pictures",
        4,
    ),
    "size": (
        lambda content: content["images"][1].update(width=80),
        r"all\.json: picture 99 \(b\.png\): annotated for 80 x 30 pixels, but .*b\.png has 40 x 30",
        "another size than annotated",
        4,
    ),
}


@pytest.mark.parametrize(("change", "message", "kind", "left"), BAD.values(), ids=BAD)
def test_bad_entries(root: Path, change: Edit, message: str, kind: str, left: int) -> None:
    """Each is an error with file and entry, or is left out and counted."""
    edit(root, change)
    with pytest.raises(DataError, match=rf"{message}.*\ndata\.skip_bad=true leaves out .*{kind}"):
        load(root, split=None)
    data = load(root, split=None, skip_bad=True)
    assert len(data) == left
    (note,) = (note for note in data.notes if "1; the first: " in note)
    assert kind in note and str(root / "all.json") in note


def test_a_listed_picture_without_an_entry_is_bad(root: Path) -> None:
    """It has no annotations."""
    edit(root, lambda content: content["images"].pop(2))
    with pytest.raises(DataError, match=r"train\.txt: c is no picture of .*all\.json"):
        load(root)
    assert len(load(root, skip_bad=True)) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', r"all\.json: damaged JSON: Expecting value: line 1 column 13"),
        ("", r"all\.json: damaged JSON: Expecting value"),
        ("[]", r"all\.json is no COCO file of boxes: it has no list images, annotations, categories"),
        ('{"images": [], "annotations": 3, "categories": []}', "it has no list annotations"),
        ('{"images": [], "annotations": [], "categories": []}', "has no categories"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "entry 0 of categories has no id or no name"),
        ('{"images": [5], "annotations": [], "categories": [{"id": 1, "name": "x"}]}', "entry 0 of images has no id"),
    ],
    ids=["cut off", "empty", "a list", "no list", "no category", "no name", "no image"],
)
def test_files_that_are_no_coco_files(root: Path, text: str, message: str) -> None:
    """Skipping bad entries does not help: nothing could be left."""
    (root / "all.json").write_text(text)
    with pytest.raises(DataError, match=message):
        load(root, skip_bad=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["images"][1].update(id=100), "two entries of images have the id 100"),
        (lambda content: content["categories"][1].update(name="dog"), "two entries of categories have the name 'dog'"),
        (lambda content: content["images"][1].update(file_name="a.png"), "two entries of images have the file_name"),
    ],
    ids=["id", "name", "file"],
)
def test_ambiguous_entries_are_refused(root: Path, change: Edit, message: str) -> None:
    """Nobody can say which one is meant."""
    edit(root, change)
    with pytest.raises(DataError, match=message):
        load(root, skip_bad=True)


def test_a_file_for_each_part(root: Path) -> None:
    """Is the same data as one file with lists."""
    own = {f"annotations_{part}": f"{part}.json" for part in ("val", "test")}
    data = load(root, split=None, annotations="train.json", **own)
    assert data.content == load(root).content
    part = load(root, split=None, annotations="train.json", annotations_test="test.json")
    assert (len(part), part.num_val, part.num_test) == (4, 0, 1)
    with pytest.raises(DataError, match=r"data\.split divides a single file"):
        load(root, annotations="train.json", **own)


def test_lists_need_names_that_differ(root: Path) -> None:
    """A list has names without folders."""
    (root / "JPEGImages/x").mkdir()
    (root / "JPEGImages/b.png").rename(root / "JPEGImages/x/a.png")
    edit(root, lambda content: content["images"][1].update(file_name="x/a.png"))
    assert len(load(root, split=None)) == 5
    with pytest.raises(DataError, match="pictures in two folders have the same name"):
        load(root)


def test_pictures_beside_their_file_are_found(root: Path) -> None:
    """Folders for each part, with the JSON file among the pictures."""
    for part in ("train", "val"):
        (root / part).mkdir()
        (root / f"{part}.json").rename(root / part / "boxes.json")
    for name in "abc":
        (root / f"JPEGImages/{name}.png").rename(root / f"train/{name}.png")
    (root / "JPEGImages/d.png").rename(root / "val/d.png")
    data = load(root, split=None, images=None, annotations="train/boxes.json", annotations_val="val/boxes.json")
    assert (len(data), data.num_val) == (4, 1)


def test_other_categories_in_another_part_are_refused(root: Path) -> None:
    """A class would have another number."""
    content = coco_content(["e"])
    content["categories"].append({"id": 1, "name": "bird"})
    (root / "test.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"train\.json and .*test\.json must have the same categories.*: bird"):
        load(root, split=None, annotations="train.json", annotations_test="test.json")


def test_crowds_are_ignored(root: Path) -> None:
    """They are boxes still, and marked."""
    edit(root, annotation(iscrowd=1))
    ignored = load(root).box_ignored
    assert ignored is not None
    assert ignored.nonzero().tolist() == [[1, 0]]


def test_fractions_of_pixels_may_be_kept(root: Path) -> None:
    """By default corners are rounded, halves to even numbers."""
    edit(root, annotation(bbox=[4.5, 5.25, 3.0, 4.0]))
    for whole, expected in ((True, [4, 5, 8, 9]), (False, [4.5, 5.25, 7.5, 9.25])):
        boxes = load(root, whole_pixels=whole).boxes
        assert boxes is not None
        assert torch.equal(boxes[1, 0], torch.tensor(expected, dtype=torch.float32))


def test_pictures_without_an_entry_are_counted(root: Path) -> None:
    """The file says which pictures there are."""
    edit(root, lambda content: content["images"].pop(2))
    assert f"{root}: left out: 1 pictures without an entry in a JSON file" in load(root, split=None).notes


def test_the_file_has_to_be_named(root: Path) -> None:
    """A folder may have several."""
    with pytest.raises(DataError, match=r"data\.annotations=FILE\.json: name the file in .*made"):
        load(root, annotations=None)
    with pytest.raises(DataError, match=r"cannot read .*nowhere\.json: No such file"):
        load(root, annotations="nowhere.json")
