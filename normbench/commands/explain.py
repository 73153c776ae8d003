"""The command `explain`: what is known of a name."""

import shutil
from pathlib import Path

import click

from normbench.commands import cursor
from normbench.commands.paths import HomePath
from normbench.errors import ConfigError, nearest


@click.command(epilog="Example: normbench explain norm_batch_size")
@click.argument("name", shell_complete=cursor.explained)
@click.option("--config-dir", type=HomePath(), help="Your own conf folder; its names are known too.")
def explain(name: str, config_dir: Path | None) -> int:
    """Print what is known of a norm, key, claim or column.

    NAME is a name that `normbench list KIND` prints (a norm, model, data set, task, probe or claim, for example), a key
    of a config such as norm.momentum, its last part, or a column of a study's tables. Of a name with several senses all
    are printed.
    """
    from normbench.commands.explaining.senses import known_names, senses
    from normbench.commands.explaining.text import shown
    from normbench.commands.listing import require_folder

    require_folder(config_dir)
    found = senses(name, config_dir)
    if not found:
        raise ConfigError(f"unknown name {name!r}{nearest(name, known_names(config_dir), 'normbench list')}")
    print(shown(found, shutil.get_terminal_size().columns), end="")
    return 0
