"""The command `status`: what of a study is queued, running, done and failed, and where its logs are."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from normbench.commands import cursor
from normbench.commands.paths import HomePath

_MOST = 8
"""Most jobs and most failed runs that are named."""


@click.command(epilog="Example: normbench status quickstart")
@click.argument("studies", nargs=-1, metavar="[STUDY]...", shell_complete=cursor.study)
@click.option("--results-dir", type=HomePath(), default=Path("results"), show_default=True)
def status(studies: tuple[str, ...], results_dir: Path) -> int:
    """Show how far the named studies, or all, are.

    STUDY is a folder, or a name under --results-dir. Shows what is done, running, queued, failed or left, and the logs
    of jobs.
    """
    from normbench.analysis.folders import find_studies

    for folder in find_studies(studies, results_dir):
        for line in lines(folder):
            print(line)
    return 0


def lines(folder: Path) -> Iterator[str]:
    """Yield the lines on one study."""
    from normbench.engine.standing import standing
    from normbench.record.store import Study

    study = Study(folder)
    found = standing(study)
    yield f"study     {folder}"
    done = found.finished + found.diverged
    yield f"done      {_runs(done)}" + (f", {found.diverged} of them diverged" if found.diverged else "")
    if found.running:
        yield f"running   {_runs(sum(found.running.values()))}: {_named(found.running)}"
    if found.queued:
        yield f"queued    {_runs(sum(found.queued.values()))}: {_named(found.queued)}"
    if found.left:
        busy = "a command is training them" if not study.is_free else "the command that planned them trains them"
        yield f"left      {_runs(found.left)}: {busy}"
    if found.failures:
        yield f"failed    {_runs(len(found.failures))}; the same command retries them"
    for failure in found.failures[:_MOST]:
        yield f"          {failure.run_id}: {failure.error}"
        if failure.log is not None:
            yield f"          {failure.run_id}: log {folder / failure.log}"
    for name, log in list(found.logs.items())[:_MOST]:
        yield f"log       {name}: {folder / log}"


def _runs(count: int) -> str:
    return f"{count} run{'s' if count != 1 else ''}"


def _named(owners: Mapping[str, int]) -> str:
    names = list(owners)
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {more} more" if more > 0 else "")
