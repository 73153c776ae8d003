"""What packs cost: seconds measured on this machine and kept between commands, or a guess without measurements."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from normbench.cache import cache_folder
from normbench.errors import StudyError
from normbench.record.files import write_whole

COLD_COMPILATION, WARM_COMPILATION = 10.0, 0.2
"""Seconds to compile a step, and to load one that was compiled before."""

START = {"solo": 0.5, "stacked": 2.0, "compiled": 2.0}
"""Seconds from the plan to the first step: imports and forking workers."""

_DISPATCH = {"solo": 1e-3, "stacked": 1.5e-3, "compiled": 5e-5}
"""Fixed seconds of a step, whatever its size. Measured with torch 2.15 on a 2.8 GHz core, like the two rates."""

_MULTIPLY_ADDS = 3e10
"""Per second and core, with one thread."""

_BYTES = {"solo": 4e10, "stacked": 1e10, "compiled": 8e10}
"""Per second: from memory for an eager pack, from cache for a single run and a compiled pack."""

_SETUP = 0.015
"""Seconds per run to split the data and build a model."""

TEST_EVALUATIONS = 12
"""Cost of the three test scores, in evaluations on the validation part."""

_MOST_KEPT = 5000
"""Most timings kept per machine: the latest ones."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Packs that cost the same.

    Attributes:
        structure: Hash of what their runs share, apart from the budget.
        size: Runs of a pack.
        mode: `solo`, `stacked` or `compiled`.
        threads: Threads of its worker.
        multiply_adds: Multiply-adds of the forward pass of one batch of one run.
        num_params: Parameters of one run.
        steps: Steps of a run.
        evaluations: Evaluations of a run.
    """

    structure: str
    size: int
    mode: str
    threads: int
    multiply_adds: float
    num_params: int
    steps: int
    evaluations: int

    @property
    def key(self) -> str:
        """Return the key of its timings."""
        return f"{self.structure} {self.size} {self.mode} {self.threads}"

    @property
    def eager(self) -> "Kind":
        """The same without compilation."""
        return replace(self, mode="stacked") if self.mode == "compiled" else self


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that a pack takes.

    Attributes:
        step: A step of all its runs.
        evaluation: An evaluation on the validation part.
        fixed: One-time costs: building models and test scores.
    """

    step: float
    evaluation: float
    fixed: float

    def of(self, kind: Kind) -> float:
        """Return the seconds of a whole pack, without compilation."""
        return kind.steps * self.step + kind.evaluations * self.evaluation + self.fixed

    def times(self, other: "Timing", by: "Timing") -> "Timing":
        """Return each part multiplied by its part of `other` and divided by its part of `by`."""
        return Timing(
            self.step * other.step / by.step,
            self.evaluation * other.evaluation / by.evaluation,
            self.fixed * other.fixed / by.fixed,
        )


def structure_key(structure: str) -> str:
    """Return a short name of a structure, without its budget."""
    values = json.loads(structure)
    for key in ("steps", "epochs", "target_accuracy", "schedule"):
        values.pop(key, None)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def guess(kind: Kind) -> Timing:
    """Return a guess of what a pack takes on an unknown machine."""
    # A step reads and writes weights, gradients and momenta about ten times; its arithmetic is three forward passes.
    traffic = 40 * kind.num_params * kind.size / _BYTES[kind.mode]
    arithmetic = 3 * kind.multiply_adds * kind.size / _MULTIPLY_ADDS / kind.threads
    step = _DISPATCH[kind.mode] + traffic + arithmetic
    evaluation = 2 * step if kind.mode != "compiled" else guess(kind.eager).evaluation
    return Timing(step, evaluation, _SETUP * kind.size + TEST_EVALUATIONS * evaluation)


def timing_of(kind: Kind, known: Mapping[str, Timing], measured: Sequence[Kind]) -> Timing:
    """Return what a pack takes: as measured, or a guess corrected by measurements of similar packs.

    Args:
        kind: The pack.
        known: Figures by key.
        measured: Kinds with a timing in `known`.
    """
    if kind.key in known:
        return known[kind.key]
    if not measured:
        return guess(kind)
    like = min(measured, key=lambda other: _distance(kind, other))
    return guess(kind).times(known[like.key], by=guess(like))


def _distance(kind: Kind, other: Kind) -> tuple[bool, bool, float]:
    work = abs(math.log(guess(kind.eager).step / guess(other.eager).step))
    return kind.structure != other.structure, kind.mode != other.mode, work


def total(packs: Sequence[Kind], known: Mapping[str, Timing], measured: Sequence[Kind], workers: int) -> float:
    """Return the seconds of packs on workers that each take the next one.

    Args:
        packs: A kind for each pack.
        known: Figures by key.
        measured: Kinds of which `known` has a timing.
        workers: Processes.
    """
    if not packs:
        return 0.0
    seconds, longest = 0.0, 0.0
    for kind, count in Counter(packs).items():
        own = timing_of(kind, known, measured).of(kind)
        compilation = 0.0
        if kind.mode == "compiled":
            compilation = WARM_COMPILATION if kind.key in known else COLD_COMPILATION
        seconds += count * own + compilation
        longest = max(longest, own + compilation)
    return max(START[kind.mode] for kind in packs) + max(seconds / max(workers, 1), longest)


def learn(kind: Kind, walls: Sequence[float], known: Mapping[str, Timing], *, workers: int) -> Timing:
    """Return the timing of a kind after packs of it have ended.

    Args:
        kind: The kind.
        walls: Seconds that each pack took.
        known: Earlier timings by key.
        workers: Processes that trained them: if each had at most one pack, all packs include compilation.
    """
    before = timing_of(kind, known, [kind.eager] if kind.eager.key in known else [])
    # Of few packs the slowest include compilation; the median of many does not.
    wall = sorted(walls)[len(walls) // 2] if len(walls) > 2 * workers else min(walls)
    if kind.mode == "compiled" and len(walls) <= workers:
        compilation = WARM_COMPILATION if kind.key in known else COLD_COMPILATION
        wall = max(wall - compilation, 0.3 * wall)
    factor = wall / before.of(kind)
    return Timing(before.step * factor, before.evaluation * factor, before.fixed * factor)


def read_timings(machine: str) -> dict[str, Timing]:
    """Return the saved timings of a machine; none if the file is missing or damaged."""
    found: dict[str, Timing] = {}
    for key, values in _read().get(machine, {}).items():
        with suppress(TypeError, ValueError):
            step, evaluation, fixed = map(float, values)
            if all(0 < part < math.inf for part in (step, evaluation, fixed)):
                found[key] = Timing(step, evaluation, fixed)
    return found


def keep_timings(machine: str, timings: Mapping[str, Timing]) -> None:
    """Add timings of a machine to the saved ones. A file that cannot be written is ignored."""
    if not timings:
        return
    content = _read()
    own = content.get(machine, {})
    for key, timing in timings.items():
        own.pop(key, None)
        own[key] = [float(f"{part:.4g}") for part in (timing.step, timing.evaluation, timing.fixed)]
    content[machine] = dict(list(own.items())[-_MOST_KEPT:])
    path = _path()
    with suppress(OSError, StudyError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, [json.dumps(content, indent=0), "\n"])


def _path() -> Path:
    return cache_folder() / "step-times.json"


def _read() -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: dict(own) for key, own in content.items() if isinstance(own, dict)}
