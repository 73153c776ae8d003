"""Versions of a part: its data or the user's source file may change while name and settings stay the same."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from normbench.plan import part_science
from normbench.record.store import Block
from normbench.spec import apart

VERSION = "_content_"
"""Key of the column that distinguishes versions of a part; named like `_target_`, so no argument has this name."""


def version(entry: Mapping[str, Any], group: str) -> str:
    """Return a text that differs between versions of a part, and is never a number.

    It is a hash of the data and of the user's source files. It is empty for parts that normbench ships, and if the plan
    is of an earlier version of normbench without the source.

    Args:
        entry: A run in plan.jsonl.
        group: The part: `model`, `norm`, `data` or another.
    """
    hashes = [digest for key, digest in sorted(entry.get("sources", {}).items()) if key.partition(".")[0] == group]
    if group == "data" and "content" in entry:
        hashes = [entry["content"], *hashes]
    if len(hashes) > 1:
        hashes = [hashlib.sha256("".join(hashes).encode()).hexdigest()]
    return f"sha:{hashes[0][:8]}" if hashes else ""


def parts(entry: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the parts of a run in plan.jsonl, each with its group."""
    return ((group, part) for group, part in entry["config"].items() if isinstance(part, dict))


def settings(group: str, part: Mapping[str, Any]) -> str:
    """Return a text that is equal for parts of equal settings, independent of the location of data."""
    return json.dumps(part_science(group, apart(group, part)[0]), sort_keys=True)


def edited(blocks: Iterable[Block], entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return one sentence per part that changed since it was last planned, under the same name and settings.

    Data in another folder count as other data, not as an edit.

    Args:
        blocks: The plan so far.
        entries: Runs that a command requests, as in plan.jsonl.
    """
    latest: dict[tuple[str, str, object], tuple[str, str]] = {}
    known: dict[int, str] = {}
    for block in blocks:
        created = str(block.header.get("created", "")).replace("T", " ").replace("+00:00", " UTC")
        for entry in block.runs.values():
            for group, part in parts(entry):
                # The study shares one object among equal parts, so few of them are new.
                same = known.get(id(part)) or known.setdefault(id(part), settings(group, part))
                latest[group, same, part.get("root")] = version(entry, group), created
    notes: dict[str, None] = {}
    for entry in entries if latest else ():
        for group, part in parts(entry):
            now = version(entry, group)
            then, created = latest.get((group, settings(group, part), part.get("root")), (now, ""))
            if now and then != now:
                was = "was edited" if then else "may have been edited"
                column = f"{group}.{VERSION}"
                text = f"{group}={part['name']} {was} since {created}: its runs form a separate cell, column {column}."
                notes[text] = None
    return list(notes)
