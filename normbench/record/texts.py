"""Texts that the model of a run wrote: one small JSON file per run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from normbench.errors import StudyError
from normbench.record.files import make_folder, write_whole

TextRow = tuple[str, str, str]
"""What the model was given, what it wrote, and what the data have there."""


@dataclass(frozen=True)
class Texts:
    """The texts of a run.

    Attributes:
        how: How they were written, one sentence.
        rows: The texts.
    """

    how: str
    rows: tuple[TextRow, ...]


def texts_path(folder: Path, run_id: str) -> Path:
    """Return the path of a run's texts in the folder of its study."""
    return folder / "texts" / f"{run_id}.json"


def write_texts(path: Path, how: str, rows: Sequence[TextRow]) -> None:
    """Write the texts of a run, whole or not at all."""
    make_folder(path.parent)
    named = [dict(zip(("prompt", "text", "wanted"), row, strict=True)) for row in rows]
    write_whole(path, [json.dumps({"how": how, "texts": named}, indent=1) + "\n"])


def read_texts(path: Path) -> Texts:
    """Return what `write_texts` wrote.

    Raises:
        StudyError: If the file is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple((str(row["prompt"]), str(row["text"]), str(row["wanted"])) for row in found["texts"])
        return Texts(str(found["how"]), rows)
    except (ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{path} is damaged ({error}); delete it, and the report leaves these texts out.") from error
