"""A folder of images with one subfolder per class, as in torchvision's `ImageFolder`, or parts with this layout."""

import os
from pathlib import Path

import torch

from normbench.data.dataset import Dataset
from normbench.data.decoding import load_images
from normbench.data.folder_notes import describe
from normbench.data.layout import read_layout
from normbench.data.pixels import decode_file
from normbench.errors import DataError


def image_folder(root: str | None, size: int | None) -> Dataset:
    """Load a folder of images as RGB, greyscale included; decoded once, then mapped from the cache (see `decoding`).

    The folder has one of two layouts. ``root/<class>/...`` has no parts of its own. ``root/train/<class>/...`` has
    ``root/test/<class>/...`` next to it, the set's own test part, and ``root/val/<class>/...``, its own validation
    part; `layout` lists other names of the parts. Without a `test` folder, `val` is used as the test part, as in
    ImageNet. Images may be in subfolders of a class folder.

    Args:
        root: The folder; relative to the working directory.
        size: Pixels: the shorter side is scaled to it (bilinear, antialiased), then the centre square is cropped.
            None keeps the images as they are; they must all have the same size.

    Returns:
        The data set, (N, 3, H, W) uint8, memory-mapped from the cache. Its notes list classes, counts, files left out
        and changes made to images.

    Raises:
        DataError: The folder is missing or has neither layout, an image cannot be read, or sizes differ while `size` is
            None.
    """
    if root is None:
        raise DataError("data set 'image_folder' needs a folder: data.root=FOLDER, with one subfolder per class")
    if size is not None and size < 1:
        raise DataError(f"data.size must be at least 1 pixel, or null for the images' own size; got {size}")
    folder = Path(os.path.expanduser(root)).resolve()
    if not folder.is_dir():
        raise DataError(f"data.root is not a folder: {folder}")
    layout = read_layout(folder)
    parts = {"train": layout.train.files, "val": layout.val.files, "test": layout.test.files}
    loaded = load_images(folder, parts, size, decode_file, layout.mark)
    return Dataset(
        "image_folder",
        loaded.images,
        torch.tensor([label for part in layout.parts for label in part.labels]),
        len(layout.test.files),
        tuple(layout.train.class_names),
        loaded.content,
        num_val=len(layout.val.files),
        notes=tuple(f"{folder}: {note}" for note in describe(layout, loaded.found)),
    )
