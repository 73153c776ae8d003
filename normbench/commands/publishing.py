"""`normbench claims publish`: the records behind a study's verdicts, in files small enough for a repository."""

import os
from collections.abc import Mapping
from pathlib import Path

from normbench.claims.judgement import Judgement
from normbench.claims.publishing import check_places, publish_curves, publish_designs, publish_runs
from normbench.claims.spec import Claim
from normbench.claims.tables import Tables
from normbench.errors import StudyError
from normbench.record.store import Study
from normbench.report.claim_view import claim_views
from normbench.report.contents import read_study


def publish(study: Path, folder: Path, claims: Mapping[str, Claim]) -> None:
    """Judge a study, draw its figures, and write what was read of its records for that.

    Args:
        study: The study.
        folder: Where the records go; files that are no part of them stay.
        claims: The whole catalogue.

    Raises:
        StudyError: A command is using the study, it is incomplete or damaged, a design is of another version of its
            claim, the folder is a study that is trained into, or a file cannot be written.
    """
    check_places(study, folder)
    # Tables that are rewritten between two reads would be published as a mixture of two states.
    if os.access(study, os.W_OK) and not Study(study).is_free:
        raise StudyError(f"a command is using {study}: publish it when that has ended.")
    tables = Tables.of(study)
    judgement = Judgement.of(study, claims, tables)
    publish_designs(study, folder)
    publish_runs(study, folder, claims)
    judgement.write(folder)
    claim_views(read_study(folder, claims, tables))  # a figure shows arms that no verdict reads
    publish_curves(study, folder, tables.curves)
