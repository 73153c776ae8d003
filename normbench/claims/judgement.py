"""Everything that is computed from the records of a study: verdicts, exploratory contrasts, doses."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from normbench.claims.contrasts import contrast_rows
from normbench.claims.doses import dose_rows
from normbench.claims.spec import Claim
from normbench.claims.tables import Tables
from normbench.claims.verdicts import Judged, judge_study, write_verdicts


@dataclass(frozen=True, eq=False)
class Judgement:
    """What verdicts.csv, contrasts.csv and doses.csv hold.

    Attributes:
        judged: The verdicts.
        contrasts: The rows of contrasts.csv.
        doses: The rows of doses.csv.
    """

    judged: list[Judged]
    contrasts: list[dict[str, object]]
    doses: list[dict[str, object]]

    @classmethod
    def of(cls, study: Path, claims: Mapping[str, Claim], tables: Tables, *, strict: bool = True) -> "Judgement":
        """Judge a study.

        Args:
            study: The folder.
            claims: The whole catalogue.
            tables: Its records.
            strict: As for `judge_study`.

        Raises:
            StudyError: A design is damaged or for another version of its claim, and `strict`.
        """
        judged = judge_study(study, claims, tables, strict=strict)
        return cls(judged, contrast_rows(study, claims, tables), dose_rows(study, claims, tables))

    def write(self, folder: Path) -> None:
        """Write the three tables, as those of the study in this folder.

        Raises:
            StudyError: A file cannot be written.
        """
        own = [replace(one, study=folder.name) for one in self.judged]
        write_verdicts(folder, own, self.contrasts, self.doses)
