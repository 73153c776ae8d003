"""The commands that print tables: `aggregate` and `compare`."""

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from normbench.commands import cursor
from normbench.commands.paths import HomePath


def _tabulating(command: Any) -> Any:
    """Add the options that `aggregate` and `compare` share."""
    for option in (
        click.option("--results-dir", type=HomePath(), default=Path("results"), show_default=True),
        click.option("--format", "form", default="table", show_default=True, help="table, csv, markdown or latex."),
        click.option(
            "--metric",
            metavar="COLUMN",
            shell_complete=cursor.metric,
            help="What to average over the seeds. Default: test_accuracy, or the first metric of another task.",
        ),
        click.option(
            "--by",
            metavar="COLUMNS",
            shell_complete=cursor.columns,
            help="Columns that identify a row, such as norm,batch_size. Default: all that vary.",
        ),
    ):
        command = option(command)
    return command


@click.command(epilog="Example: normbench aggregate quickstart --best lr --pivot norm")
@click.argument("studies", nargs=-1, metavar="[STUDY]...", shell_complete=cursor.study)
@click.option(
    "--best",
    metavar="KEY",
    shell_complete=cursor.columns,
    help="Use each seed's best value of KEY, such as lr, chosen on validation.",
)
@click.option(
    "--pivot",
    metavar="COLUMN",
    shell_complete=cursor.columns,
    help="Put the values of COLUMN, such as norm or lr, side by side.",
)
@_tabulating
def aggregate(
    studies: tuple[str, ...],
    by: str | None,
    metric: str | None,
    best: str | None,
    pivot: str | None,
    form: str,
    results_dir: Path,
) -> int:
    """Print a results table of the named studies, or of all.

    STUDY is a folder, or a name under --results-dir.

    In Markdown, LaTeX and on a terminal, the best of all rows (with --pivot: of each row) is bold, and so is all that
    cannot be told from it: the 95 % interval of the difference of means contains 0. The interval is paired by seed if
    both have the same seeds, else Welch's; its level is shared among all comparisons. So a noisy mean may be bold below
    one that is not. Nothing is bold if nothing can be told apart, or if one has a single seed.
    """
    from normbench.analysis.refresh import refresh
    from normbench.analysis.render import notes, render
    from normbench.analysis.study import find_studies, load_runs
    from normbench.analysis.table import aggregate as tabulate
    from normbench.analysis.versions import version_notes

    folders = find_studies(studies, results_dir)
    for note in filter(None, map(refresh, folders)):
        print(note, file=sys.stderr)
    runs = load_runs(*folders)
    for note in version_notes(runs):
        click.echo(note, err=True)
    table = tabulate(runs, by=by.split(",") if by else None, metric=metric, best=best, pivot=pivot)
    print(render(table, form, width=shutil.get_terminal_size().columns, color=sys.stdout.isatty()), end="")
    if form != "table":
        for note in notes(table, bold=form != "csv"):
            print(note, file=sys.stderr)
    return 0


@click.command(epilog="Example: normbench compare quickstart other/results/quickstart --by norm")
@click.argument("first", metavar="STUDY_A", shell_complete=cursor.study)
@click.argument("second", metavar="STUDY_B", shell_complete=cursor.study)
@click.option("--show", metavar="PARTS", help="Some of cells,verdicts,speed,versions. Default: all (csv: cells).")
@_tabulating
def compare(
    first: str, second: str, by: str | None, metric: str | None, form: str, show: str | None, results_dir: Path
) -> int:
    """Print what changed from STUDY_A to STUDY_B.

    Covers effects, verdicts, speed and versions. An effect is, for each cell in both, the mean of B minus that of A
    with its 95 % interval, over the seeds that both have.
    """
    from normbench.analysis.comparison import compare_studies
    from normbench.analysis.folders import find_studies
    from normbench.analysis.refresh import refresh
    from normbench.analysis.show_comparison import SECTIONS, show_comparison

    a, b = (find_studies([name], results_dir)[0] for name in (first, second))
    for note in filter(None, map(refresh, (a, b))):
        print(note, file=sys.stderr)
    found = compare_studies(a, b, by=by.split(",") if by else None, metric=metric)
    parts = show.split(",") if show else SECTIONS
    print(
        show_comparison(found, form, parts, width=shutil.get_terminal_size().columns, color=sys.stdout.isatty()),
        end="",
    )
    return 0
