"""A folder of images, one subfolder a class: the layout of torchvision's `ImageFolder`."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from normbench.data.dataset import Dataset
from normbench.data.decoding import load_images
from normbench.errors import DataError

# Extensions and order are torchvision's, and a test compares: importing torchvision takes ten times as long as listing
# 60,000 files, at every start.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

logger = logging.getLogger("normbench")


@dataclass(frozen=True)
class Listing:
    """The images under one folder of class folders.

    Attributes:
        class_names: Names of the class folders, sorted.
        files: Paths of the images, class by class.
        labels: Class of each image.
    """

    class_names: list[str]
    files: list[str]
    labels: list[int]


def image_folder(root: str | None, size: int | None) -> Dataset:
    """Load a folder of images as RGB, grey ones too; decoded once, then mapped from the cache (see `decoding`).

    The folder is either ``root/<class>/...``, with no test part of its own, or ``root/train/<class>/...`` beside
    ``root/test/<class>/...``, which becomes the set's own test part. Without a `test` folder `val` is taken for it, as
    ImageNet has it. Images may lie deeper inside a class folder.

    Args:
        root: The folder; relative to the working directory.
        size: Pixels: the shorter side is scaled to it (bilinear, antialiased) and the centre cut out to a square.
            None keeps the images as they are, which must then have one size.

    Returns:
        The data set, (N, 3, H, W) uint8, memory-mapped from the cache.

    Raises:
        DataError: The folder is missing or has fewer than two classes, a class is empty, train and test differ in
            their classes, an image cannot be read, or sizes differ and `size` is None.
    """
    if root is None:
        raise DataError("data set 'image_folder' needs a folder: data.root=FOLDER, with one subfolder a class")
    if size is not None and size < 1:
        raise DataError(f"data.size must be at least 1 pixel, or null for the images' own size; got {size}")
    folder = Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise DataError(f"data.root is no folder: {folder}")
    pool, test = _list_parts(folder)
    images, content = load_images(folder, pool.files + test.files, size)
    labels = torch.tensor(pool.labels + test.labels)
    return Dataset("image_folder", images, labels, len(test.files), tuple(pool.class_names), content)


def _list_parts(folder: Path) -> tuple[Listing, Listing]:
    """List the images of `folder` and those of its own test part, which has none in the layout without parts."""
    subfolders = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
    own_test = "test" if "test" in subfolders else "val"
    if not {"train", own_test} <= subfolders:
        listing = _list_classes(folder)
        return listing, Listing(listing.class_names, [], [])
    unused = sorted(subfolders - {"train", own_test})
    if unused:
        logger.warning("data.root=%s: train and %s are read, not %s", folder, own_test, ", ".join(unused))
    pool, test = _list_classes(folder / "train"), _list_classes(folder / own_test)
    if pool.class_names != test.class_names:
        odd = sorted(set(pool.class_names) ^ set(test.class_names))
        raise DataError(f"{folder}: class folders only in one of train and {own_test}: {', '.join(odd[:5])}")
    return pool, test


def _list_classes(folder: Path) -> Listing:
    class_names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    if len(class_names) < 2:
        found = f"only '{class_names[0]}'" if class_names else "none"
        raise DataError(
            f"{folder} must hold a subfolder for each of two or more classes, found {found}.\n"
            "A test part of its own is read from root/test, or root/val, beside root/train"
        )
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(class_names):
        found_files = [
            os.path.join(parent, file)
            for parent, _, names in sorted(os.walk(folder / name, followlinks=True))
            for file in sorted(names)
            if file.lower().endswith(EXTENSIONS)
        ]
        if not found_files:
            raise DataError(f"class folder {folder / name} holds no image ({', '.join(EXTENSIONS)})")
        files += found_files
        labels += [label] * len(found_files)
    return Listing(class_names, files, labels)
