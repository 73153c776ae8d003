"""Turns runs into a frozen plan: identities, and skipped cells with their reasons."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.source import file_hash, source_hash
from normbench.spec import CLASSIFICATION, FILES, Checked, Component, Requested, Run, Value

SCHEMA = 1
"""Version of the canonical form behind a run_id."""

_LATER_KEYS: Mapping[str, Value] = {
    "model.bias_init": 0.0,
    "model.weights": None,
    "data.test_shift": "none",
    "task": CLASSIFICATION.as_dict(),
    "target": None,
    "precision": "float32",
}
"""Dotted keys added after schema 1, with their defaults: they enter an id only with another value."""

_VERSIONED = {"optimizer": ("normbench.", "torch.")}
"""Packages whose source is not part of an id, if not only normbench: a new version would change every id."""


@dataclass(frozen=True, slots=True)
class Pack:
    """Runs that are trained together, by one worker.

    Attributes:
        runs: Their run_ids.
        mode: `solo`, `stacked` or `compiled`.
        threads: Threads of the worker.
        reason: Why this mode and this number of threads.
        structure: Name of the structure that its runs share; a worker compiles for it only once.
        fill: Size that it is filled up to with copies, so that one compilation serves packs of several sizes.
        ranks: Processes that share each batch of its run.
    """

    runs: tuple[str, ...]
    mode: str
    threads: int
    reason: str
    structure: str = ""
    fill: int = 0
    ranks: int = 1

    @property
    def cpus(self) -> int:
        """CPUs that it keeps busy: the threads of all its ranks."""
        return self.threads * self.ranks


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a command will do, before any of it is done.

    Attributes:
        runs: Runs by run_id, in the order of the axes; equal ones merged.
        checked: The checked form of each, by run_id.
        sources: The `sources` of each run, by run_id.
        skipped: Impossible runs with the reason.
        notes: Notes for the user, without repetition.
    """

    runs: Mapping[str, Requested]
    checked: Mapping[str, Checked]
    sources: Mapping[str, Mapping[str, str]]
    skipped: tuple[tuple[Run, str], ...]
    notes: tuple[str, ...]

    def entry(self, run_id: str) -> dict[str, Any]:
        """Return a run as written to plan.jsonl."""
        own = {"sources": dict(self.sources[run_id])} if self.sources[run_id] else {}
        return {"content": self.checked[run_id].content, **own, "config": self.runs[run_id].as_dict()}


def make_plan(
    requested: Iterable[Requested],
    *,
    check: Callable[[Requested], Checked],
    multirun: bool,
) -> Plan:
    """Freeze runs into a plan.

    Args:
        requested: The runs of the config.
        check: Loads the data of a run and tries its model once.
        multirun: Whether an impossible run is skipped with its reason; otherwise it is an error.

    Returns:
        The plan.

    Raises:
        ImpossibleRunError: If a single run is impossible.
        ConfigError: If every run of a sweep is impossible.
    """
    planned: dict[str, Requested] = {}
    hashes: dict[str, dict[str, str]] = {}
    known: dict[str, Checked] = {}
    skipped: list[tuple[Run, str]] = []
    notes: dict[str, None] = {}
    for asked in requested:
        try:
            checked = check(asked)
        except ImpossibleRunError as error:
            if not multirun:
                raise
            skipped.append((asked.run, str(error)))
            continue
        own = sources(checked.run)
        identity = run_id(checked.run, checked.content, own)
        notes.update(dict.fromkeys(checked.notes))
        if identity in planned:
            # Claims share runs, with different probes.
            planned[identity] = planned[identity].with_probes(asked.probes)
        else:
            planned[identity] = Requested(checked.run, asked.probes, asked.place)
            known[identity], hashes[identity] = checked, own
    if not planned:
        raise ConfigError(
            f"no run of this sweep is possible. The first reason: {skipped[0][1] if skipped else 'none given'}"
        )
    return Plan(planned, known, hashes, tuple(skipped), tuple(notes))


def merged(plans: Sequence[Plan]) -> Plan:
    """Return several plans as one; a run of more than one has the probes of all."""
    runs: dict[str, Requested] = {}
    for plan in plans:
        for identity, asked in plan.runs.items():
            known = runs.get(identity)
            runs[identity] = asked if known is None else known.with_probes(asked.probes)
    return Plan(
        runs,
        {identity: checked for plan in plans for identity, checked in plan.checked.items()},
        {identity: own for plan in plans for identity, own in plan.sources.items()},
        tuple(one for plan in plans for one in plan.skipped),
        tuple(dict.fromkeys(note for plan in plans for note in plan.notes)),
    )


def run_id(run: Run, content: str, own: Mapping[str, str] | None = None) -> str:
    """Return the identity of a run: 12 hex digits, the same for the same science on every machine.

    Args:
        run: The run.
        content: Content hash of its data.
        own: Its `sources`, if already known.

    Returns:
        The first 12 hex digits of the SHA-256 of the canonical JSON of `science`.
    """
    found = science(run, content, sources(run) if own is None else own)
    try:
        text = json.dumps(found, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise ConfigError("an argument of a _target_ is nan or inf, expected finite numbers.") from error
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def science(run: Run, content: str, own: Mapping[str, str]) -> dict[str, Value]:
    """Return the content of a run_id: every value that decides the result, and nothing else."""
    values = run.as_dict()
    for key, value in values.items():
        if isinstance(value, dict):
            values[key] = part_science(key, value)
    for key, digest in own.items():
        group, _, named = key.partition(".")
        part = values[group]
        assert isinstance(part, dict)
        # A part with the user's own code may also have an argument called `source`.
        part[named if named in FILES.get(group, ()) else "source_hash" if "source" in part else "source"] = digest
    values = {key: value for key, value in values.items() if _LATER_KEYS.get(key, _MISSING) != value}
    data = values["data"]
    assert isinstance(data, dict)
    data["content"] = content
    return {"schema": SCHEMA, **values}


def part_science(group: str, part: Mapping[str, Value]) -> dict[str, Value]:
    """Return the keys of a part of a config that enter a run_id, `group` being `model`, `norm` or another."""
    return {key: value for key, value in part.items() if _LATER_KEYS.get(f"{group}.{key}", _MISSING) != value}


def sources(run: Run) -> dict[str, str]:
    """Return the SHA-256 of each of the user's own files that a run uses, by the key that names it.

    Raises:
        ConfigError: If a file does not exist.
    """
    found: dict[str, str] = {}
    for group in run.__slots__:
        part = getattr(run, group)
        if not isinstance(part, Component):
            continue
        if part.source is not None and not part.source.startswith(_VERSIONED.get(group, "normbench.")):
            found[f"{group}.{'_target_' if part.source == part.target else 'source'}"] = source_hash(part.source)
        for key, file in part.files(group).items():
            found[f"{group}.{key}"] = file_hash(file, f"{group}.{key}")
    return found


_MISSING = object()
