from collections.abc import Callable
from pathlib import Path

import pytest
from annotations import VOC, write, xml

from normbench.data import Pictures
from normbench.data.voc import voc
from normbench.errors import DataError

Edit = Callable[[Path], object]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "made")


def load(root: Path, **changes: object) -> Pictures:
    return voc(str(root), **{**VOC, **changes})


def put(text: str, name: str = "b") -> Edit:
    return lambda root: (root / f"Annotations/{name}.xml").write_text(text)


def one(*box: float, name: str = "cat") -> Edit:
    return put(xml([(name, box)]))


BAD: dict[str, tuple[Edit, str, str, int]] = {
    "outside": (one(5, 5, 50, 9), r"b\.xml: object 1 \(cat\): a box outside the picture", "outside", 5),
    "no area": (one(5, 5, 5, 9), r"b\.xml: object 1 \(cat\): a box without area, from x 5, y 5", "without area", 5),
    "wrong order": (one(9, 9, 5, 5), r"object 1 \(cat\): a box with corners in the wrong order", "wrong order", 5),
    "nan": (one(float("nan"), 0, 5, 5), r"object 1 \(cat\): a box whose corners are no numbers", "no numbers", 5),
    "no corner": (
        put("<annotation><object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"),
        r"b\.xml: object 1 \(cat\): no bndbox with numbers xmin, ymin, xmax, ymax",
        "that cannot be read",
        5,
    ),
    "no name": (one(1, 1, 5, 5, name=""), r"b\.xml: object 1 \(\): no name", "without a class", 5),
    "damaged": (
        put("<annotation><object>"),
        r"b\.xml: damaged XML: no element found: line",
        "damaged annotations",
        4,
    ),
    "no such encoding": (
        put('<?xml version="1.0" encoding="GBK"?><annotation/>'),
        r"b\.xml: damaged XML: multi-byte encodings are not supported",
        "damaged annotations",
        4,
    ),
    "other": (put("<html/>"), r"b\.xml: its root is <html>, expected <annotation>", "damaged annotations", 4),
    "empty": (put(""), r"b\.xml: damaged XML: no element found", "damaged annotations", 4),
    "no annotation": (
        lambda root: (root / "Annotations/b.xml").unlink(),
        r"train\.txt: b has no annotation .*Annotations/b\.xml",
        "pictures without annotations",
        4,
    ),
    "no picture": (
        lambda root: (root / "JPEGImages/b.png").unlink(),
        r"train\.txt: b has no picture in .*JPEGImages",
        "annotations of missing pictures",
        4,
    ),
    "other size": (
        put(xml([("cat", (5, 5, 9, 9))], width=80, height=60)),
        r"b\.xml: annotated for 80 x 60 pixels, but .*b\.png has 40 x 30",
        "pictures of another size than annotated",
        4,
    ),
}


@pytest.mark.parametrize(("edit", "message", "kind", "left"), BAD.values(), ids=BAD)
def test_bad_entries(root: Path, edit: Edit, message: str, kind: str, left: int) -> None:
    """Each is an error with file and entry, or is left out and counted."""
    edit(root)
    with pytest.raises(DataError, match=rf"{message}.*\ndata\.skip_bad=true leaves out .*{kind}"):
        load(root)
    data = load(root, skip_bad=True)
    assert len(data) == left
    (note,) = (note for note in data.notes if "left out" in note)
    assert f"{kind}, 1; the first: " in note or f"{kind} the picture, 1; the first: " in note


@pytest.mark.parametrize("name", ["no_annotation", "no_picture"])
def test_without_lists_every_file_needs_its_other(root: Path, name: str) -> None:
    """A picture without an XML file, or the other way round, is bad as it is in a list."""
    (root / ("Annotations/b.xml" if name == "no_annotation" else "JPEGImages/b.png")).unlink()
    with pytest.raises(DataError, match=r"^b has no (annotation|picture)"):
        load(root, split=None)
    assert len(load(root, split=None, skip_bad=True)) == 4


def test_classes_may_be_given(root: Path) -> None:
    """A name that is not among them is misspelt; one that is never used is a class all the same."""
    with pytest.raises(DataError, match=r"b\.xml: object 1 \(cat\): unknown class 'cat'; did you mean 'cats'\?"):
        load(root, classes=["dog", "cats"])
    data = load(root, classes=["dog", "bird", "cat"])
    assert data.class_names == ("bird", "cat", "dog")
    assert f"{root}: warning: no box in the training part: bird" in data.notes
    with pytest.raises(DataError, match=r"data\.classes: got dog, dog, expected names that differ"):
        load(root, classes=["dog", "dog"])


def test_difficult_objects_are_ignored(root: Path) -> None:
    """They are boxes still, and marked."""
    put(xml([("cat", (5, 5, 9, 9))], more="<difficult>1</difficult>"))(root)
    data = load(root)
    assert data.box_ignored is not None
    assert data.box_ignored.tolist() == [[False, False], [True, False], *[[False, False]] * 3]
    assert "1 boxes are marked as difficult" in data.notes[-1]


def test_pixels_may_be_counted_from_one(root: Path) -> None:
    """A whole picture of 40 x 30 is from 1 to 40 and 1 to 30 then; a box that begins at 0 is clipped."""
    put(xml([("cat", (1, 1, 40, 30)), ("dog", (0, 11, 5, 20))]))(root)
    boxes = load(root, first_pixel=1).boxes
    assert boxes is not None
    assert boxes[1].tolist() == [[0, 0, 40, 30], [0, 10, 5, 20]]


def test_clipped_boxes_are_counted(root: Path) -> None:
    """A pixel outside is no error, and not hidden."""
    put(xml([("cat", (-1, 0, 41, 31)), ("dog", (0, 0, 40, 30))]))(root)
    data = load(root)
    assert data.boxes is not None
    assert data.boxes[1, 0].tolist() == [0, 0, 40, 30]
    assert f"{root}: boxes that reached up to a pixel outside, clipped: 1" in data.notes


def test_parts_of_objects_are_no_objects(root: Path) -> None:
    """Official files have heads and hands inside persons, with boxes of their own."""
    more = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    put(xml([("cat", (5, 5, 9, 9))], more=more))(root)
    assert load(root).class_names == ("cat", "dog")


def test_annotations_without_a_size_are_trusted(root: Path) -> None:
    """Some programs write zeros."""
    put(xml([("cat", (5, 5, 9, 9))], width=0, height=0))(root)
    assert len(load(root)) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": "nowhere"}, r"data\.images: there is no folder .*nowhere"),
        ({"annotations": "nowhere"}, r"data\.annotations: there is no folder .*nowhere"),
        ({"split": "nowhere"}, r"nowhere has no train\.txt .* data\.split=null draws all parts"),
    ],
    ids=["images", "annotations", "split"],
)
def test_missing_folders_are_named(root: Path, change: dict[str, str], message: str) -> None:
    """With the key that names them."""
    with pytest.raises(DataError, match=message):
        load(root, **change)


def test_two_pictures_for_one_annotation_are_refused(root: Path) -> None:
    """Neither is taken at random."""
    (root / "JPEGImages/b.jpg").write_bytes((root / "JPEGImages/b.png").read_bytes())
    with pytest.raises(DataError, match=r"has two files for one picture, b\.jpg and b\.png"):
        load(root)
