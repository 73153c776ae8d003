"""Finds the folders that lie beside the package, without Hydra: for commands that only read them."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_conf() -> Path:
    """Return the conf folder: inside the package if installed, next to it in a checkout."""
    inside = _PACKAGE / "conf"
    return inside if inside.is_dir() else _PACKAGE.parent / "conf"


def shipped_results() -> Path:
    """Return the folder of the published verdicts and of the page on a study's files; found like the conf folder."""
    inside = _PACKAGE / "results"
    return inside if inside.is_dir() else _PACKAGE.parent / "results"
