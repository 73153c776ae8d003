"""One image file as RGB of 8 bits, with marks for what was done to it on the way."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from normbench.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION = 0x0112
"""The EXIF tag; 2 to 8 are the turned and mirrored ones."""

FAINT = 4096
"""Pixels of 16 bits that all stay below it, as those of a 12-bit camera do, keep at most 16 values."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The pixels of one file.

    Attributes:
        pixels: (3, H, W) uint8.
        digest: SHA-256 in hex of the file.
        marks: What was done to it: `oriented`, `damaged_exif`, `sixteen_bit`, `faint`, `float`, `alpha`,
            `first_picture`.
    """

    pixels: NDArray[np.uint8]
    digest: str
    marks: tuple[str, ...]


def decode_file(file: str, size: int | None) -> Decoded:
    """Decode an image as its photographer meant it: turned by its EXIF orientation, its type's range scaled to 8 bits.

    Of several pictures the first is taken. Alpha is dropped: the colours are those of the file.

    Args:
        file: Path of the image.
        size: Pixels of the square that is cut out of it; None takes it as it is.

    Returns:
        The pixels.

    Raises:
        DataError: The file cannot be read, or its values have no known range.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        data = Path(file).read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            rgb, marks = _rgb(image)
            # Asked for after loading: Pillow turns a TIFF by itself, and a PNG may have the tag behind its pixels.
            orientation = _orientation(image)
        if orientation is None:
            marks.append("damaged_exif")
        elif orientation in range(2, 9):
            rgb.getexif()[ORIENTATION] = orientation
            ImageOps.exif_transpose(rgb, in_place=True)
            marks.append("oriented")
    except UnidentifiedImageError as error:
        raise DataError(f"cannot read image {file}: not an image format that Pillow knows") from error
    except Exception as error:  # on a damaged file Pillow's decoders fail in many ways
        raise DataError(f"cannot read image {file}: {error}") from error
    if size is not None:
        rgb = ImageOps.fit(rgb, (size, size), Image.Resampling.BILINEAR)
    return Decoded(np.asarray(rgb).transpose(2, 0, 1), hashlib.sha256(data).hexdigest(), tuple(marks))


def _orientation(image: "Image.Image") -> object:
    """Return the EXIF orientation, 1 where there is none, and None where EXIF is damaged: the pixels are whole then."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:  # each of Pillow's readers fails in its own way
        return None


def _rgb(image: "Image.Image") -> "tuple[Image.Image, list[str]]":
    """Return an open image in RGB of 8 bits, its first picture if it has several, and its marks."""
    marks = []
    if getattr(image, "is_animated", False):
        marks.append("first_picture")
    if image.has_transparency_data:
        marks.append("alpha")
        # Changes no colour of a palette, but Pillow would warn of it.
        image.info.pop("transparency", None)
    if image.mode == "F" or image.mode[0] == "I":  # 16 bits a colour are 8 by the time Pillow hands them out
        image, more = _scaled(image)
        marks += more
    return image.convert("RGB"), marks


def _scaled(image: "Image.Image") -> "tuple[Image.Image, list[str]]":
    """Return a grey image of more than 8 bits in 8, where Pillow would clip at 255, and its marks."""
    from PIL import Image

    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F":
        if not (low >= 0 and high <= 1):
            raise ValueError(f"floats of {low:g} to {high:g}; scale them to 0..1, or write 8 or 16 bits")
        return Image.fromarray(np.rint(values * 255).astype(np.uint8)), ["float"]
    if image.mode != "I" or image.format == "PPM":  # of which Pillow makes 16 bits in the type of 32
        marks = ["sixteen_bit", "faint"] if high < FAINT else ["sixteen_bit"]
        return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8)), marks
    if low < 0 or high > 255:
        raise ValueError(f"32-bit integers of {low} to {high}; write them as 8 or 16 bits")
    return image, []
