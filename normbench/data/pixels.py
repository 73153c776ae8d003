"""One image file as 8-bit RGB, with marks for the conversions applied."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from normbench.data.exact import nearest_pixels
from normbench.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION = 0x0112
"""The EXIF tag; values 2 to 8 are rotated or mirrored."""

FAINT = 4096
"""16-bit pixels that are all below this value, as from a 12-bit camera, keep at most 16 values."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The pixels of one file.

    Attributes:
        pixels: (3, H, W) uint8; (1, H, W) of a mask.
        digest: SHA-256 in hex of the file.
        marks: Conversions and findings: `oriented`, `damaged_exif`, `sixteen_bit`, `faint`, `float`, `alpha`,
            `first_picture`.
    """

    pixels: NDArray[np.uint8]
    digest: str
    marks: tuple[str, ...]


def decode_file(file: str, size: int | None) -> Decoded:
    """Decode an image: rotate it to its EXIF orientation and scale the range of its type to 8 bits.

    If the file has several pictures, the first is used. Alpha is dropped; the colours are not changed.

    Args:
        file: Path of the image.
        size: Side of the square crop in pixels; None keeps the image as it is.

    Returns:
        The pixels.

    Raises:
        DataError: The file cannot be read, or the range of its values is unknown.
    """
    from PIL import Image, ImageOps

    rgb, digest, marks = _read(file)
    if size is not None:
        rgb = ImageOps.fit(rgb, (size, size), Image.Resampling.BILINEAR)
    return Decoded(np.asarray(rgb).transpose(2, 0, 1), digest, marks)


def decode_stretched(file: str, size: int | None) -> Decoded:
    """Decode an image as `decode_file`, but stretch it to a square instead of cropping one; nothing is cut off.

    Raises:
        DataError: As `decode_file`.
    """
    from PIL import Image

    rgb, digest, marks = _read(file)
    if size is not None:
        rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
    return Decoded(np.asarray(rgb).transpose(2, 0, 1), digest, marks)


def decode_mask(file: str, size: int | None) -> Decoded:
    """Decode the class of each pixel: the grey value, or the number of the palette's colour.

    Args:
        file: Path of the image.
        size: Width and height that it is stretched to, by the nearest pixels; None keeps it as it is.

    Returns:
        (1, H, W) pixels.

    Raises:
        DataError: The file cannot be read, is in colour, or has values above 255.
    """
    from PIL import Image

    with _refusing(file):
        data = Path(file).read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
                raise ValueError(f"a mask has a class per pixel, as grey value or palette, got colours ({image.mode})")
            values = np.asarray(image)
        if values.max() > 255:
            raise ValueError(f"classes are in 0..254, and 255 counts nowhere, got {values.max()}")
    if size is not None:
        rows, columns = (nearest_pixels(side, size) for side in values.shape)
        values = values[rows][:, columns]
    return Decoded(values.astype(np.uint8)[None], hashlib.sha256(data).hexdigest(), ())


def read_size(file: str) -> tuple[int, int]:
    """Return width and height of an image as `decode_file` rotates it, without decoding it.

    Raises:
        DataError: The file cannot be read.
    """
    from PIL import Image

    with _refusing(file), Image.open(file) as image:
        width, height = image.size
        turned = _orientation(image) in range(5, 9)
    return (height, width) if turned else (width, height)


@contextmanager
def _refusing(file: str) -> Iterator[None]:
    from PIL import UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError as error:
        raise DataError(f"cannot read image {file}: Pillow does not know its format") from error
    except Exception as error:  # Pillow's decoders raise many errors on a damaged file
        raise DataError(f"cannot read image {file}: {error}") from error


def _read(file: str) -> "tuple[Image.Image, str, tuple[str, ...]]":
    """Return an image as 8-bit RGB, the digest of its file, and its marks."""
    from PIL import Image, ImageOps

    with _refusing(file):
        data = Path(file).read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            rgb, marks = _rgb(image)
            # Read after loading: Pillow itself rotates a TIFF, and a PNG may store the tag after its pixels.
            orientation = _orientation(image)
        if orientation is None:
            marks.append("damaged_exif")
        elif orientation in range(2, 9):
            rgb.getexif()[ORIENTATION] = orientation
            ImageOps.exif_transpose(rgb, in_place=True)
            marks.append("oriented")
    return rgb, hashlib.sha256(data).hexdigest(), tuple(marks)


def _orientation(image: "Image.Image") -> object:
    """Return the EXIF orientation: 1 if there is none, None if EXIF is damaged (the pixels are still intact)."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:  # each of Pillow's readers fails in its own way
        return None


def _rgb(image: "Image.Image") -> "tuple[Image.Image, list[str]]":
    """Return an open image as 8-bit RGB (its first picture if it has several), and its marks."""
    marks = []
    if getattr(image, "is_animated", False):
        marks.append("first_picture")
    if image.has_transparency_data:
        marks.append("alpha")
        # It changes no colour of a palette, but Pillow would warn about it.
        image.info.pop("transparency", None)
    if image.mode == "F" or image.mode[0] == "I":  # Pillow itself reduces 16-bit colour to 8 bits
        image, more = _scaled(image)
        marks += more
    return image.convert("RGB"), marks


def _scaled(image: "Image.Image") -> "tuple[Image.Image, list[str]]":
    """Return a grey image of more than 8 bits scaled to 8 (Pillow would clip at 255), and its marks."""
    from PIL import Image

    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F":
        if not (low >= 0 and high <= 1):
            raise ValueError(f"its floats are in {low:g}..{high:g}; scale them to 0..1, or save 8 or 16 bits")
        return Image.fromarray(np.rint(values * 255).astype(np.uint8)), ["float"]
    if image.mode != "I" or image.format == "PPM":  # of which Pillow makes 16 bits in the type of 32
        marks = ["sixteen_bit", "faint"] if high < FAINT else ["sixteen_bit"]
        return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8)), marks
    if low < 0 or high > 255:
        raise ValueError(f"its 32-bit integers are in {low}..{high}; save 8 or 16 bits")
    return image, []
