"""Paths as options of a command."""

import os
from pathlib import Path
from typing import Any

import click


class HomePath(click.Path):
    """A path in which ~ is the user's home, even if the shell keeps it, as bash does in ``--config-dir=~/conf``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the typed path."""
        return Path(os.path.expanduser(os.fspath(value)))
