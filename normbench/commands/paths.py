"""Paths as options of a command."""

import os
from pathlib import Path
from typing import Any

import click


class HomePath(click.Path):
    """A path whose ~ is the user's home, also where the shell has left it: bash does in ``--config-dir=~/conf``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path that was typed."""
        return Path(os.path.expanduser(os.fspath(value)))
