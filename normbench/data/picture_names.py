"""Names of pictures: of the files in a folder, and in lists of parts as in Pascal VOC's ImageSets."""

import os
from pathlib import Path

from normbench.data.layout import EXTENSIONS
from normbench.data.own_parts import PARTS
from normbench.data.text_files import read_text
from normbench.errors import DataError

Lists = dict[str, list[str]]
"""Stems of the pictures by part."""


def read_lists(folder: Path) -> Lists:
    """Read train.txt and, where they are there, val.txt and test.txt; a part without a file has no pictures.

    Args:
        folder: Absolute path.

    Returns:
        The stems of the pictures, each once.

    Raises:
        DataError: There is no train.txt, or a file cannot be read.
    """
    if not (folder / "train.txt").is_file():
        raise DataError(
            f"{folder} has no train.txt that lists the training pictures; data.split names such a folder, "
            "and data.split=null draws all parts"
        )
    lists: Lists = {}
    for part in PARTS:
        path = folder / f"{part}.txt"
        lines = read_text(path, "utf-8").split("\n") if path.is_file() else []
        lists[part] = list(dict.fromkeys(stem(line.split()[0]) for line in lines if line.strip()))
    return lists


def files_by_stem(folder: Path, extensions: tuple[str, ...]) -> dict[str, str]:
    """Return the paths of the files in a folder that have one of some extensions, by their names without it.

    Raises:
        DataError: Two files have the same name.
    """
    files: dict[str, str] = {}
    for name in sorted(os.listdir(folder)):
        own, extension = os.path.splitext(name)
        if extension.lower() not in extensions or name.startswith("."):
            continue
        if own in files:
            raise DataError(f"{folder} has two files for one picture, {os.path.basename(files[own])} and {name}")
        files[own] = str(folder / name)
    return files


def stem(name: str) -> str:
    """Return the name of a picture without its folders and the extension of an image, if it has one."""
    base, extension = os.path.splitext(os.path.basename(name))
    return base if extension.lower() in EXTENSIONS else base + extension
