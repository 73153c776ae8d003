"""Names of cells that are valid in a folder, a tag and a narrow column, whatever names a user chose."""

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from normbench.analysis.escape import visible

NOTES = ".notes"
"""File with what is left out of the logs, one line per note."""

PINNED = ".pinned"
"""File with the tags of the curves that are shown first, one line per tag."""

LONGEST = 80
"""Characters of a name; a folder may have 255 bytes."""

_HARMLESS = re.compile(r"[A-Za-z0-9_=][A-Za-z0-9_.=-]*")

_SHORT = {
    "study": "",
    "task": "",
    "norm": "",
    "model": "",
    "data": "",
    "batch_size": "bs",
    "norm_batch_size": "nbs",
    "lr": "lr",
    "epochs": "epochs",
    "steps": "steps",
}
"""Prefix of a value; any other column is named in full."""


def names(rows: pd.DataFrame, default: str) -> list[str]:
    """Return a name for each row, such as ``batch-bs2-lr0.05-model.depth=3``; no two are equal in any case.

    Args:
        rows: The columns that distinguish rows, in the order of the name; a missing value is left out.
        default: The name where nothing is left.
    """
    columns = {name: [cell(value) for value in rows[name]] for name in rows.columns}
    texts = [
        "-".join(_SHORT.get(name, f"{name}=") + values[place] for name, values in columns.items() if values[place])
        for place in range(len(rows))
    ]
    return list(distinct(text or default for text in texts))


def distinct(texts: Iterable[str]) -> Iterable[str]:
    """Yield harmless names for texts; one that is changed, or equals an earlier one, gets a hash."""
    taken: set[str] = set()
    for place, text in enumerate(texts):
        name = text.replace("+", "")
        if len(name) > LONGEST or not _HARMLESS.fullmatch(name):
            name = _hashed(name, text)
        if name.casefold() in taken:
            name = _hashed(name, f"{place} {text}")
        taken.add(name.casefold())
        yield name


def cell(value: Any) -> str:
    """Return a value as a part of a name; nothing if it is missing."""
    if pd.isna(value):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def shown(value: Any, longest: int = LONGEST) -> str:
    """Return a text as a table shows it: on one line, cut to `longest` characters."""
    text = visible(str(value))
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _hashed(name: str, text: str) -> str:
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem = re.sub(r"^\.+", "_", re.sub(r"[^A-Za-z0-9_.=-]+", "_", name))
    return f"{stem[: LONGEST - 9]}~{mark}"
