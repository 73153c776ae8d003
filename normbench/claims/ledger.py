"""The ledger of designs: which seeds each version of a claim's design is judged on, written before they are run."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path

from normbench.claims.family import SCHEDULES
from normbench.errors import ConfigError
from normbench.record.files import write_whole

TRIAL_SEEDS = (1000, 1001)
"""Seeds of a quick run; no verdict uses them or any later ones."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger: a version of a cell's design, and the seeds that it is judged on.

    Attributes:
        claim: Id of the claim.
        cell: Name of the cell; empty if the claim has a single one without a name.
        spec_sha256: Hash of the cell's judged part.
        first_seed: The first seed.
        looks: Seeds after which the design is judged, ascending.
        date: Day on which the row was written, ISO 8601.
        reason: Why the design is new or was changed.
    """

    claim: str
    cell: str
    spec_sha256: str
    first_seed: int
    looks: tuple[int, ...]
    date: str
    reason: str

    @property
    def end(self) -> int:
        """The first seed after those of the last look."""
        return self.first_seed + self.looks[-1]

    def overlaps(self, other: "Entry") -> bool:
        """Return whether two designs share a seed."""
        return self.first_seed < other.end and other.first_seed < self.end


COLUMNS = tuple(field.name for field in fields(Entry))


def read_ledger(folders: Iterable[Path]) -> tuple[Entry, ...]:
    """Return the rows of the ledgers of some `conf/claim` folders, in order.

    Args:
        folders: The shipped one first, a user's own last; a folder without ``ledger.csv`` has no rows.

    Raises:
        ConfigError: If a row is wrong; the message names file and line.
    """
    return tuple(entry for folder in folders for entry in _read(folder / "ledger.csv"))


def history(ledger: Sequence[Entry], claim: str, cell: str) -> tuple[Entry, ...]:
    """Return the designs of a cell, the earliest first. Those of the claim before it had named cells belong to each."""
    return tuple(entry for entry in ledger if entry.claim == claim and entry.cell in ("", cell))


def seen_before(designs: Sequence[Entry]) -> Entry | None:
    """Return an earlier design that shares seeds with the last one, or None.

    Args:
        designs: The `history` of a cell. The same design on the same seeds is no other design.
    """
    *earlier, last = designs
    return next((one for one in earlier if one.spec_sha256 != last.spec_sha256 and one.overlaps(last)), None)


def register(
    ledger: Sequence[Entry], claim: str, cells: Iterable[tuple[str, str]], *, looks: tuple[int, ...], reason: str
) -> tuple[Entry, ...]:
    """Return rows for the designs of a claim, on seeds that no earlier design of the claim has used.

    Args:
        ledger: All rows so far.
        claim: Id of the claim.
        cells: Name and hash of each cell with a new design.
        looks: Seeds after which they will be judged.
        reason: Why the designs are new.

    Raises:
        ConfigError: If too few seeds are left before `TRIAL_SEEDS`.
    """
    first = max((entry.end for entry in ledger if entry.claim == claim), default=0)
    if first + looks[-1] > TRIAL_SEEDS[0]:
        raise ConfigError(
            f"{claim}: its designs have used the seeds up to {first - 1}, and seeds from {TRIAL_SEEDS[0]} on are for "
            "trials; give the claim another id."
        )
    today = date.today().isoformat()
    return tuple(Entry(claim, cell, sha256, first, looks, today, reason) for cell, sha256 in cells)


def append(folder: Path, entries: Iterable[Entry]) -> None:
    """Add rows to the ledger of a `conf/claim` folder.

    Raises:
        ConfigError: If the ledger is damaged.
        StudyError: If it cannot be written.
    """
    path = folder / "ledger.csv"
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for entry in [*_read(path), *entries]:
        table.writerow((asdict(entry) | {"looks": " ".join(map(str, entry.looks))}).values())
    write_whole(path, [text.getvalue()])


def _read(path: Path) -> list[Entry]:
    if not path.exists():
        return []
    entries: list[Entry] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, strict=True)
            if (header := tuple(next(rows, ()))) != COLUMNS:
                raise ConfigError(f"{path}: got the columns {','.join(header)}, expected {','.join(COLUMNS)}.")
            for row in rows:
                try:
                    entries.append(_entry(row))
                except ValueError as error:
                    raise ConfigError(f"{path}: line {rows.line_num}: {error}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: {error}") from error
    return entries


def _entry(row: list[str]) -> Entry:
    if len(row) != len(COLUMNS):
        raise ValueError(f"got {len(row)} values, expected {len(COLUMNS)}")
    claim, cell, sha256, first, looks, day, reason = row
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"spec_sha256: got '{sha256}', expected 64 hex digits")
    if not first.isdecimal():
        raise ValueError(f"first_seed: got '{first}', expected a whole number")
    seeds = tuple(int(look) for look in looks.split() if look.isdecimal())
    if seeds not in SCHEDULES:
        allowed = " or ".join("'" + " ".join(map(str, schedule)) + "'" for schedule in SCHEDULES)
        raise ValueError(f"looks: got '{looks}', expected {allowed}")
    entry = Entry(claim, cell, sha256, int(first), seeds, date.fromisoformat(day).isoformat(), reason)
    if entry.end > TRIAL_SEEDS[0]:
        raise ValueError(f"first_seed: got {first}, but seeds from {TRIAL_SEEDS[0]} on are for trials")
    return entry
