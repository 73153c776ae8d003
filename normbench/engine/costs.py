"""What packs cost: seconds measured on this machine, or a guess without measurements."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from normbench.spec import NO_PASSES, Passes

WARM_COMPILATION = 0.2
"""Seconds to load a step that was compiled before."""

_COLD_COMPILATION, _COMPILED_OPERATION = 5.0, 0.16
"""Seconds to compile a step: fixed ones, and those of each operation of the forward pass."""

START = {"solo": 1.0, "stacked": 2.0, "compiled": 2.0}
"""Seconds from the plan to the first step: imports and forking workers."""

_DISPATCH = {"solo": 6e-5, "stacked": 6e-4, "compiled": 3e-5}
"""Fixed seconds of a step, whatever its size. Measured with torch 2.15 on a 2.8 GHz core, like all that follow."""

_OPERATION = {"solo": 1e-5, "stacked": 3.8e-5, "compiled": 0.0}
"""Seconds of a step for each operation of the forward pass, whatever its size; with its backward pass."""

_MULTIPLY_ADDS = 5e10
"""Per second and core, with one thread."""

_BYTES = {"solo": 4e10, "stacked": 2.5e10, "compiled": 8e10}
"""Per second: from memory for an eager pack, from cache for a single run and a compiled pack."""

_MAPS = {"solo": 3e8, "stacked": 3e8, "compiled": 7e8}
"""Values of feature maps per second and core, forward and backward: they do not stay in the cache of a core."""

_VALUES = 2e9
"""Values of all layers per second and core in a forward pass of many samples."""

SHARED = 1.2
"""How much longer a pack takes while other workers share caches and memory with it."""

_SETUP, _SETUP_OPERATION = 8e-4, 4e-5
"""Seconds per run to split the data and build a model: fixed ones, and those of each operation of its forward pass."""

_SCORES = 7e-5
"""Seconds per run to make scores of the outputs of a pass."""


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
        batch_size: Samples of a batch.
        activations: Values in the outputs of the layers in the forward pass of one batch of one run.
        operations: Torch operations of a forward pass.
        validation: The pass of an evaluation.
        tests: The passes of the test scores.
        probes: The cost of the probes at an evaluation, in passes.
    """

    structure: str
    size: int
    mode: str
    threads: int
    multiply_adds: float
    num_params: int
    steps: int
    evaluations: int
    batch_size: int
    activations: int
    operations: int
    validation: Passes
    tests: Passes
    probes: Passes = NO_PASSES

    @property
    def key(self) -> str:
        """Return the key of its timings."""
        probes = f" {self.probes.count}" if self.probes.count else ""
        return f"{self.structure} {self.size} {self.mode} {self.threads}{probes}"

    @property
    def compilation(self) -> float:
        """Seconds to compile its step for the first time."""
        return _COLD_COMPILATION + _COMPILED_OPERATION * self.operations if self.mode == "compiled" else 0.0

    @property
    def eager(self) -> "Kind":
        """The same without compilation."""
        return replace(self, mode="stacked") if self.mode == "compiled" else self


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that a pack takes.

    Attributes:
        step: A step of all its runs.
        evaluation: An evaluation on the validation part, with its probes.
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


@cache
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
    # Values of a layer that uses each weight once per sample stay in the cache.
    once = kind.num_params * kind.batch_size / max(kind.multiply_adds, 1)
    maps = max(0.0, 1 - once) * _values(kind, kind.batch_size) / _MAPS[kind.mode]
    step = _dispatch(kind) + traffic + 3 * _arithmetic(kind, kind.batch_size) + maps
    # Probes have a model of their own.
    models = kind.size + bool(kind.probes.count)
    setup = models * (_SETUP + _SETUP_OPERATION * kind.operations)
    evaluation = scoring(kind, kind.validation) + _probing(kind)
    return Timing(SHARED * step, SHARED * evaluation, SHARED * (setup + scoring(kind, kind.tests)))


def scoring(kind: Kind, passes: Passes) -> float:
    """Return the seconds of passes that yield scores: eager in every mode, and without a backward pass."""
    return passes.count * (_dispatch(kind.eager) / 3 + _SCORES * kind.size) + _forward(kind, passes.samples)


def _probing(kind: Kind) -> float:
    return kind.probes.count * _dispatch(kind.eager) + _forward(kind, kind.probes.samples)


def _forward(kind: Kind, samples: int) -> float:
    return _arithmetic(kind, samples) + _values(kind, samples) / _VALUES


def _dispatch(kind: Kind) -> float:
    return _DISPATCH[kind.mode] + _OPERATION[kind.mode] * kind.operations


def _arithmetic(kind: Kind, samples: int) -> float:
    """Return the seconds of the multiply-adds of a forward pass of each run."""
    return kind.multiply_adds / kind.batch_size * samples * kind.size / _MULTIPLY_ADDS / kind.threads


def _values(kind: Kind, samples: int) -> float:
    """Return the values in the outputs of all layers of all runs."""
    return kind.activations / kind.batch_size * samples * kind.size


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
    work = sum(abs(math.log(mine / its)) for mine, its in zip(_work(kind), _work(other), strict=True))
    return kind.structure != other.structure, kind.mode != other.mode, work


@cache
def _work(kind: Kind) -> tuple[float, float]:
    """Return the seconds of a step and of the whole pack: of a pack of one step, all is setup, probes and scores."""
    eager = guess(kind.eager)
    return eager.step, eager.of(kind)


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
    workers = max(workers, 1)
    seconds, longest = 0.0, 0.0
    compilations: dict[str, float] = {}
    for kind, count in Counter(packs).items():
        own = timing_of(kind, known, measured).of(kind)
        # Kinds that differ only in their budget share the step that the first of them compiles.
        compilations[kind.key] = compilation_of(kind, known)
        seconds += count * own
        longest = max(longest, own + compilations[kind.key])
    steps = [one for one in compilations.values() if one]
    if steps:
        # Each worker takes another structure. Those that find none left compile one that another is compiling.
        together = min(-(-len(steps) // workers) * workers, sum(kind.mode == "compiled" for kind in packs))
        seconds += sum(steps) * together / len(steps)
    return max(START[kind.mode] for kind in packs) + max(seconds / workers, longest)


def compilation_of(kind: Kind, known: Mapping[str, Timing]) -> float:
    """Return the seconds to compile a step, or to load one that was compiled before."""
    return kind.compilation and (WARM_COMPILATION if kind.key in known else kind.compilation)


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
        wall = max(wall - compilation_of(kind, known), 0.3 * wall)
    factor = wall / before.of(kind)
    return Timing(before.step * factor, before.evaluation * factor, before.fixed * factor)
