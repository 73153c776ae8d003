"""The layout of a folder of images: one folder per class, or parts with one folder per class."""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from normbench.errors import DataError

# Extensions and order are torchvision's; a test compares them. Importing torchvision at every start would take ten
# times as long as listing 60,000 files.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

UNREAD = (
    *(".gif", ".heic", ".heif", ".avif", ".jfif", ".jpe", ".jp2", ".j2k", ".jxl", ".svg", ".tga", ".ico", ".psd"),
    *(".exr", ".hdr", ".pbm", ".dng", ".cr2", ".nef", ".arw", ".dcm"),
)
"""Extensions of unsupported image types; their files are counted."""

LITTER = ("__macosx", "@eadir", "@recycle", "#recycle", "$recycle.bin", "lost+found")
"""Names of system files, in lower case; hidden files begin with a dot. None of them is data."""

_PART = re.compile(
    r"(?:(?P<train>train(?:ing)?)|(?P<val>val(?:id(?:ation)?)?|dev)|(?P<test>test(?:ing)?))"
    r"(?:[ _-]?(?:set|data|images))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Listing:
    """The images under one folder of class folders.

    Attributes:
        folder: Its name, empty for the root.
        class_names: Names of the class folders, sorted.
        files: Paths of the images, class by class.
        labels: Class of each image.
        left_out: Number of files by extension in `UNREAD`; "" counts images outside class folders.
    """

    folder: str
    class_names: list[str]
    files: list[str]
    labels: list[int]
    left_out: Counter[str]


@dataclass(frozen=True)
class Layout:
    """The parts of a folder.

    Attributes:
        train: The training images; all images if the folder has no parts.
        val: The folder's own validation part; no images if there is none.
        test: Its own test part, likewise.
        mark: Text that the content hash includes in addition to files and paths; empty for layouts that older versions
            already distinguished.
        unused: Folders next to the parts; they contain no images.
    """

    train: Listing
    val: Listing
    test: Listing
    mark: str = ""
    unused: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Listing, Listing, Listing]:
        """Training, validation and test part, in the order of the data set's images."""
        return self.train, self.val, self.test


def read_layout(root: Path) -> Layout:
    """List the images of a folder and find its parts by the names of its subfolders.

    A part is `train`, `val` (`valid`, `validation`, `dev`) or `test`, in any case, optionally with the suffix `ing`,
    `_set`, `_data` or `_images`. Without a test folder, the validation folder is the test part.

    Args:
        root: Absolute path.

    Raises:
        DataError: The folder has neither layout, a class is empty, parts have different classes, or a link is broken.
    """
    folders, _ = _entries(root)
    named: dict[str, list[str]] = {}
    for name in folders:
        if match := _PART.fullmatch(name):
            named.setdefault(str(match.lastgroup), []).append(name)
    names = [name for group in named.values() for name in group]
    # A single folder with such a name that directly contains images is a class: trains next to buses.
    if not names or (len(names) == 1 < len(folders) and _images(_entries(root / names[0])[1])):
        listing = _list_classes(root)
        _refuse_parts_in_classes(root, listing.class_names)
        return Layout(listing, _nothing(listing), _nothing(listing))
    others = [name for name in folders if name not in names]
    _refuse_mixtures(root, named, others)
    own = {part: _list_classes(root / group[0], group[0]) for part, group in named.items()}
    train = own["train"]
    for other in (own[part] for part in ("val", "test") if part in own):
        odd = sorted(set(train.class_names) ^ set(other.class_names))
        if odd:
            raise DataError(
                f"{root}: {train.folder} and {other.folder} must have the same class folders, "
                f"only one has: {', '.join(odd[:5])}"
            )
    test = own.get("test") or own["val"]
    val = own["val"] if {"val", "test"} <= set(own) else _nothing(train)
    # Earlier versions read other names as classes and no validation part: those layouts now give different data.
    before = not val.files and train.folder == "train" and test.folder in ("test", "val")
    mark = "" if before else "".join(f"{part} {group[0]}\n" for part, group in sorted(named.items()))
    return Layout(train, val, test, mark, tuple(others))


def _refuse_mixtures(root: Path, named: dict[str, list[str]], others: list[str]) -> None:
    for part, group in named.items():
        if len(group) > 1:
            raise DataError(f"{root}: {' and '.join(group)} are both names for the {part} part; keep one of them")
    names = ", ".join(name for group in named.values() for name in group)
    mixed = [name for name in others if any(_images(files) for _, files in _walk(root / name))]
    if mixed:
        raise DataError(
            f"{root} mixes parts ({names}) with other image folders ({', '.join(mixed[:5])}); "
            "it must contain either parts or one folder per class"
        )
    if "train" not in named:
        raise DataError(f"{root} has parts ({names}) but no training part; name it train")
    if len(named) == 1:
        raise DataError(
            f"{root} has only {names}: data.root={root / names} uses its classes and draws validation and test images"
        )


def _refuse_parts_in_classes(root: Path, class_names: list[str]) -> None:
    """Raise if each class folder holds parts: their images would be mixed, and drawn into parts anew."""
    inside = [
        sorted(entry.name for entry in os.scandir(root / own) if entry.is_dir() and _PART.fullmatch(entry.name))
        for own in class_names
    ]
    if all(len(parts) > 1 for parts in inside):
        first, second = inside[0][:2]
        raise DataError(
            f"{root}: each class folder holds parts ({first}, {second}); turn it round: "
            f"{first}/{class_names[0]}, {second}/{class_names[0]}, ..."
        )


def _nothing(like: Listing) -> Listing:
    return Listing("", like.class_names, [], [], Counter())


def _list_classes(folder: Path, name: str = "") -> Listing:
    class_names, loose = _entries(folder)
    if len(class_names) < 2:
        found = f"only '{class_names[0]}'" if class_names else "none"
        raise DataError(
            f"{folder} must contain one subfolder per class for at least two classes, found {found}.\n"
            "A test part is read from root/test or root/val next to root/train"
        )
    files: list[str] = []
    labels: list[int] = []
    left_out = Counter({"": len(_images(loose))})
    for label, class_name in enumerate(class_names):
        for parent, names in _walk(folder / class_name):
            images = _images(names)
            files += [os.path.join(parent, image) for image in images]
            labels += [label] * len(images)
            if len(images) < len(names):
                left_out.update(suffix for file in names if (suffix := _suffix(file)) in UNREAD)
    empty = [class_names[label] for label in sorted(set(range(len(class_names))) - set(labels))]
    if empty:
        more = ", ..." if len(empty) > 5 else ""
        raise DataError(
            f"{folder}: no image in class folder {', '.join(empty[:5])}{more} (supported: {' '.join(EXTENSIONS)})"
        )
    return Listing(name, class_names, files, labels, +left_out)


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in a folder, each sorted, without files that are not data."""
    try:
        entries = [entry for entry in os.scandir(folder) if not _is_litter(entry.name)]
    except OSError as error:
        raise _unreadable(error) from error
    for entry in entries:
        if entry.is_symlink():
            _refuse_broken_link(entry.path)
    folders = sorted(entry.name for entry in entries if entry.is_dir())
    return folders, sorted(entry.name for entry in entries if entry.is_file())


def _walk(folder: Path) -> list[tuple[str, list[str]]]:
    """Return `folder` and all its subfolders with their file names, sorted, without files that are not data."""
    found = []
    seen: dict[str, str] = {}
    try:
        for parent, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
            folders[:] = [name for name in folders if not _is_litter(name)]
            real = os.path.realpath(parent)
            if real in seen:
                raise DataError(f"{parent} links to {seen[real]}: its images would count more than once")
            seen[real] = parent
            names = sorted(name for name in names if not _is_litter(name))
            for name in names:
                if "." not in name:  # may link to a folder; a broken link to an image fails when it is opened
                    _refuse_broken_link(os.path.join(parent, name))
            found.append((parent, names))
    except OSError as error:
        raise _unreadable(error) from error
    return sorted(found)


def _images(names: list[str]) -> list[str]:
    return [name for name in names if name.lower().endswith(EXTENSIONS)]


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER


def _refuse_broken_link(path: str) -> None:
    if os.path.islink(path) and not os.path.exists(path):
        raise DataError(f"{path} is a broken link to {os.readlink(path)}")


def _unreadable(error: OSError) -> DataError:
    return DataError(f"cannot read folder {error.filename}: {error.strerror}")


def _raise(error: OSError) -> None:
    raise error
