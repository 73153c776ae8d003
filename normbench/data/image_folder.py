"""A folder of images, one subfolder a class: the layout of torchvision's `ImageFolder`, or several of them as parts."""

import os
from pathlib import Path

import torch

from normbench.data.dataset import Dataset
from normbench.data.decoding import load_images
from normbench.data.folder_notes import describe
from normbench.data.layout import read_layout
from normbench.errors import DataError


def image_folder(root: str | None, size: int | None) -> Dataset:
    """Load a folder of images as RGB, grey ones too; decoded once, then mapped from the cache (see `decoding`).

    The folder is either ``root/<class>/...``, with no parts of its own, or ``root/train/<class>/...`` beside
    ``root/test/<class>/...``, which becomes the set's own test part, and ``root/val/<class>/...``, which becomes its
    own validation part; `layout` has the other names of the parts. Without a `test` folder `val` is taken for the test
    part, as ImageNet has it. Images may lie deeper inside a class folder.

    Args:
        root: The folder; relative to the working directory.
        size: Pixels: the shorter side is scaled to it (bilinear, antialiased) and the centre cut out to a square.
            None keeps the images as they are, which must then have one size.

    Returns:
        The data set, (N, 3, H, W) uint8, memory-mapped from the cache; its notes have classes, counts and what was
        left out or done to images.

    Raises:
        DataError: The folder is missing or has neither layout, an image cannot be read, or sizes differ and `size` is
            None.
    """
    if root is None:
        raise DataError("data set 'image_folder' needs a folder: data.root=FOLDER, with one subfolder a class")
    if size is not None and size < 1:
        raise DataError(f"data.size must be at least 1 pixel, or null for the images' own size; got {size}")
    folder = Path(os.path.expanduser(root)).resolve()
    if not folder.is_dir():
        raise DataError(f"data.root is no folder: {folder}")
    layout = read_layout(folder)
    parts = {"train": layout.train.files, "val": layout.val.files, "test": layout.test.files}
    loaded = load_images(folder, parts, size, layout.mark)
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
