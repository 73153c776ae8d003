"""The cells of runs.csv that come from the plan and not from training, and the columns that they need."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from normbench.record.columns import FIXED, cell_text
from normbench.record.store import Block
from normbench.record.versions import VERSION, settings, version
from normbench.spec import FILES, apart

_PLACE = {"data.download", "probes"}
"""Keys that never get a column: downloading data or inspecting a run does not make a different cell."""


_FILES = tuple(f"{group}.{key}" for group, keys in FILES.items() for key in keys)


class Planned:
    """The runs of a plan as columns.

    Attributes:
        entries: The newest entry of each run in plan.jsonl, by run_id.
        columns: The columns that this plan needs beyond the fixed ones.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        """Find the columns that the blocks need."""
        self.entries = {run_id: entry for block in blocks for run_id, entry in block.runs.items()}
        self._roots = _roots(entry for block in blocks for entry in block.runs.values())
        self._files = {
            column: _first_paths(column, (entry for block in blocks for entry in block.runs.values()))
            for column in _FILES
        }
        keys = {key for block in blocks for key in block.header["changed"]} | set(_edited(self.entries.values()))
        if len({root for root in self._roots.values() if root is not None}) < 2:
            keys.discard("data.root")
        for column, paths in self._files.items():
            if len(paths) < 2 and all(column in entry.get("sources", ()) for entry in self.entries.values()):
                keys.discard(column)
        keys |= set(self._versioned(with_root="data.root" in keys))
        self.columns = sorted(keys - FIXED.keys() - _PLACE)

    def cells(self, run_id: str, columns: Iterable[str]) -> list[object]:
        """Return the values of a run in some columns, None if it has none.

        `data.root` and keys such as `model.weights` are the paths under which its data and files were first planned:
        another spelling of the path, or another location of the same files, does not make a different cell.
        """
        entry = self.entries[run_id]
        return [self._cell(entry, column) if "." in column else _top(entry["config"], column) for column in columns]

    def _cell(self, entry: Mapping[str, Any], column: str) -> object:
        group, _, key = column.partition(".")
        if column == "data.root":
            return self._roots[_data(entry)]
        if column in self._files:
            return self._files[column].get(entry.get("sources", {}).get(column))
        return version(entry, group) if key == VERSION else _dotted(entry["config"], column)

    def _versioned(self, *, with_root: bool) -> Iterator[str]:
        """Yield the columns that distinguish versions, for groups in which equal settings have several versions."""
        seen: dict[tuple[str, str, object], set[str]] = {}
        looked_at: set[tuple[object, ...]] = set()
        groups = {
            "data",
            *(key.partition(".")[0] for entry in self.entries.values() for key in entry.get("sources", ())),
        }
        for group in groups:
            for entry in self.entries.values():
                part, data = entry["config"][group], _data(entry) if group == "data" else None
                place = (group, id(part), id(entry.get("sources")), data)
                if place not in looked_at:
                    looked_at.add(place)
                    root = self._roots[data] if data and with_root else None
                    seen.setdefault((group, settings(group, part), root), set()).add(version(entry, group))
        yield from (f"{group}.{VERSION}" for (group, *_), versions in seen.items() if len(versions) > 1)


def _data(entry: Mapping[str, Any]) -> tuple[str, object]:
    """Return what identifies the data of a run, independent of their location."""
    return entry["config"]["data"]["name"], entry.get("content")


def _roots(entries: Iterable[Mapping[str, Any]]) -> dict[tuple[str, object], object]:
    """Return the path of each data set when it was first planned."""
    roots: dict[tuple[str, object], object] = {}
    for entry in entries:
        roots.setdefault(_data(entry), entry["config"]["data"].get("root"))
    return roots


def _first_paths(column: str, entries: Iterable[Mapping[str, Any]]) -> dict[object, object]:
    """Return the path of each file of a key when it was first planned, by its hash."""
    found: dict[object, object] = {}
    for entry in entries:
        if column in entry.get("sources", ()):
            found.setdefault(entry["sources"][column], _dotted(entry["config"], column))
    return found


def _edited(entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the keys in which equal choices differ, because a YAML file changed between two commands."""
    seen: dict[tuple[str, str], set[str]] = {}
    looked_at: set[tuple[str, int]] = set()
    for entry in entries:
        for group, part in entry["config"].items():
            # The study shares one object among equal parts, so few of them are new.
            if (group, id(part)) in looked_at or not isinstance(part, dict):
                continue
            looked_at.add((group, id(part)))
            seen.setdefault((group, ""), set()).add(part["name"])
            for key, value in apart(group, part)[0].items():
                seen.setdefault((f"{group}.{key}", part["name"]), set()).add(cell_text(value))
    yield from (key for (key, _), values in seen.items() if len(values) > 1)


def _top(config: Mapping[str, Any], key: str) -> object:
    value = config.get(key)
    return value["name"] if isinstance(value, dict) and "name" in value else value


def _dotted(config: Mapping[str, Any], key: str) -> object:
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value["name"] if isinstance(value, dict) and "name" in value else value
