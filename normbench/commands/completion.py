"""Completions at the cursor of a command line, from file names and YAML only: a TAB must not wait for torch."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from normbench.analysis.folders import find_studies, studies_under
from normbench.analysis.metric_columns import metric_columns
from normbench.commands.listing import GROUPS, option_files, probe_files
from normbench.config.rules import RULES
from normbench.config.shipped import shipped_conf
from normbench.errors import StudyError
from normbench.metrics import metric_column
from normbench.record.columns import FIXED

_OPEN = re.compile(r"(.*[,\[(])?(.*)", re.DOTALL)
"""The text before the last value of a list, and that value."""

_RUN_ID = re.compile(r"^[0-9a-f]{12}(?=,)", re.MULTILINE)

_GROUPS = tuple(group for group in GROUPS.values() if group != "experiment")


@dataclass(frozen=True)
class OverrideLine:
    """The overrides of a command typed so far.

    Attributes:
        typed: The complete ones.
        config_dir: The user's own conf folder.
        results_dir: Folder of the studies.
    """

    typed: Sequence[str] = ()
    config_dir: Path | None = None
    results_dir: Path = Path("results")

    def complete(self, incomplete: str) -> list[str]:
        """Return every completion of the text at the cursor: overrides, or beginnings of them.

        Keys end in `=` and groups also in a dot, for what follows them. Of a list of values the last one is completed.
        """
        key, equals, value = incomplete.partition("=")
        if equals:
            head, last = _last(value)
            return [f"{key}={head}{name}" for name in self._values(key.lstrip("+~")) if _fits(name, head, last)]
        sign = incomplete[: len(incomplete) - len(incomplete.lstrip("+~"))]
        keys = self._keys(incomplete.lstrip("+~"))
        shown = (key.rstrip("=") for key in keys if not key.endswith(".")) if sign == "~" else keys
        return [f"{sign}{key}" for key in shown if f"{sign}{key}".startswith(incomplete)] + [
            text for text in ("+experiment=",) if text.startswith(incomplete) and incomplete != "~"
        ]

    @cached_property
    def _primary(self) -> dict[str, Any]:
        own = self.config_dir / "config.yaml" if self.config_dir is not None else None
        return _read(own if own is not None and own.is_file() else shipped_conf() / "config.yaml")

    @cached_property
    def _given(self) -> dict[str, list[str]]:
        """The typed values by key."""
        pairs = (text.lstrip("+").partition("=") for text in self.typed)
        return {key: value.strip("[]").split(",") for key, equals, value in pairs if equals}

    def _keys(self, incomplete: str) -> list[str]:
        section, dot, _ = incomplete.partition(".")
        if dot and section in _GROUPS:
            return [f"{section}.{key}=" for key in self._keys_of(section)]
        own = {key: value for key, value in self._primary.items() if key not in ("defaults", "sweep")}
        if dot:
            values = own.get(section)
            return [f"{section}.{key}=" for key in values] if isinstance(values, dict) else []
        groups = [f"{group}{end}" for group in _GROUPS for end in "=."]
        return [*groups, *(f"{key}." if isinstance(value, dict) else f"{key}=" for key, value in own.items())]

    def _keys_of(self, group: str) -> list[str]:
        """Return the keys of the chosen options of a group."""
        files = option_files(group, self.config_dir)
        chosen = [files[name] for name in self._chosen(group) if name in files] or list(files.values())
        return list(dict.fromkeys(key for path in chosen for key in _read(path) if key != "name"))

    def _chosen(self, group: str) -> list[str]:
        if group in self._given:
            return self._given[group]
        defaults = _defaults(self._primary)
        for name in self._given.get("experiment", ()):
            path = option_files("experiment", self.config_dir).get(name)
            defaults |= _defaults(_read(path)) if path is not None else {}
        return [defaults[group]] if group in defaults else []

    def _values(self, key: str) -> list[str]:
        if key in (*_GROUPS, "experiment"):
            return list(option_files(key, self.config_dir))
        if key == "probes":
            return [path.stem for path in probe_files()]
        if key == "study":
            folder = Path(self._given.get("results_dir", [str(self.results_dir)])[0])
            return study_names(folder)
        rule = RULES.get(key)
        if rule is None:
            return []
        named = ["true", "false"] if rule.kind is bool else list(rule.choices)
        return named + ["auto"] * (rule.auto and "auto" not in named) + ["null"] * (rule.optional and not rule.auto)


def one_of(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that begin with the typed text."""
    return [name for name in names if name.startswith(incomplete)]


def list_of(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the completions of a comma-separated list: its last part is completed with one of the names."""
    head, last = _last(incomplete)
    return [f"{head}{name}" for name in names if _fits(name, head, last)]


def study_names(results_dir: Path) -> list[str]:
    """Return the names of the studies under a folder."""
    return [folder.name for folder in studies_under(results_dir)]


def columns(studies: Sequence[str], results_dir: Path) -> list[str]:
    """Return the config columns of studies: the standard ones, and those that only these studies record."""
    fixed = [name for name, column in FIXED.items() if column.role == "config"]
    recorded = _recorded(studies, results_dir)
    return [*fixed, *(name for name in recorded if name not in FIXED and not metric_column(name))]


def metrics(studies: Sequence[str], results_dir: Path) -> list[str]:
    """Return the metrics of studies: the standard ones, and those that only these studies have."""
    return metric_columns(_recorded(studies, results_dir))


def _recorded(studies: Sequence[str], results_dir: Path) -> list[str]:
    """Return the columns in the tables of studies, without repetition."""
    found: dict[str, None] = {}
    for folder in _folders(studies, results_dir):
        with (folder / "runs.csv").open(encoding="utf-8-sig", errors="replace") as file:
            found |= dict.fromkeys(file.readline().rstrip("\r\n").split(","))
    return list(found)


def run_ids(incomplete: str, studies: Sequence[str], results_dir: Path) -> list[str]:
    """Return the ids of recorded runs that begin with the typed text."""
    found: dict[str, None] = {}
    for folder in _folders(studies, results_dir):
        text = (folder / "runs.csv").read_text(encoding="utf-8", errors="replace")
        found |= dict.fromkeys(one_of(_RUN_ID.findall(text), incomplete))
    return list(found)


def _folders(studies: Sequence[str], results_dir: Path) -> list[Path]:
    try:
        folders = find_studies(studies, results_dir)
    except StudyError:  # The command itself reports it.
        return []
    return [folder for folder in folders if (folder / "runs.csv").is_file()]


def _last(text: str) -> tuple[str, str]:
    found = _OPEN.fullmatch(text)
    assert found is not None
    return found[1] or "", found[2]


def _fits(name: str, head: str, last: str) -> bool:
    return name.startswith(last) and name not in re.split(r"[,\[(]", head)


def _defaults(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the options that a defaults list chooses: `- norm: batch` or `- override /norm: batch`."""
    entries = config.get("defaults") or []
    pairs = (pair for entry in entries if isinstance(entry, dict) for pair in entry.items())
    return {str(key).rpartition("/")[2].removeprefix("override "): str(option) for key, option in pairs}


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):  # The command itself reports it.
        return {}
    return values if isinstance(values, dict) else {}
