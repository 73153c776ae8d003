"""Where the conf folder is; found without Hydra, for commands that only list what it holds."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_conf() -> Path:
    """Return the conf folder: inside the package when installed, beside it in a checkout."""
    inside = _PACKAGE / "conf"
    return inside if inside.is_dir() else _PACKAGE.parent / "conf"
