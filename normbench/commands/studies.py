"""The commands on whole studies: `dashboard` and `merge`."""

import os
import sys
from functools import partial
from pathlib import Path

import click

from normbench.commands import cursor
from normbench.commands.paths import HomePath
from normbench.errors import StudyError

_RESULTS_DIR = click.option("--results-dir", type=HomePath(), default=Path("results"), show_default=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@click.command(epilog="Example: normbench dashboard quickstart")
@click.argument("studies", nargs=-1, metavar="[STUDY]...", shell_complete=cursor.study)
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 opens it to the whole network.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="0 takes a free port. Default: 6006, or the next free port."
)
@_RESULTS_DIR
def dashboard(studies: tuple[str, ...], host: str, port: int | None, results_dir: Path) -> int:
    """Open TensorBoard on the named studies, or on all.

    STUDY is a folder, or a name under --results-dir. TensorBoard shows a curve per cell (the mean of its seeds with a
    95 % interval), the norms side by side, a table of all cells, figures, and the logs of single runs, which
    log.tensorboard=run writes. It runs until Ctrl-C.
    """
    # TensorBoard imports optional modules such as boto3: none may come from the current directory.
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != Path.cwd()]
    from normbench.analysis.folders import find_studies, table_path
    from normbench.analysis.refresh import refresh

    folders = find_studies(studies, results_dir)
    for note in filter(None, map(refresh, folders)):
        _say(note)
    begun = [folder for folder in folders if table_path(folder, "runs.csv").is_file()]
    if lacking := [folder for folder in folders if folder not in begun]:
        if studies or not begun:
            raise StudyError(f"no run of {lacking[0]} has ended yet: nothing to show.")
        _say(f"left out, since no run of them has ended yet: {', '.join(folder.name for folder in lacking)}")
    from normbench.dashboard.serve import serve

    serve(begun, host=host, port=port, say=partial(print, flush=True))
    return 0


@click.command(epilog="Example: normbench merge laptop/results/depth desktop/results/depth -o depth")
@click.argument("studies", nargs=-1, required=True, metavar="STUDY STUDY...", shell_complete=cursor.study)
@click.option(
    "-o", "--output", required=True, metavar="STUDY", help="The new study: a folder, or a name under --results-dir."
)
@_RESULTS_DIR
def merge(studies: tuple[str, ...], output: str, results_dir: Path) -> int:
    """Join studies from machines without a shared disk.

    The new study can be trained further like any other. If the rows of a run differ between studies, as they may
    between two machines, those of the study named first are kept.
    """
    from normbench.analysis.folders import find_studies
    from normbench.commands.merging import merge_studies

    target = Path(output) if os.sep in output else results_dir / output
    merged = merge_studies(find_studies(studies, results_dir), target)
    if merged.equal:
        _say(f"{merged.equal} runs were in several studies with equal rows")
    if merged.differing:
        _say(f"{merged.differing} runs differ between studies: those of the study named first are kept")
    print(f"{merged.runs} runs, {merged.done} of them done, in {merged.folder}")
    return 0
