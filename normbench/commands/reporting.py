"""The command `report`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from normbench.commands import cursor
from normbench.commands.paths import HomePath

if TYPE_CHECKING:
    from normbench.claims.spec import Claim


@click.command(epilog="Example: normbench report quickstart")
@click.argument("studies", nargs=-1, metavar="[STUDY]...", shell_complete=cursor.study)
@click.option("-o", "--output", type=HomePath(), metavar="FILE", help="Default: report.html in the study.")
@click.option("--results-dir", type=HomePath(), default=Path("results"), show_default=True)
@click.option("--config-dir", type=HomePath(), help="Your own conf folder: its claim/ comes first.")
def report(studies: tuple[str, ...], output: Path | None, results_dir: Path, config_dir: Path | None) -> int:
    """Write one HTML page on the named studies, or on all.

    STUDY is a folder, or a name under --results-dir. The page holds verdicts, figures, tables and the runs behind
    each, and loads nothing from the network. For several studies it is report.html under --results-dir.
    """
    from normbench.analysis.folders import find_studies
    from normbench.analysis.refresh import refresh
    from normbench.claims.assertions import load_assertions
    from normbench.config.shipped import shipped_conf
    from normbench.record.files import write_whole
    from normbench.report.page import page

    catalogue = _claims(config_dir)
    folders = find_studies(studies, results_dir)
    for note in filter(None, map(refresh, folders)):
        print(note, file=sys.stderr)
    path = output or (folders[0] if len(folders) == 1 else results_dir) / "report.html"
    write_whole(path, [page(folders, catalogue, load_assertions(shipped_conf() / "assertions.yaml"))])
    print(path)
    return 0


def _claims(config_dir: Path | None) -> "dict[str, Claim]":
    """Return the claims of all catalogues by id; the user's own override others with the same id."""
    from normbench.claims.loading import find_catalogues, load_claims
    from normbench.config.shipped import shipped_conf

    catalogues = find_catalogues(shipped_conf(), config_dir).values()
    filled = [folders for folders in catalogues if any(path for folder in folders for path in folder.glob("*.yaml"))]
    claims = [claim for folders in filled for claim in load_claims(*folders).values()]
    if config_dir is not None:
        own = config_dir / "claim"
        claims.sort(key=lambda claim: (own / claim.catalogue / f"{claim.id}.yaml").is_file())
    return {claim.id: claim for claim in claims}
