import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from normbench.data.layout import Layout, read_layout
from normbench.errors import DataError


def grow(root: Path, *names: str) -> Path:
    """Make files of these names; their bytes do not matter to a layout."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def parts(root: Path, *folders: str) -> Path:
    """Make a part of two classes, of one image each, of every name."""
    return grow(root, *(f"{folder}/{name}/1.png" for folder in folders for name in ("cat", "dog")))


def names(layout: Layout) -> tuple[str, str, str]:
    train, val, test = layout.parts
    return train.folder, val.folder, test.folder


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("train", "test"), ("train", "", "test")),
        (("train", "val"), ("train", "", "val")),
        (("train", "valid"), ("train", "", "valid")),
        (("Train", "Test"), ("Train", "", "Test")),
        (("training", "testing"), ("training", "", "testing")),
        (("training_set", "test_set"), ("training_set", "", "test_set")),
        (("train", "val", "test"), ("train", "val", "test")),
        (("TRAIN", "Validation", "TEST"), ("TRAIN", "Validation", "TEST")),
        (("train", "dev", "test"), ("train", "dev", "test")),
        (("Training Data", "Validation Data", "Testing-Data"), ("Training Data", "Validation Data", "Testing-Data")),
    ],
    ids=str,
)
def test_parts_go_by_their_usual_names(
    folders: tuple[str, ...], expected: tuple[str, str, str], tmp_path: Path
) -> None:
    """In any case; a validation folder is the validation part beside a test folder, and the test part without one."""
    layout = read_layout(parts(tmp_path, *folders))
    assert names(layout) == expected
    assert layout.train.class_names == ["cat", "dog"]
    assert [len(part.files) for part in layout.parts] == [2 if name else 0 for name in expected]


@pytest.mark.parametrize(
    "folders",
    [("cat", "dog"), ("tests", "trains"), ("bus", "train"), ("valid", "invalid"), ("pretest", "dog")],
    ids=str,
)
def test_other_names_are_classes(folders: tuple[str, ...], tmp_path: Path) -> None:
    """So is one folder with the name of a part that holds images itself, beside others: a train is a vehicle."""
    layout = read_layout(grow(tmp_path, *(f"{folder}/1.png" for folder in folders)))
    assert layout.train.class_names == sorted(folders)
    assert names(layout) == ("", "", "")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train", "test", "cat"), r"mixes parts \(.*train.*\) with other image folders \(cat\)"),
        (("train", "cat", "dog"), r"mixes parts \(train\) with other image folders \(cat, dog\)"),
        (("train", "val", "valid"), "val and valid are both names for the val part"),
        (("Train", "train", "test"), "Train and train are both names for the train part"),
        (("valid", "test"), r"has parts \(.*\) but no training part"),
        (("train",), r"has only train: data\.root=/.*/train uses its classes"),
    ],
    ids=[
        "parts and a class",
        "a part and classes",
        "two of one part",
        "two spellings",
        "no training part",
        "one alone",
    ],
)
def test_other_mixtures_are_refused(folders: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """What could be meant in two ways is said in one line."""
    with pytest.raises(DataError, match=message) as caught:
        read_layout(parts(tmp_path, *folders))
    assert "\n" not in str(caught.value)


def test_parts_inside_each_class_are_refused(tmp_path: Path) -> None:
    """Their images would be mixed, and drawn into parts anew; one part among other folders is a folder as any."""
    folders = [f"{name}/{part}/1.png" for name in ("cat", "dog") for part in ("train", "test")]
    sorted_by_class = grow(tmp_path / "a", *folders)
    with pytest.raises(DataError, match=r"each class folder holds parts \(test, train\); turn it round: test/cat, tr"):
        read_layout(sorted_by_class)
    assert read_layout(grow(tmp_path / "b", "cat/train/1.png", "dog/puppy/1.png")).train.class_names == ["cat", "dog"]


def test_parts_without_class_folders_are_refused(tmp_path: Path) -> None:
    """Two parts that hold images directly are no two classes."""
    with pytest.raises(DataError, match="train must contain one subfolder per class for at least two classes"):
        read_layout(grow(tmp_path, "train/1.png", "valid/2.png"))


def test_a_folder_without_images_beside_the_parts_is_left_out(tmp_path: Path) -> None:
    """Annotations and logs are no class, and no reason to refuse."""
    layout = read_layout(grow(parts(tmp_path, "train", "test"), "labels/1.txt"))
    assert names(layout) == ("train", "", "test")
    assert layout.unused == ("labels",)


LITTER = [
    ".ipynb_checkpoints/1.png",
    ".git/objects/1.png",
    "__MACOSX/cat/1.png",
    "@eaDir/1.png",
    "cat/.ipynb_checkpoints/1-checkpoint.png",
    "cat/@eaDir/1.png/thumb.jpg",
    "cat/._1.png",
    "dog/.hidden.jpg",
    "dog/Thumbs.db",
    "dog/.DS_Store",
    ".DS_Store",
]


@pytest.mark.parametrize("litter", LITTER)
def test_what_systems_leave_behind_is_no_data(litter: str, tmp_path: Path) -> None:
    """Neither a class nor an image comes of it, and nothing is said of it."""
    clean = read_layout(grow(tmp_path, "cat/1.png", "dog/1.png"))
    assert read_layout(grow(tmp_path, litter)) == clean


def test_litter_makes_no_parts(tmp_path: Path) -> None:
    """Hidden folders beside parts mix nothing."""
    assert names(read_layout(grow(parts(tmp_path, "train", "test"), *LITTER[:4]))) == ("train", "", "test")


def test_a_hidden_root_is_read(tmp_path: Path) -> None:
    """What lies above the root says nothing of the images."""
    assert len(read_layout(grow(tmp_path / ".cache/set", "cat/1.png", "dog/1.png")).train.files) == 2


def test_images_that_are_left_out_are_counted(tmp_path: Path) -> None:
    """Types that are not read, in any case, and images outside all class folders; other files are not."""
    grow(tmp_path, "cat/1.png", "cat/2.GIF", "cat/3.gif", "dog/1.JPG", "dog/deep/2.heic", "dog/notes.txt", "loose.png")
    listing = read_layout(tmp_path).train
    assert [Path(file).name for file in listing.files] == ["1.png", "1.JPG"]
    assert listing.left_out == {".gif": 2, ".heic": 1, "": 1}


@pytest.mark.parametrize("root", ["", "train"], ids=["classes", "parts"])
def test_all_empty_classes_are_named(root: str, tmp_path: Path) -> None:
    """One message is enough to mend them all."""
    parts(tmp_path, *([root, "test"] if root else ["."]))
    grow(tmp_path / root, "emu/readme.txt", "fox/.hidden.png", "gnu/only.gif")
    with pytest.raises(DataError, match=r"no image in class folder emu, fox, gnu \(supported: \.jpg .*\.webp\)"):
        read_layout(tmp_path)


@pytest.mark.parametrize("other", ["val", "test"])
def test_parts_of_different_classes_are_refused(other: str, tmp_path: Path) -> None:
    """A class that one part alone has is named, whichever part it is."""
    grow(parts(tmp_path, "train", "val", "test"), f"{other}/emu/1.png")
    with pytest.raises(DataError, match=f"train and {other} must have the same class folders, only one has: emu"):
        read_layout(tmp_path)


@pytest.mark.parametrize("link", ["emu", "cat/more"])
def test_a_broken_link_to_a_folder_is_named(link: str, tmp_path: Path) -> None:
    """A class or a part of it does not go missing in silence."""
    grow(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / link).symlink_to("/nowhere")
    with pytest.raises(DataError, match=rf"^{tmp_path / link} is a broken link to /nowhere$"):
        read_layout(tmp_path)


def to_itself(root: Path) -> None:
    (root / "cat/again").symlink_to(root / "cat")


def to_the_root(root: Path) -> None:
    (root / "cat/again").symlink_to(root)


def in_a_circle(root: Path) -> None:
    grow(root, "dog/deep/1.png")
    (root / "dog/deep/on").symlink_to(root / "cat")
    (root / "cat/back").symlink_to(root / "dog/deep")


@pytest.mark.parametrize("tie", [to_itself, to_the_root, in_a_circle])
def test_a_cycle_of_links_is_named(tie: Callable[[Path], None], tmp_path: Path) -> None:
    """Following it would count images forty times, as many as the system allows."""
    grow(tmp_path, "cat/1.png", "dog/1.png")
    tie(tmp_path)
    with pytest.raises(DataError, match=r"links to .*: its images would count more than once"):
        read_layout(tmp_path)


def test_links_are_followed(tmp_path: Path) -> None:
    """A class or an image may lie elsewhere."""
    grow(tmp_path, "root/cat/1.png", "elsewhere/dog/2.png", "elsewhere/3.png")
    (tmp_path / "root/dog").symlink_to(tmp_path / "elsewhere/dog")
    (tmp_path / "root/cat/3.png").symlink_to(tmp_path / "elsewhere/3.png")
    files = read_layout(tmp_path / "root").train.files
    assert [os.path.relpath(file, tmp_path / "root") for file in files] == ["cat/1.png", "cat/3.png", "dog/2.png"]


@pytest.mark.parametrize("folder", [".", "cat"])
def test_an_unreadable_folder_is_named(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its images would otherwise be missing in silence."""
    grow(tmp_path, "cat/1.png", "dog/1.png")
    locked = str(tmp_path / folder)
    scandir = os.scandir

    def refuse(path: str | Path) -> object:
        if str(path) == locked:
            raise PermissionError(13, "Permission denied", locked)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything, so that chmod would not do
    with pytest.raises(DataError, match=rf"^cannot read folder {re.escape(locked)}: Permission denied$"):
        read_layout(tmp_path)


@pytest.mark.parametrize(
    ("folders", "marked"),
    [
        (("train", "test"), False),
        (("train", "val"), False),
        (("train", "val", "test"), True),
        (("train", "valid"), True),
        (("Train", "Test"), True),
    ],
    ids=str,
)
def test_layouts_that_were_read_otherwise_before_are_marked(
    folders: tuple[str, ...], marked: bool, tmp_path: Path
) -> None:
    """The same files with other labels are other data; those that always had theirs keep their hash."""
    assert bool(read_layout(parts(tmp_path, *folders)).mark) is marked
