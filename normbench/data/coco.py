"""Pictures with boxes in the format of COCO: a JSON file for each part."""

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normbench.data.annotated import Annotated, Box, assemble
from normbench.data.bad_entries import BadEntries
from normbench.data.boxes import Corners
from normbench.data.layout import EXTENSIONS
from normbench.data.own_parts import PARTS
from normbench.data.picture_names import read_lists, stem
from normbench.data.pictures import Pictures
from normbench.data.text_files import find
from normbench.errors import DataError

_ById = Mapping[object, Mapping[str, Any]]


@dataclass(frozen=True)
class _Read:
    """One JSON file.

    Attributes:
        path: The file.
        pictures: Its pictures.
        class_names: Names of its categories.
    """

    path: Path
    pictures: list[Annotated]
    class_names: frozenset[str]


def coco(
    root: str | None,
    annotations: str | None,
    annotations_val: str | None,
    annotations_test: str | None,
    images: str | None,
    images_val: str | None,
    images_test: str | None,
    split: str | None,
    whole_pixels: bool,
    skip_bad: bool,
    size: int | None,
) -> Pictures:
    """Load pictures and the JSON files that annotate them; pictures are decoded once into the cache.

    Boxes marked as `iscrowd` are neither to be found nor wrong if found. A picture without boxes is a picture of
    nothing to be found.

    Args:
        root: The folder; relative to the working directory.
        annotations: The JSON file in it for training.
        annotations_val: That for validation; None draws validation pictures by the run's seed.
        annotations_test: That for the test; None draws test pictures likewise.
        images: Folder of the pictures for training in it; None for the folder of the JSON file.
        images_val: That for validation; None for `images`, or else the folder of the JSON file.
        images_test: That for the test; None likewise.
        split: Folder in `root` whose train.txt, val.txt and test.txt list the pictures of each part of a single JSON
            file; None without such lists.
        whole_pixels: Whether to round corners to whole pixels, before scaling.
        skip_bad: Whether to leave out what is wrong, with a note; otherwise it is an error.
        size: Width and height that pictures are stretched to; None if they all have the same.

    Returns:
        The data set, with the parts that have a file.

    Raises:
        DataError: A file is missing or damaged, or an entry is bad; see `assemble`.
    """
    folder = find(root, "FOLDER")
    if annotations is None:
        raise DataError(f"data.annotations=FILE.json: name the file in {folder} that annotates the training pictures")
    if split is not None and (annotations_val or annotations_test):
        raise DataError("data.split divides a single file; leave out data.annotations_val and data.annotations_test")
    bad = BadEntries(skip_bad)
    files = {"train": annotations, "val": annotations_val, "test": annotations_test}
    folders = {"train": images, "val": images_val or images, "test": images_test or images}
    read: dict[str, _Read] = {}
    for part in PARTS:
        if (file := files[part]) is not None:
            own = folders[part]
            read[part] = _read_file(folder / file, (folder / file).parent if own is None else folder / own, bad)
            _refuse_other_classes(read["train"], read[part])
    parts = {part: read[part].pictures if part in read else [] for part in PARTS}
    notes = _unannotated(parts)
    if split is not None:
        parts, more = _divide(read["train"], folder / split, bad)
        notes += more
    return assemble(
        "coco",
        folder,
        parts,
        sorted(read["train"].class_names),
        size=size,
        whole_pixels=whole_pixels,
        bad=bad,
        notes=notes,
    )


def _refuse_other_classes(first: _Read, other: _Read) -> None:
    if odd := sorted(first.class_names ^ other.class_names):
        raise DataError(
            f"{first.path} and {other.path} must have the same categories, only one has: {', '.join(odd[:5])}"
        )


def _read_file(path: Path, images: Path, bad: BadEntries) -> _Read:
    """Read a JSON file and look for its pictures in a folder."""
    content = _load(path)
    categories = _by_id(path, content["categories"], "categories", "name")
    if not categories:
        raise DataError(f"{path} has no categories")
    pictures = _by_id(path, content["images"], "images", "file_name")
    boxes: dict[object, list[Box]] = defaultdict(list)
    for number, entry in enumerate(content["annotations"]):
        box = _box(path, number, entry if isinstance(entry, dict) else {}, pictures, categories, bad)
        if box is not None:
            boxes[entry["image_id"]].append(box)
    found = []
    for own, picture in pictures.items():
        file, where = str(images / str(picture["file_name"])), f"{path}: picture {own} ({picture['file_name']})"
        if os.path.isfile(file):
            found.append(Annotated(file, boxes[own], _size(picture), where))
        else:
            bad.add("annotations of missing pictures", f"{where}: there is no file {file}")
    return _Read(path, found, frozenset(str(category["name"]) for category in categories.values()))


def _box(
    path: Path, number: int, entry: Mapping[str, Any], pictures: _ById, categories: _ById, bad: BadEntries
) -> Box | None:
    """Return the box of an annotation; None if the annotation is bad and bad entries are skipped."""
    where = f"{path}: annotation {entry.get('id', f'number {number}')}"
    corners = _corners(entry.get("bbox"))
    if not _names_one_of(pictures, picture := entry.get("image_id")):
        bad.add("annotations of unknown pictures", f"{where}: no picture has the id {picture!r}")
    elif not _names_one_of(categories, category := entry.get("category_id")):
        bad.add("boxes of unknown categories", f"{where}: no category has the id {category!r}")
    elif corners is None:
        wrong = f"bbox is {entry.get('bbox')!r}, expected [x, y, width, height]"
        bad.add("boxes that cannot be read", f"{where}: {wrong}")
    else:
        name = str(categories[category]["name"])
        return Box(name, corners, entry.get("iscrowd") == 1, f"{where} ({name})")
    return None


def _names_one_of(entries: _ById, own: object) -> bool:
    return isinstance(own, int | str) and own in entries


def _load(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # from the JSON, or from bytes that are no text
        raise DataError(f"{path}: damaged JSON: {error}") from error
    lacks = [key for key in ("images", "annotations", "categories") if not _has_list(content, key)]
    if lacks:
        raise DataError(f"{path} is no COCO file of boxes: it has no list {', '.join(lacks)}")
    return dict(content)


def _has_list(content: object, key: str) -> bool:
    return isinstance(content, dict) and isinstance(content.get(key), list)


def _by_id(path: Path, entries: Sequence[Any], key: str, wanted: str) -> _ById:
    """Return entries by their ids, each with a value of its own that is wanted."""
    found: dict[object, Mapping[str, Any]] = {}
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), int | str) or wanted not in entry:
            raise DataError(f"{path}: entry {number} of {key} has no id or no {wanted}")
        own, value = entry["id"], str(entry[wanted])
        if own in found or value in seen:
            twice = f"id {own!r}" if own in found else f"{wanted} '{value}'"
            raise DataError(f"{path}: two entries of {key} have the {twice}")
        found[own] = entry
        seen.add(value)
    return found


def _corners(box: object) -> Corners | None:
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(value, int | float) for value in box):
        return None
    try:
        x, y, width, height = map(float, box)
    except OverflowError:
        return None
    return x, y, x + width, y + height


def _size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = entry.get("width"), entry.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) and width > 0 < height else None


def _unannotated(parts: Mapping[str, Sequence[Annotated]]) -> list[str]:
    """Return a note if folders have pictures that no JSON file names."""
    named = {picture.file for pictures in parts.values() for picture in pictures}
    there = {
        os.path.join(folder, name)
        for folder in {os.path.dirname(file) for file in named}
        for name in os.listdir(folder)
        if name.lower().endswith(EXTENSIONS)
    }
    rest = len(there - named)
    return [f"left out: {rest} pictures without an entry in a JSON file"] if rest else []


def _divide(read: _Read, folder: Path, bad: BadEntries) -> tuple[dict[str, list[Annotated]], list[str]]:
    """Return the pictures of a single JSON file by the parts that lists in a folder give, and notes."""
    by_stem = {stem(picture.file): picture for picture in read.pictures}
    if len(by_stem) < len(read.pictures):
        raise DataError(f"{read.path}: pictures in two folders have the same name, so lists cannot tell them apart")
    parts: dict[str, list[Annotated]] = {part: [] for part in PARTS}
    lists = read_lists(folder)
    for part, names in lists.items():
        for name in names:
            if name in by_stem:
                parts[part].append(by_stem[name])
            else:
                bad.add("pictures without annotations", f"{folder / part}.txt: {name} is no picture of {read.path}")
    rest = len(set(by_stem).difference(*lists.values()))
    return parts, [f"left out: {rest} pictures that no list names"] if rest else []
