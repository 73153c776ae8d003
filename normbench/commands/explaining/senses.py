"""Every sense of a name: a choice, a config group, a key, a probe, a claim, a column."""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from normbench.commands.explaining.claims import catalogues, claim_parts
from normbench.commands.explaining.commented import CommentedFile, CommentedKey, commented
from normbench.commands.explaining.docstrings import REGISTRIES, docstring, section, without_sections
from normbench.commands.explaining.tables import columns, columns_named
from normbench.commands.listing import GROUPS, option_files, probe_files
from normbench.config.rules import RULES
from normbench.config.shipped import shipped_conf
from normbench.metrics import METRICS, Metric, metric_column

_PRIMARY = "config"
"""Stem of the YAML with the defaults of a run."""

_READERS = {
    "runs.csv": "normbench aggregate",
    "summary.csv": "normbench aggregate",
    "curves.csv": "normbench dashboard",
    "verdicts.csv": "normbench claims verdict",
    "contrasts.csv": "normbench claims verdict ID",
    "doses.csv": "normbench report",
    "provenance.csv": "normbench rerun RUN_ID",
}
"""The command that reads each table of a study."""


@dataclass(frozen=True, slots=True)
class Sense:
    """One meaning of a name.

    Attributes:
        title: The kind of thing, and the name as it is used.
        parts: Label and text of each thing known; a label may be empty.
        command: A command to try.
    """

    title: str
    parts: tuple[tuple[str, str], ...]
    command: str


def senses(name: str, config_dir: Path | None = None) -> list[Sense]:
    """Return every sense of a name; none if it is unknown.

    Args:
        name: A choice of any group, a key in full or its last part, a group, a probe, a claim, a metric or a column.
        config_dir: A user's own conf folder.
    """
    return [
        *_as_choice(name, config_dir),
        *_as_group(name, config_dir),
        *_as_key(name, config_dir),
        *_as_probe(name),
        *_as_claim(name, config_dir),
        *_as_metric(name),
        *_as_column(name),
    ]


def known_names(config_dir: Path | None = None) -> list[str]:
    """Return every name that has a sense, sorted; of columns those without a placeholder.

    Args:
        config_dir: A user's own conf folder.
    """
    files = {group: option_files(group, config_dir) for group in GROUPS.values()}
    names = {name for own in files.values() for name in own} | set(GROUPS.values()) | set(METRICS)
    keys = _keys(config_dir)
    names |= set(keys) | {key.rpartition(".")[2] for key in keys} | {path.stem for path in probe_files()}
    names |= {name for folder in catalogues(config_dir) for name in option_files(folder, config_dir)}
    return sorted(names | {name for row in columns() for name in row.names if not _is_pattern(name)})


def _as_choice(name: str, config_dir: Path | None) -> Iterator[Sense]:
    for group in GROUPS.values():
        path = option_files(group, config_dir).get(name)
        if path is None:
            continue
        file = commented(path)
        ours = group in REGISTRIES and path.is_relative_to(shipped_conf())
        own = without_sections(docstring(group, name)) if ours else ""
        yield Sense(f"{group} {name}", (("", file.about), ("", own), *_settings(group, file)), _trial(group, name))


def _trial(group: str, name: str) -> str:
    """Return a command that shows a choice at work, or what it would do: not every model has every norm."""
    if group == "norm":
        return f"normbench plan -m norm={name} model=mlp,resnet"
    if group in ("experiment", "task"):
        return f"normbench train {'+' if group == 'experiment' else ''}{group}={name}"
    return f"normbench train {group}={name} --cfg"


def _settings(group: str, file: CommentedFile) -> Iterator[tuple[str, str]]:
    """Yield the keys of an option, and what it sets of others."""
    if file.is_global:
        yield "sets", ", ".join(f"{key.name}={key.default}" for key in file.keys)
        return
    for key in file.keys:
        yield f"{group}.{key.name}={key.default}", key.comment


def _as_group(name: str, config_dir: Path | None) -> Iterator[Sense]:
    for kind, group in GROUPS.items():
        if name in (group, kind):
            parts = (("choices", ", ".join(option_files(group, config_dir))),)
            yield Sense(f"config group {group}", parts, f"normbench list {kind}")


def _as_key(name: str, config_dir: Path | None) -> Iterator[Sense]:
    for key, places in _keys(config_dir).items():
        if name in (key, key.rpartition(".")[2]):
            rule = RULES.get(key)
            allowed = (("allowed", rule.describe()),) if rule is not None else ()
            yield Sense(f"key {key}", (*_defaults(places), *allowed), _setting(key, *places[0]))


def _setting(key: str, option: str, own: CommentedKey) -> str:
    """Return a command that sets a key to its default, with the option that has it."""
    if own.default == "{}":  # of `sweep`, whose keys an experiment makes
        return "normbench list experiments"
    chosen = "" if option == _PRIMARY else f"{key.partition('.')[0]}={option} "
    return f"normbench train {chosen}{shlex.quote(f'{key}={own.default}')} --cfg"


def _defaults(places: Iterable[tuple[str, CommentedKey]]) -> Iterator[tuple[str, str]]:
    """Yield each default of a key with its comment, and the options that have it."""
    holders: dict[tuple[str, str], list[str]] = {}
    for option, key in places:
        holders.setdefault((key.default, key.comment), []).append(option)
    for (default, comment), options in holders.items():
        place = "" if options == [_PRIMARY] else f" in {', '.join(options)}"
        yield f"default {default}{place}", comment


def _keys(config_dir: Path | None) -> dict[str, list[tuple[str, CommentedKey]]]:
    """Return each key by its name in a whole config, with the options that have it."""
    found = {key.name: [(_PRIMARY, key)] for key in commented(shipped_conf() / f"{_PRIMARY}.yaml").keys}
    for group in GROUPS.values():
        for option, path in option_files(group, config_dir).items():
            file = commented(path)
            for key in file.keys:
                if not file.is_global or key.name.startswith(f"{group}."):
                    own = key.name if file.is_global else f"{group}.{key.name}"
                    found.setdefault(own, []).append((option, key))
    return found


def _as_probe(name: str) -> Iterator[Sense]:
    if name in (path.stem for path in probe_files()):
        text = docstring("probe", name)
        parts = (("", without_sections(text)), (f"columns probe.{name}...", section(text, "Returns")))
        yield Sense(f"probe {name}", parts, f"normbench train 'probes=[{name}]'")


def _as_claim(name: str, config_dir: Path | None) -> Iterator[Sense]:
    for folder, catalogue in catalogues(config_dir).items():
        path = option_files(folder, config_dir).get(name)
        if path is not None:
            option = f" --catalogue {catalogue}" if catalogue else ""
            parts = tuple(part for part in claim_parts(path, catalogue) if part[1])
            yield Sense(f"claim {name}", parts, f"normbench claims run {name}{option}")


def _as_column(name: str) -> Iterator[Sense]:
    rows = columns_named(name)
    if not rows:
        return
    parts = [(row.table, row.meaning) for row in rows]
    command = _READERS[rows[0].table]
    if (column := metric_column(name)) is not None:
        parts.append((f"metric {column.metric}", _in_words(METRICS[column.metric])))
        command += f" --metric {name}"
    yield Sense(f"column {name}", tuple(parts), command)


def _as_metric(name: str) -> Iterator[Sense]:
    if name in METRICS:
        parts = (("", _in_words(METRICS[name])), ("columns", f"train_{name}, val_{name}, test_{name} and others"))
        yield Sense(f"metric {name}", parts, f"normbench explain test_{name}")


def _in_words(metric: Metric) -> str:
    better = "higher" if metric.higher_is_better else "lower"
    bounds = [f"{word} {bound:g}" for word, bound in (("from", metric.low), ("to", metric.high)) if bound is not None]
    words = " ".join(("possible values", *bounds)) if bounds else ""
    shown = f"differences in {metric.unit}"
    return f"{metric.meaning}; " + ", ".join(filter(None, (f"{better} is better", words, shown)))


def _is_pattern(name: str) -> bool:
    return "<" in name or name.startswith("m_") or "_M" in name or name.endswith("...")
