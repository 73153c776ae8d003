"""Pieces of the two photographs that ship with scikit-learn: no files needed."""

import hashlib
import importlib.util
import json
from itertools import product
from pathlib import Path

import numpy as np
import torch

from normbench.data.dataset import Dataset
from normbench.data.pixels import decode_file
from normbench.data.scenes import refuse_out_of_range
from normbench.errors import DataError

PHOTOGRAPHS = ("china", "flower")
"""A temple and a dahlia, 640 x 427 pixels each."""

_LARGEST = 213
"""Largest piece: a photograph has to hold a block of twice its side."""


def photo_pieces(size: int) -> Dataset:
    """Cut scikit-learn's two photographs into pieces.

    Each photograph is divided into equal blocks, twice as high and wide as a piece or a little more, and pieces are cut
    from each block at steps of a quarter of their side. A split has whole blocks, so no test piece shares a pixel with
    a training piece. The class of a piece is its photograph.

    Args:
        size: Height and width of a piece in pixels.

    Returns:
        The data set, (N, 3, size, size) uint8, with blocks as groups, without a test part of its own; 750 pieces of 64
        pixels.

    Raises:
        DataError: `size` is out of range, or scikit-learn is not installed.
    """
    refuse_out_of_range(("size", size, 8, _LARGEST))
    photographs = [decode_file(str(_folder() / f"{name}.jpg"), None) for name in PHOTOGRAPHS]
    pieces, labels, groups = [], [], []
    for label, photograph in enumerate(photographs):
        _, *sides = photograph.pixels.shape
        for group, corner in enumerate(product(*(_starts(side, 2 * size) for side in sides))):
            for top, left in product(range(0, size + 1, size // 4), repeat=2):
                row, column = corner[0] + top, corner[1] + left
                pieces.append(photograph.pixels[:, row : row + size, column : column + size])
                labels.append(label)
                groups.append(group + label * 10**6)
    # Hashed as files and not as pixels, which decoders may round differently.
    content = hashlib.sha256(json.dumps([[one.digest for one in photographs], size]).encode()).hexdigest()
    return Dataset(
        "photo_pieces",
        torch.from_numpy(np.stack(pieces)),
        torch.tensor(labels),
        0,
        PHOTOGRAPHS,
        content,
        groups=torch.tensor(groups),
    )


def _starts(side: int, block: int) -> list[int]:
    """Return where the blocks of a side start: as many as fit, evenly spaced."""
    count = side // block
    return [place * side // count for place in range(count)]


def _folder() -> Path:
    # Importing sklearn.datasets takes seconds.
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("data set 'photo_pieces' needs scikit-learn, which is not installed: pip install scikit-learn")
    return Path(package.origin).parent / "datasets/images"
