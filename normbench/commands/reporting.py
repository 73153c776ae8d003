"""The command `report`."""

from collections.abc import Iterator
from pathlib import Path

import click

from normbench.commands import cursor


@click.command(epilog="Example: normbench report quickstart")
@click.argument("studies", nargs=-1, metavar="[STUDY]...", shell_complete=cursor.study)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="report.html in the study when left out."
)
@click.option("--results-dir", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
@click.option("--config-dir", type=click.Path(path_type=Path), help="Your own conf folder: its claim/ comes first.")
def report(studies: tuple[str, ...], output: Path | None, results_dir: Path, config_dir: Path | None) -> int:
    """Write one HTML page on the studies named (a folder or a name under --results-dir), or on all.

    It holds verdicts, figures, tables and the runs behind each, and asks for nothing from the network. Of several
    studies it goes to report.html under --results-dir.
    """
    from normbench.analysis.folders import find_studies
    from normbench.analysis.refresh import refresh
    from normbench.claims.loading import load_claims
    from normbench.record.files import write_whole
    from normbench.report.page import page

    folders = find_studies(studies, results_dir)
    for note in filter(None, map(refresh, folders)):
        click.echo(note, err=True)
    catalogue = {claim.id: claim for folder in _catalogues(config_dir) for claim in load_claims(folder).values()}
    path = output or (folders[0] if len(folders) == 1 else results_dir) / "report.html"
    write_whole(path, [page(folders, catalogue)])
    click.echo(path)
    return 0


def _catalogues(config_dir: Path | None) -> Iterator[Path]:
    """Yield every folder of claims, the user's own last, since they win."""
    from normbench.config.shipped import shipped_conf

    for conf in (shipped_conf(), config_dir):
        if conf is not None and (conf / "claim").is_dir():
            folders = (conf / "claim", *sorted((conf / "claim").glob("*/")))
            yield from (folder for folder in folders if any(folder.glob("*.yaml")))
