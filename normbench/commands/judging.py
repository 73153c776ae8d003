"""The check before a study is judged from its records."""

import sys
from collections.abc import Mapping
from pathlib import Path

from normbench.analysis.refresh import refresh
from normbench.claims.designs import check_catalogue
from normbench.claims.spec import Claim
from normbench.errors import StudyError


def check_study(folder: Path, claims: Mapping[str, Claim], catalogue: str) -> None:
    """Check that claims were run in a study, and bring its tables up to date.

    Args:
        folder: The study's.
        claims: The catalogue.
        catalogue: Its name, for the message.

    Raises:
        StudyError: There is no such study, no claim was run in it, or the catalogue lacks one that was.
    """
    if not folder.is_dir():
        every = f"normbench claims run --all{f' --catalogue {catalogue}' if catalogue else ''}"
        raise StudyError(f"no study {str(folder)!r}; create it with `{every}`, or name another with --study.")
    if note := refresh(folder):
        print(note, file=sys.stderr)
    check_catalogue(folder, claims)
    if not any((folder / "claims").glob("*.json")) and not (folder / "verdicts.csv").is_file():
        raise StudyError(f"no claim was run in {str(folder)!r}; run `normbench claims run --all --study NAME`.")
