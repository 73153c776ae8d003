"""Pictures with annotated boxes, whatever format they come from, as a data set."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from normbench.data.bad_entries import BadEntries
from normbench.data.boxes import Corners, fault, inside, scaled_boxes
from normbench.data.decoding import load_images
from normbench.data.fields import fields_hash
from normbench.data.folder_notes import MOST_CLASSES, conversions, copies
from normbench.data.moved import NO_BOX
from normbench.data.own_parts import PARTS
from normbench.data.pictures import Pictures
from normbench.data.pixels import decode_stretched, read_size
from normbench.errors import DataError


@dataclass(frozen=True, slots=True)
class Box:
    """One annotated object.

    Attributes:
        category: Name of its class.
        corners: Its box.
        ignored: Whether it is neither to be found nor wrong if found.
        where: File and entry, for messages.
    """

    category: str
    corners: Corners
    ignored: bool
    where: str


@dataclass(frozen=True, slots=True)
class Annotated:
    """One picture.

    Attributes:
        file: Absolute path.
        boxes: What is annotated in it, which may be nothing.
        size: Width and height that the annotations give; None if they give none.
        where: File and entry, for messages.
    """

    file: str
    boxes: Sequence[Box]
    size: tuple[int, int] | None
    where: str


@dataclass(frozen=True, slots=True)
class _Fitted:
    file: str
    boxes: Sequence[Box]
    size: tuple[int, int]


def assemble(
    name: str,
    root: Path,
    parts: Mapping[str, Sequence[Annotated]],
    class_names: Sequence[str],
    *,
    size: int | None,
    whole_pixels: bool,
    bad: BadEntries,
    notes: Sequence[str] = (),
) -> Pictures:
    """Decode annotated pictures, in the order of their paths, and return them with their boxes.

    Args:
        name: Name of the data set.
        root: Absolute path of the folder that all pictures are under.
        parts: The pictures of each of `PARTS`; the validation and the test part may have none.
        class_names: The classes in any order; data sets have them in the order of the alphabet.
        size: Width and height that pictures are stretched to; None if they all have the same.
        whole_pixels: Whether to round corners to whole pixels of the original picture, halves to even numbers.
        bad: What is wrong so far.
        notes: Notes of the reader.

    Returns:
        The data set, (N, 3, H, W) uint8, memory-mapped from the cache.

    Raises:
        DataError: An entry is bad, a picture cannot be read, sizes differ while `size` is None, or no box is left.
    """
    fitted = {part: _fit(parts[part], whole_pixels, bad) for part in PARTS}
    if not any(picture.boxes for picture in fitted["train"]):
        raise DataError(f"{root}: none of the {len(fitted['train'])} training pictures has a box")
    counts, names = {part: len(fitted[part]) for part in PARTS}, tuple(sorted(class_names))
    pictures = list(chain.from_iterable(fitted.values()))
    files = {part: [picture.file for picture in fitted[part]] for part in PARTS}
    loaded = load_images(root, files, size, decode_stretched, "stretched\n")
    boxes = _tensors(pictures, names)
    digest = (loaded.content, fields_hash(boxes, counts["test"], counts["val"]), names)
    height, width = loaded.images.shape[2:]
    sizes = torch.tensor([picture.size for picture in pictures])
    boxes["boxes"] = scaled_boxes(boxes["boxes"], sizes[:, None], torch.tensor((width, height)))
    found = (*_count(fitted, names), *notes, *bad.notes(), *conversions(loaded.found, len(pictures)))
    return Pictures(
        name,
        loaded.images,
        counts["test"],
        hashlib.sha256(json.dumps(digest).encode()).hexdigest(),
        **boxes,
        class_names=names,
        num_val=counts["val"],
        notes=tuple(f"{root}: {note}" for note in (*found, *copies(counts, loaded.found))),
    )


def _fit(pictures: Sequence[Annotated], whole_pixels: bool, bad: BadEntries) -> list[_Fitted]:
    """Return the good pictures in the order of their paths, with the good ones of their boxes."""
    fitted = []
    for picture in sorted(pictures, key=lambda picture: picture.file):
        size = read_size(picture.file)
        if picture.size is not None and picture.size != size:
            wrong = f"annotated for {_written(picture.size)} pixels, but {picture.file} has {_written(size)}"
            bad.add("pictures of another size than annotated", f"{picture.where}: {wrong}")
            continue
        boxes = []
        for box in picture.boxes:
            if what := fault(box.corners, size):
                x1, y1, x2, y2 = box.corners
                corners = f"from x {x1:g}, y {y1:g} to x {x2:g}, y {y2:g} in {_written(size)} pixels"
                bad.add(f"boxes {what}", f"{box.where}: a box {what}, {corners}")
                continue
            if inside(box.corners, size, False) != tuple(box.corners):
                bad.mend("boxes that reached up to a pixel outside, clipped")
            boxes.append(replace(box, corners=inside(box.corners, size, whole_pixels)))
        fitted.append(_Fitted(picture.file, boxes, size))
    return fitted


def _written(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _tensors(pictures: Sequence[_Fitted], names: Sequence[str]) -> dict[str, Any]:
    """Return the boxes of all pictures in their original pixels, filled up to the largest number of boxes."""
    most = max(len(picture.boxes) for picture in pictures)
    boxes = torch.zeros(len(pictures), most, 4)
    labels = torch.full((len(pictures), most), NO_BOX)
    ignored = torch.zeros(len(pictures), most, dtype=torch.bool)
    numbers = {name: number for number, name in enumerate(names)}
    for row, picture in enumerate(pictures):
        if count := len(picture.boxes):
            boxes[row, :count] = torch.tensor([box.corners for box in picture.boxes])
            labels[row, :count] = torch.tensor([numbers[box.category] for box in picture.boxes])
            ignored[row, :count] = torch.tensor([box.ignored for box in picture.boxes])
    return {"boxes": boxes, "box_labels": labels, "box_ignored": ignored}


def _count(fitted: Mapping[str, Sequence[_Fitted]], names: Sequence[str]) -> Iterator[str]:
    """Yield what the parts have."""
    for part, pictures in fitted.items():
        counts = Counter(box.category for picture in pictures for box in picture.boxes)
        if len(names) > MOST_CLASSES:
            classes = f"{len(names)} classes of {min(counts[name] for name in names)} to {max(counts.values())}"
        else:
            classes = ", ".join(f"{name} {counts[name]}" for name in names)
        if pictures:
            yield f"{part} {len(pictures)} pictures, {counts.total()} boxes ({classes})"
        else:
            yield f"{part} pictures are drawn from the training part"
        if empty := sum(not picture.boxes for picture in pictures):
            yield f"{empty} of {len(pictures)} {part} pictures have no box"
        if part == "train" and (absent := [name for name in names if not counts[name]]):
            yield f"warning: no box in the training part: {', '.join(absent[:MOST_CLASSES])}"
    if len(names) == 1:
        yield f"boxes have one class, {names[0]}"
    if ignored := sum(box.ignored for part in fitted.values() for picture in part for box in picture.boxes):
        yield f"{ignored} boxes are marked as difficult or as crowds: neither a miss nor a false alarm"
