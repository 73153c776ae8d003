import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from normbench.data.pixels import Decoded, decode_file
from normbench.errors import DataError

GREY = np.random.default_rng(0).integers(0, 256, (6, 8), np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)


def decode(path: Path, image: Image.Image, **options: Any) -> Decoded:
    image.save(path, **options)
    return decode_file(str(path), None)


def grey(decoded: Decoded) -> NDArray[np.uint8]:
    """Return one channel of a grey image, of which all are equal."""
    np.testing.assert_array_equal(decoded.pixels, decoded.pixels[:1].repeat(3, axis=0))
    pixels: NDArray[np.uint8] = decoded.pixels[0]
    return pixels


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_the_picture_in_eight(suffix: str, tmp_path: Path) -> None:
    """Values are scaled by the range of the type, 65,535, not cut off at 255."""
    decoded = decode(tmp_path / f"x.{suffix}", Image.fromarray(GREY.astype(np.uint16) * 257))
    np.testing.assert_array_equal(grey(decoded), GREY)
    assert decoded.marks == ("sixteen_bit",)


def test_sixteen_bits_are_rounded(tmp_path: Path) -> None:
    """Each value goes to the nearest of 256."""
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(grey(decode(tmp_path / "x.png", Image.fromarray(values))), np.rint(values / 257))


def test_sixteen_bits_of_the_other_byte_order(tmp_path: Path) -> None:
    """A big-endian TIFF is scaled as any."""
    values = (GREY.astype(np.uint16) * 257).astype(">u2")
    image = Image.frombytes("I;16B", (8, 6), values.tobytes())
    np.testing.assert_array_equal(grey(decode(tmp_path / "x.tif", image)), GREY)


def test_sixteen_bits_that_are_hardly_used_are_marked(tmp_path: Path) -> None:
    """Those of a 12-bit camera would keep 16 values."""
    decoded = decode(tmp_path / "x.png", Image.fromarray(GREY.astype(np.uint16) * 16))
    assert decoded.marks == ("sixteen_bit", "faint")


def test_sixteen_bits_a_colour_keep_their_upper_eight(tmp_path: Path) -> None:
    """So Pillow reads them; written here by hand, as it cannot write them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in RGB)
    header = struct.pack(">IIBBBBB", 8, 6, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(png)
    np.testing.assert_array_equal(decode_file(str(tmp_path / "x.png"), None).pixels, RGB.transpose(2, 0, 1))


def test_floats_of_zero_to_one_are_scaled(tmp_path: Path) -> None:
    """Where Pillow would make zeros of them."""
    decoded = decode(tmp_path / "x.tif", Image.fromarray(GREY.astype(np.float32) / 255))
    np.testing.assert_array_equal(grey(decoded), GREY)
    assert decoded.marks == ("float",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (GREY.astype(np.float32), r"its floats are in 4\.\.248; scale them to 0\.\.1"),
        (np.full((2, 2), -0.5, np.float32), r"its floats are in -0\.5\.\.-0\.5"),
        (np.full((2, 2), np.nan, np.float32), r"its floats are in nan\.\.nan"),
        (GREY.astype(np.int32) * 300, r"its 32-bit integers are in \d+\.\.\d+; save 8 or 16 bits"),
        (np.full((2, 2), -1, np.int32), r"its 32-bit integers are in -1\.\.-1"),
    ],
    ids=["float of 255", "negative float", "nan", "int32", "negative int32"],
)
def test_values_without_a_known_range_are_refused(values: NDArray[Any], message: str, tmp_path: Path) -> None:
    """The file is named, with the range that it has."""
    with pytest.raises(DataError, match=rf"^cannot read image {tmp_path}/x\.tif: {message}"):
        decode(tmp_path / "x.tif", Image.fromarray(values))


def test_integers_of_eight_bits_in_a_type_of_32_are_taken_as_they_are(tmp_path: Path) -> None:
    """They always were."""
    decoded = decode(tmp_path / "x.tif", Image.fromarray(GREY.astype(np.int32)))
    np.testing.assert_array_equal(grey(decoded), GREY)
    assert decoded.marks == ()


@pytest.mark.parametrize(
    ("mode", "suffix", "marks"),
    [
        ("1", "png", ()),
        ("L", "png", ()),
        ("LA", "png", ("alpha",)),
        ("P", "png", ()),
        ("RGB", "png", ()),
        ("RGBA", "png", ("alpha",)),
        ("RGBA", "webp", ("alpha",)),
        ("CMYK", "jpg", ()),
        ("CMYK", "tif", ()),
        ("YCbCr", "jpg", ()),
    ],
)
def test_other_modes_keep_their_pixels(mode: str, suffix: str, marks: tuple[str, ...], tmp_path: Path) -> None:
    """They are those of Pillow's plain conversion, which drops alpha."""
    image = Image.fromarray(np.dstack([RGB, GREY]) if mode.endswith("A") else RGB).convert(mode)
    decoded = decode(tmp_path / f"x.{suffix}", image)
    expected = np.asarray(Image.open(tmp_path / f"x.{suffix}").convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(decoded.pixels, expected)
    assert decoded.marks == marks


@pytest.mark.parametrize("transparency", [b"\x00\x80\xff", 1], ids=["bytes", "index"])
def test_a_palette_with_transparency_keeps_its_colours(transparency: bytes | int, tmp_path: Path) -> None:
    """Without the warning that Pillow gives: here it would be an error."""
    image = Image.fromarray(RGB).quantize(4)
    plain = decode(tmp_path / "plain.png", image)
    decoded = decode(tmp_path / "x.png", image, transparency=transparency)
    np.testing.assert_array_equal(decoded.pixels, plain.pixels)
    assert (plain.marks, decoded.marks) == ((), ("alpha",))


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_of_several_pictures_the_first_is_taken(suffix: str, tmp_path: Path) -> None:
    """An animation is one image, and is marked."""
    first, second = (Image.fromarray(np.full((6, 8, 3), value, np.uint8)) for value in (40, 200))
    options = {"lossless": True} if suffix == "webp" else {}
    decoded = decode(tmp_path / f"x.{suffix}", first, save_all=True, append_images=[second], **options)
    assert set(decoded.pixels.flatten().tolist()) == {40}
    assert decoded.marks == ("first_picture",)


TURNS = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: np.rot90(image),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_images_are_turned_as_their_exif_says(suffix: str, orientation: int, tmp_path: Path) -> None:
    """Each of the eight orientations is undone; a TIFF is turned by Pillow, and always was, so that it has no mark."""
    exif = Image.Exif()
    exif[0x112] = orientation
    decoded = decode(tmp_path / f"x.{suffix}", Image.fromarray(RGB), exif=exif)
    np.testing.assert_array_equal(decoded.pixels.transpose(1, 2, 0), TURNS[orientation](RGB))
    assert decoded.marks == (("oriented",) if orientation > 1 and suffix == "png" else ())


def test_sixteen_bits_are_turned_too(tmp_path: Path) -> None:
    """Scaling does not lose the orientation."""
    exif = Image.Exif()
    exif[0x112] = 6
    decoded = decode(tmp_path / "x.png", Image.fromarray(GREY.astype(np.uint16) * 257), exif=exif)
    np.testing.assert_array_equal(grey(decoded), np.rot90(GREY, -1))
    assert decoded.marks == ("sixteen_bit", "oriented")


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_damaged_exif_turns_nothing(suffix: str, tmp_path: Path) -> None:
    """The pixels are whole, and are taken as they are, as they always were."""
    decoded = decode(tmp_path / f"x.{suffix}", Image.fromarray(RGB), exif=b"Exif\0\0garbage!", lossless=True)
    np.testing.assert_array_equal(decoded.pixels, RGB.transpose(2, 0, 1))
    assert decoded.marks == ("damaged_exif",)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system's reason."""

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"^cannot read image x\.png: .*Permission denied"):
        decode_file("x.png", None)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp", "ppm"])
def test_a_truncated_file_is_named(suffix: str, tmp_path: Path) -> None:
    """Half an image is no image, in every format."""
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(np.tile(RGB, (20, 20, 1))).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"^cannot read image {path}: "):
        decode_file(str(path), None)
