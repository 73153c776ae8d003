"""What the page on a study's files, results/README.md, says of a column."""

import re
from dataclasses import dataclass

from normbench.config.shipped import shipped_results
from normbench.metrics import METRICS

_NAMES = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_ANY_METRIC = f"(?:{'|'.join(METRICS)})"
_PLACEHOLDERS = {
    r"_M(?=_|$)": f"_{_ANY_METRIC}",
    r"^m_": rf"(?:(?:train|val|test)_{_ANY_METRIC}(?:_precise|_batch)?|steps_to_target)_",
    r"<name>": r"\\w+",
    r"<scalar>": r".+",
}
"""Placeholders in the names of columns on the page, and what they stand for."""


@dataclass(frozen=True, slots=True)
class DescribedColumn:
    """A row of a table of columns.

    Attributes:
        table: The file that has these columns.
        names: As on the page; some have placeholders, such as ``train_M``.
        meaning: What the page says of them, as plain text.
    """

    table: str
    names: tuple[str, ...]
    meaning: str

    def fits(self, name: str) -> bool:
        """Return whether a name is one of these with its placeholders filled."""
        return any(re.fullmatch(_pattern(own), name) for own in self.names)


def columns() -> list[DescribedColumn]:
    """Return the rows of each table of columns of a study's files; the page has others of normbench's own figures."""
    found: list[DescribedColumn] = []
    table, is_of_columns = "", False
    for line in (shipped_results() / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            table, is_of_columns = line.lstrip("# "), False
        elif not line.startswith("|"):
            is_of_columns = False
        elif line.startswith(("| column |", "| columns |")):
            is_of_columns = not table.startswith("reference/")
        elif is_of_columns and (names := tuple(_NAMES.findall(line.split("|")[1]))):
            meaning = line.partition("|")[2].partition("|")[2].rstrip("| ").strip()
            found.append(DescribedColumn(table, names, _plain(meaning)))
    return found


def columns_named(name: str) -> list[DescribedColumn]:
    """Return the rows on a column, of each table that has it: those with its very name, else those that it fits."""
    rows = columns()
    exact = [column for column in rows if name in column.names]
    tables = {column.table for column in exact}
    return exact + [column for column in rows if column.table not in tables and column.fits(name)]


def _pattern(name: str) -> str:
    text = re.escape(name).replace(r"\<", "<").replace(r"\>", ">")
    for placeholder, pattern in _PLACEHOLDERS.items():
        text = re.sub(placeholder, pattern, text)
    return text


def _plain(text: str) -> str:
    return _LINK.sub(r"\1", text).replace("`", "").replace("**", "")
