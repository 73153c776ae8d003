"""Finds the conf folder without Hydra, for commands that only list its contents."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_conf() -> Path:
    """Return the conf folder: inside the package if installed, next to it in a checkout."""
    inside = _PACKAGE / "conf"
    return inside if inside.is_dir() else _PACKAGE.parent / "conf"
