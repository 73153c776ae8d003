"""Pieces of two photographs: where they are from, and that no pixel is in two parts of a split."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from normbench.data import photo_pieces, split
from normbench.data.pixels import Decoded, decode_file
from normbench.errors import DataError

PARTS = {"seed": 3, "val_fraction": 0.1, "test_fraction": 0.2}


def decode_places(file: str, _size: int | None) -> Decoded:
    """Return a photograph whose every pixel has a colour that no other pixel of both has."""
    rows, columns = np.indices((427, 640))
    number = (("china" in file) * 427 + rows) * 640 + columns
    return Decoded(np.stack([number >> shift & 255 for shift in (0, 8, 16)]).astype(np.uint8), file, ())


def numbers(images: Tensor) -> set[Any]:
    red, green, blue = images.long().unbind(1)
    return set((red + 256 * green + 65536 * blue).flatten().tolist())


@pytest.mark.parametrize("size", [64, 100])
def test_no_pixel_is_in_two_parts(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Pieces of a block overlap, and blocks stay whole; together the parts show most of both photographs."""
    monkeypatch.setattr(photo_pieces, "decode_file", decode_places)
    data = photo_pieces.photo_pieces(size)
    parts = split(data, **PARTS)  # type: ignore[arg-type]  # seed is an int
    seen = [numbers(data.images[rows]) for rows in (parts.train, parts.val, parts.test)]
    assert all(seen) and len(set().union(*seen)) == sum(map(len, seen)) > 0.75 * 2 * 427 * 640


def test_pieces_are_those_of_the_photographs() -> None:
    """Each has the photograph as its class, and the first is its top left corner."""
    data = photo_pieces.photo_pieces(64)
    assert data.images.shape == (750, 3, 64, 64) and data.labels.bincount().tolist() == [375, 375]
    for label, name in enumerate(photo_pieces.PHOTOGRAPHS):
        whole = torch.from_numpy(decode_file(str(photo_pieces._folder() / f"{name}.jpg"), None).pixels.copy())
        assert torch.equal(data.images[375 * label], whole[:, :64, :64])
    assert data.content != photo_pieces.photo_pieces(32).content


def test_a_size_beyond_the_photographs_is_refused() -> None:
    """A block has to be twice as high as a piece."""
    with pytest.raises(DataError, match=r"data.size must be at least 8 and at most 213, got 214"):
        photo_pieces.photo_pieces(214)
