"""What popular texts assert about batch norm, sentence by sentence, from `conf/assertions.yaml`."""

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class Assertion:
    """A sentence of the texts.

    Attributes:
        number: What a claim that examines it names.
        says: The sentence, in the project's own words.
        texts: The texts that have it, one letter each.
        gap: What of it no claim examines; empty if nothing is left.
        opposite: Claims that state the opposite.
    """

    number: int
    says: str
    texts: str
    gap: str = ""
    opposite: tuple[str, ...] = ()


def load_assertions(path: Path) -> tuple[Assertion, ...]:
    """Return the sentences of a file, in its order."""
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(
        Assertion(number, row["says"].strip(), row["texts"], row.get("gap", ""), tuple(row.get("opposite", ())))
        for number, row in rows.items()
    )
