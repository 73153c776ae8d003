"""Folders of pictures and of masks: PNG files with the class of each pixel."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from normbench.data.bad_entries import BadEntries
from normbench.data.decoding import load_images
from normbench.data.folder_notes import MOST_CLASSES, conversions, copies
from normbench.data.images import chunk_length
from normbench.data.layout import EXTENSIONS
from normbench.data.moved import IGNORED
from normbench.data.own_parts import PARTS
from normbench.data.picture_names import files_by_stem
from normbench.data.pictures import Pictures
from normbench.data.pixels import decode_mask, decode_stretched, read_size
from normbench.data.text_files import find
from normbench.errors import DataError

_Pairs = dict[str, list[tuple[str, str]]]
"""Files of picture and mask by part."""


def mask_folder(root: str | None, classes: Sequence[str] | None, skip_bad: bool, size: int | None) -> Pictures:
    """Load root/images and root/masks, whose files have equal names; both are decoded once into the cache.

    The folders hold the files, or folders `train` and, where the set has such parts, `val` and `test`. A mask is a PNG
    file in grey or with a palette whose values are the classes; pixels of value 255 count nowhere. Masks are scaled by
    the nearest pixel.

    Args:
        root: The folder; relative to the working directory.
        classes: Names of the classes, the background first; None for as many as the masks have.
        skip_bad: Whether to leave out what is wrong, with a note; otherwise it is an error.
        size: Width and height that pictures and masks are stretched to; None if all have the same.

    Returns:
        The data set, (N, 3, H, W) uint8, memory-mapped from the cache.

    Raises:
        DataError: A file is missing or cannot be read, picture and mask differ in size, a mask has values beyond the
            classes, there is only one class, or sizes differ while `size` is None.
    """
    folder = find(root, "FOLDER, with folders images and masks")
    if classes is not None and not 1 < len(classes) == len(set(classes)) <= IGNORED:
        raise DataError(
            f"data.classes: got {', '.join(classes) or 'no name'}, expected 2 to {IGNORED} names that differ"
        )
    bad = BadEntries(skip_bad)
    pairs = {part: _good(files, bad) for part, files in _pairs(folder, bad).items()}
    if not pairs["train"]:
        raise DataError(f"{folder}: no training picture has a mask")
    images, masks = ({part: [pair[which] for pair in pairs[part]] for part in PARTS} for which in (0, 1))
    loaded = load_images(folder, images, size, decode_stretched, "stretched\n")
    classified = load_images(folder, masks, size, decode_mask, "masks\n")
    values = classified.images[:, 0]
    names = tuple(classes) if classes is not None else _names(values, folder)
    keep = _keep(values, names, list(chain.from_iterable(masks.values())), bad)
    of_parts = torch.split(keep, [len(files) for files in pairs.values()])
    counts = {part: int(own.sum()) for part, own in zip(PARTS, of_parts, strict=True)}
    if not counts["train"]:
        raise DataError(f"{folder}: no training mask has only values of the {len(names)} classes")
    whole = bool(keep.all())
    values, digest = values if whole else values[keep], (loaded.content, classified.content, names)
    notes = (
        *_count(counts, values, names),
        *bad.notes(),
        *conversions(loaded.found, len(keep)),
        *copies(counts, loaded.found),
    )
    return Pictures(
        "mask_folder",
        loaded.images if whole else loaded.images[keep],
        counts["test"],
        hashlib.sha256(json.dumps(digest).encode()).hexdigest(),
        masks=values,
        mask_names=names,
        num_val=counts["val"],
        notes=tuple(f"{folder}: {note}" for note in notes),
    )


def _pairs(root: Path, bad: BadEntries) -> _Pairs:
    """Return the files of each part that have a partner."""
    folders = {name: root / name for name in ("images", "masks")}
    for folder in folders.values():
        if not folder.is_dir():
            raise DataError(f"data.root: there is no folder {folder}")
    parts = [part for part in PARTS if (folders["images"] / part).is_dir()]
    if parts and "train" not in parts:
        raise DataError(f"{folders['images']} has {' and '.join(parts)}, but no folder train")
    found: _Pairs = {part: [] for part in PARTS}
    for part in parts or ["train"]:
        inside = {name: folder / part if parts else folder for name, folder in folders.items()}
        if not inside["masks"].is_dir():
            raise DataError(f"{inside['images']} has no folder of masks {inside['masks']}")
        images = files_by_stem(inside["images"], EXTENSIONS)
        masks = files_by_stem(inside["masks"], (".png",))
        for name in sorted({*images, *masks}):
            if name not in masks:
                bad.add("pictures without masks", f"{images[name]} has no mask {inside['masks'] / name}.png")
            elif name not in images:
                bad.add("masks of missing pictures", f"{masks[name]} has no picture in {inside['images']}")
            else:
                found[part].append((images[name], masks[name]))
    return found


def _good(pairs: Sequence[tuple[str, str]], bad: BadEntries) -> list[tuple[str, str]]:
    """Return the pairs whose picture and mask have the same size."""
    good = []
    for image, mask in pairs:
        (width, height), (mask_width, mask_height) = read_size(image), read_size(mask)
        if (width, height) == (mask_width, mask_height):
            good.append((image, mask))
        else:
            wrong = f"{mask_width} x {mask_height} pixels, but its picture has {width} x {height}"
            bad.add("masks of another size than their picture", f"{mask} has {wrong}")
    return good


def _names(masks: Tensor, root: Path) -> tuple[str, ...]:
    """Return names of as many classes as masks have."""
    most = max(int(top.max()) for _, top in _largest(masks))
    if most == 0:
        raise DataError(
            f"{root / 'masks'}: masks have one class, 0, and perhaps {IGNORED}, which counts nowhere; "
            "write the classes as 0, 1, 2, ..."
        )
    return ("background", *map(str, range(1, most + 1)))


def _keep(masks: Tensor, names: Sequence[str], files: Sequence[str], bad: BadEntries) -> Tensor:
    """Return (N,) which masks have only values of the classes."""
    keep = torch.ones(len(masks), dtype=torch.bool)
    for start, tops in _largest(masks):
        for row in (start + (tops >= len(names)).nonzero().flatten()).tolist():
            keep[row] = False
            beyond = f"has the value {int(tops[row - start])}, beyond the {len(names)} classes {', '.join(names[:5])}"
            bad.add("masks with values beyond the classes", f"{files[row]} {beyond}")
    return keep


def _largest(masks: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield rows and the largest value of each mask from there on that is no `IGNORED`."""
    step = chunk_length(masks)
    for start in range(0, len(masks), step):
        chunk = masks[start : start + step]
        yield start, torch.where(chunk == IGNORED, 0, chunk).flatten(1).amax(dim=1)


def _count(counts: Mapping[str, int], masks: Tensor, names: Sequence[str]) -> Iterator[str]:
    """Yield what the parts have, and the share of each class in the training part."""
    for part, count in counts.items():
        yield f"{part} {count} pictures" if count else f"{part} pictures are drawn from the training part"
    pixels, train = torch.zeros(IGNORED + 1, dtype=torch.int64), masks[: counts["train"]]
    step = chunk_length(train)
    for start in range(0, len(train), step):
        pixels += torch.bincount(train[start : start + step].flatten(), minlength=IGNORED + 1)
    shares = (pixels / pixels.sum()).tolist()
    listed = ", ".join(f"{name} {share:.2%}" for name, share in zip(names[:MOST_CLASSES], shares, strict=False))
    yield f"pixels of the training part: {listed}{', ...' if len(names) > MOST_CLASSES else ''}"
    if shares[IGNORED]:
        yield f"{shares[IGNORED]:.2%} of its pixels have the value {IGNORED} and count nowhere"
    if absent := [name for name, share in zip(names, shares, strict=False) if not share]:
        yield f"warning: no pixel in the training part: {', '.join(absent[:MOST_CLASSES])}"
