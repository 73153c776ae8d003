"""Pictures of what the model of a run made of some samples: one PNG per run."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from normbench.errors import StudyError
from normbench.record.files import make_folder, write_bytes_whole

COLUMNS = ("given", "wanted", "made")
"""The columns of a sheet: what the model was given, what the data have there, and what it made."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """Pictures of equal size, a row per sample.

    Attributes:
        how: What the pictures show, one sentence.
        tiles: (S, 3, H, W, 3) uint8: for each sample the columns `COLUMNS`, in RGB.
    """

    how: str
    tiles: NDArray[np.uint8]

    def png(self) -> bytes:
        """Return the sheet as one picture, the samples below each other."""
        samples, columns, height, width, _ = self.tiles.shape
        flat = self.tiles.transpose(0, 2, 1, 3, 4).reshape(samples * height, columns * width, 3)
        info = PngInfo()
        info.add_itxt("how", self.how)
        info.add_text("samples", str(samples))
        return png(flat, info)

    def column(self, name: str) -> NDArray[np.uint8]:
        """Return the pictures of one of `COLUMNS`, (S, H, W, 3)."""
        return self.tiles[:, COLUMNS.index(name)]


def pictures_path(folder: Path, run_id: str) -> Path:
    """Return the path of a run's pictures in the folder of its study."""
    return folder / "pictures" / f"{run_id}.png"


def write_pictures(path: Path, sheet: Sheet) -> None:
    """Write the pictures of a run, whole or not at all."""
    make_folder(path.parent)
    write_bytes_whole(path, sheet.png())


def read_pictures(path: Path) -> Sheet:
    """Return what `write_pictures` wrote.

    Raises:
        StudyError: If the file is damaged.
    """
    try:
        with Image.open(path) as image:
            image.load()
            flat = np.asarray(image)
            how, samples = str(image.info["how"]), int(image.info["samples"])
        height, width = flat.shape[0] // samples, flat.shape[1] // len(COLUMNS)
        tiles = flat.reshape(samples, height, len(COLUMNS), width, 3).transpose(0, 2, 1, 3, 4)
    except (OSError, UnidentifiedImageError, ValueError, KeyError, SyntaxError, ZeroDivisionError) as error:
        raise StudyError(f"{path} is damaged ({error}); delete it, and the report leaves it out.") from error
    return Sheet(how, tiles)


def png(pixels: NDArray[np.uint8], info: PngInfo | None = None) -> bytes:
    """Return a picture (H, W, 3) in RGB as PNG, with notes in it."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", pnginfo=info, optimize=True)
    return buffer.getvalue()
