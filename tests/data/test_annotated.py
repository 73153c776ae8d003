import tarfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from annotations import COCO, VOC, write
from commands import Command
from PIL import Image
from shared_data import shared_file

from normbench.data import Pictures, split
from normbench.data.coco import coco
from normbench.data.voc import voc
from normbench.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "made")


def both(root: Path, **changes: Any) -> tuple[Pictures, Pictures]:
    return voc(str(root), **{**VOC, **changes}), coco(str(root), **{**COCO, **changes})


def same(one: Pictures, other: Pictures) -> bool:
    values = ((getattr(one, field.name), getattr(other, field.name)) for field in fields(one) if field.name != "name")
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in values)


@pytest.mark.parametrize("size", [None, 16])
def test_both_formats_are_the_same_data(root: Path, size: int | None) -> None:
    """The order of files, entries and ids is no part of the data."""
    assert same(*both(root, size=size))


@pytest.mark.parametrize("size", [None, 64])
def test_the_blood_cells_are_the_same_bytes_from_both_formats(tmp_path: Path, size: int | None) -> None:
    """The JSON has halves of pixels, which are rounded as in the XML."""
    with tarfile.open(shared_file("bccd.tar.xz")) as archive:
        archive.extractall(tmp_path, filter="data")
    voc_data = voc(str(tmp_path / "bccd"), **{**VOC, "size": size})
    coco_data = coco(str(tmp_path / "bccd"), **{**COCO, "annotations": "instances.json", "size": size})
    assert same(voc_data, coco_data)
    assert voc_data.content == "eddf1b37d86119321a5ab29632ec77ee58700a16fb5b521e931c28ba37c7f2f4"
    assert (len(voc_data), voc_data.num_val, voc_data.num_test) == (364, 87, 72)
    assert voc_data.class_names == ("Platelets", "RBC", "WBC")
    assert voc_data.box_labels is not None
    assert torch.bincount(voc_data.box_labels[voc_data.box_labels >= 0]).tolist() == [361, 4153, 372]


def test_parts_boxes_and_names(root: Path) -> None:
    """Pictures are in the order of their parts and paths, classes in that of the alphabet, boxes as annotated."""
    data = voc(str(root), **VOC)
    assert (data.images.shape, data.num_val, data.num_test) == ((5, 3, 30, 40), 1, 1)
    assert data.class_names == ("cat", "dog")
    assert data.boxes is not None and data.box_labels is not None
    assert data.box_labels.tolist() == [[1, 0], [0, -1], [-1, -1], [1, -1], [1, -1]]
    assert data.boxes[:2].tolist() == [[[2, 3, 20, 18], [0, 0, 40, 30]], [[5, 5, 9, 9], [0, 0, 0, 0]]]
    assert [note.removeprefix(f"{root}: ") for note in data.notes] == [
        "train 3 pictures, 3 boxes (cat 2, dog 1)",
        "1 of 3 train pictures have no box",
        "val 1 pictures, 1 boxes (cat 0, dog 1)",
        "test 1 pictures, 1 boxes (cat 0, dog 1)",
    ]


def test_pictures_are_stretched_and_boxes_follow(root: Path) -> None:
    """Nothing is cut off, and no border is added that norms would see."""
    data = coco(str(root), **{**COCO, "size": 20})
    assert data.boxes is not None
    assert data.boxes[0].tolist() == [[1, 2, 10, 12], [0, 0, 20, 20]]
    picture = Image.open(root / "JPEGImages/a.png").resize((20, 20), Image.Resampling.BILINEAR)
    assert torch.equal(data.images[0], torch.from_numpy(np.array(picture)).permute(2, 0, 1))


def test_parts_without_lists_are_drawn_by_the_seed(root: Path) -> None:
    """As they are of any other set."""
    for name in ("val", "test"):
        (root / f"ImageSets/Main/{name}.txt").unlink()
    for listed in both(root):
        assert (len(listed), listed.num_val, listed.num_test) == (3, 0, 0)
        assert f"{root}: test pictures are drawn from the training part" in listed.notes
        assert f"{root}: left out: 2 pictures that no list names" in listed.notes
    every = both(root, split=None)
    assert same(*every)
    assert len(every[0]) == 5
    assert len(split(every[0], seed=0, val_fraction=0.2, test_fraction=0.2).train) == 3


def test_pictures_are_decoded_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second start maps them from the cache, also when a box has changed, which makes other data."""
    before = voc(str(root), **VOC)

    def refuse(*_: object) -> None:
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr("normbench.data.annotated.decode_stretched", refuse)
    assert voc(str(root), **VOC).content == before.content
    path = root / "Annotations/e.xml"
    path.write_text(path.read_text().replace("<xmin>1<", "<xmin>2<"))
    changed = voc(str(root), **VOC)
    assert changed.content != before.content
    assert torch.equal(changed.images, before.images)


def test_a_copy_elsewhere_is_the_same_data(root: Path) -> None:
    """The path of the folder is no part of the hash."""
    before = coco(str(root), **COCO).content
    assert coco(str(root.rename(root.parent / "moved")), **COCO).content == before


def test_a_picture_in_two_parts_is_told(root: Path) -> None:
    """It would be trained on and tested on."""
    (root / "ImageSets/Main/test.txt").write_text("a\ne\n")
    for data in both(root):
        assert f"{root}: warning: 1 of 2 test images are byte-identical to images in train" in data.notes[-1]


def test_no_box_at_all_is_an_error(root: Path) -> None:
    """There is nothing to learn."""
    (root / "ImageSets/Main/train.txt").write_text("c\n")
    with pytest.raises(DataError, match="none of the 1 training pictures has a box"):
        voc(str(root), **VOC)
    with pytest.raises(DataError, match="none of the 1 training pictures has a box"):
        coco(str(root), **COCO)


def test_one_class_is_told(root: Path) -> None:
    """A detector of one thing is one."""
    (root / "ImageSets/Main/train.txt").write_text("b\n")
    for name in ("val", "test"):
        (root / f"ImageSets/Main/{name}.txt").unlink()
    assert f"{root}: boxes have one class, cat" in voc(str(root), **VOC).notes


@pytest.mark.parametrize("data", ["voc", "coco"])
def test_a_bad_entry_starts_nothing(root: Path, data: str, normbench: Command, tmp_path: Path) -> None:
    """The command names file and entry in two lines and exits with 2; with skip_bad it goes on to the task."""
    path = root / ("Annotations/a.xml" if data == "voc" else "all.json")
    text = path.read_text()
    path.write_text(text.replace("<xmax>20<", "<xmax>60<") if data == "voc" else text.replace("[2, 3, 18", "[2, 3, 58"))
    own = [] if data == "voc" else ["data.annotations=all.json", "data.images=JPEGImages", "data.split=ImageSets/Main"]
    entry = "object 1 (dog)" if data == "voc" else "annotation 0 (dog)"
    result = normbench("train", f"data={data}", f"data.root={root}", *own)
    corners = "from x 2, y 3 to x 60, y 18 in 40 x 30 pixels"
    assert result.code == 2
    assert result.err.splitlines() == [
        f"normbench: {path}: {entry}: a box outside the picture, {corners}",
        "data.skip_bad=true leaves out boxes outside the picture",
    ]
    assert not (tmp_path / "results").exists()
    result = normbench("train", f"data={data}", f"data.root={root}", *own, "data.skip_bad=true", "batch_size=2")
    assert result.code == 2
    assert "the task needs labels" in result.err
