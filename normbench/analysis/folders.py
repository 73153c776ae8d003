"""Finds studies without importing pandas, for callers that only need their names."""

from collections.abc import Sequence
from pathlib import Path

from normbench.errors import StudyError, nearest
from normbench.record.columns import PACKED

_STUDY_FILES = ("runs.csv", *(f"runs.csv{ending}" for ending in PACKED), "plan.jsonl")


def table_path(folder: Path, name: str) -> Path:
    """Return the path of a study's table: `name` itself, or its compressed form.

    Args:
        folder: The study's.
        name: Such as ``runs.csv``.
    """
    plain = folder / name
    packed = (folder / f"{name}{ending}" for ending in PACKED)
    return plain if plain.is_file() else next((path for path in packed if path.is_file()), plain)


def is_packed(folder: Path) -> bool:
    """Return whether the tables of a study are compressed, and so have no plan."""
    return table_path(folder, "runs.csv").suffix in PACKED


def find_studies(names: Sequence[str], results_dir: Path) -> list[Path]:
    """Return the folders of the studies that a user means.

    Args:
        names: Names of studies under `results_dir`, or folders; a name wins over a folder. None given means all studies
            under `results_dir`.
        results_dir: The folder of studies.

    Raises:
        StudyError: A name is neither, or none is given and there are none.
    """
    if names:
        return list(dict.fromkeys(_find(name, results_dir) for name in names))
    known = studies_under(results_dir)
    if not known:
        raise StudyError(f"no study under {results_dir}; `normbench train` makes one, --results-dir sets the folder")
    return known


def _find(name: str, results_dir: Path) -> Path:
    for folder in (results_dir / name, Path(name)):
        if _is_study(folder):
            return folder
    if Path(name).is_dir():
        raise StudyError(f"{name} is not a study: it has neither runs.csv nor plan.jsonl")
    known = [folder.name for folder in studies_under(results_dir)]
    tail = nearest(name, known) if known else "; there are no studies."
    raise StudyError(f"no study '{name}' under {results_dir}, and no such folder{tail}")


def studies_under(results_dir: Path) -> list[Path]:
    """Return the folders of all studies under a folder, sorted by name; none if the folder does not exist."""
    return sorted(folder for folder in results_dir.iterdir() if _is_study(folder)) if results_dir.is_dir() else []


def _is_study(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _STUDY_FILES)
