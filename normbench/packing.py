"""Which runs train together, and how: a rule on config and plan alone, since the mode enters the bits."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from normbench.plan import Pack
from normbench.spec import Checked, Engine

LARGE_STEP = 2e8
"""Multiply-adds of a step's forward pass from which all cores beat one."""

STACKED_STEP = {"stacked": 4e6, "compiled": 5e7}
"""Multiply-adds of a step's forward pass up to which stacking gains: above it arithmetic takes the time."""

COMPILED_STEPS = 30_000
"""Steps of all like runs together from which compiling pays: it costs 8 to 20 s and saves 0.15 ms a step and more."""

STACKED_RUNS = 8
"""Fewest runs of an eager pack: its step takes some 1.7 ms however few they are, where a solo step takes 0.3 ms."""

MOST_RUNS = 64
"""Most runs of a pack."""

STEP_OVERHEAD = 2
"""What a compiled step takes beside its runs, in runs: 20 us a run and 40 us."""

STACKED_BYTES = 24e6
"""Weights, gradients and momenta of an eager pack: dispatch dominates, not memory."""

COMPILED_BYTES = 16e6
"""What a step of a compiled pack touches, activations included, so that it stays in a core's share of the cache."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the packing may know of the machine.

    Attributes:
        cores: Cores, hence workers.
        compiler: Whether there is a C++ compiler, which torch.compile needs.
    """

    cores: int
    compiler: bool


def make_packs(
    runs: Mapping[str, Checked], engine: Engine, machine: Machine, *, alone: str | None = None
) -> tuple[Pack, ...]:
    """Divide runs into packs.

    Args:
        runs: What is known of each run that is to be trained, by run_id.
        engine: What the user asked for.
        machine: The machine.
        alone: Why every run has to train by itself; None where it need not.

    Returns:
        The packs, in the order of their first runs.
    """
    groups: dict[str, list[str]] = {}
    packs: list[Pack] = []
    for run_id, checked in runs.items():
        reason = alone or checked.alone
        if engine.mode == "solo" or reason or checked.structure is None:
            packs.append(_solo(run_id, checked, engine, machine, reason or "engine.mode=solo", single=len(runs) == 1))
        else:
            groups.setdefault(checked.structure, []).append(run_id)
    for structure, members in groups.items():
        first = runs[members[0]]
        mode, reason = choose_mode(len(members), first, engine.mode, machine)
        if mode == "solo":
            packs += [_solo(run_id, runs[run_id], engine, machine, reason, single=len(runs) == 1) for run_id in members]
            continue
        name = hashlib.sha256(structure.encode()).hexdigest()[:12]
        cap = _fitting(first, engine, machine)
        if cap < 2:
            reason = f"a pack of two is over engine.memory={engine.memory:g}"
            packs += [_solo(run_id, runs[run_id], engine, machine, reason, single=len(runs) == 1) for run_id in members]
            continue
        size = min(_size(len(members), first, mode, machine.cores), cap)
        if size == cap:
            reason += f"; engine.memory={engine.memory:g} bounds the pack"
        parts = [members[start : start + size] for start in range(0, len(members), size)]
        fill = size if mode == "compiled" else 0
        packs += [Pack(tuple(part), mode, engine.threads or 1, reason, name, fill) for part in parts]
    order = {run_id: place for place, run_id in enumerate(runs)}
    return tuple(sorted(packs, key=lambda pack: order[pack.runs[0]]))


def choose_mode(count: int, checked: Checked, asked: str, machine: Machine) -> tuple[str, str]:
    """Return the mode of `count` like runs, and why.

    Args:
        count: Runs of one structure.
        checked: What is known of one of them.
        asked: `engine.mode`.
        machine: The machine.
    """
    if asked == "compiled" and not machine.compiler:
        return "stacked", "engine.mode=compiled, but there is no C++ compiler"
    if asked != "auto":
        return asked, f"engine.mode={asked}"
    if count < 2:
        return "solo", "no other run shares its structure"
    if checked.multiply_adds > STACKED_STEP["compiled"]:
        return "solo", "its steps are large: stacking gains nothing"
    steps = count * checked.steps
    if machine.compiler and steps >= COMPILED_STEPS:
        return "compiled", f"{count} like runs, {steps:,} steps"
    few = "too few steps to pay for a compilation" if machine.compiler else "without a C++ compiler nothing is compiled"
    if checked.multiply_adds > STACKED_STEP["stacked"]:
        return "solo", f"{few}, and its steps are too large for stacking to gain without"
    if count < 2 * STACKED_RUNS:
        return "solo", f"{few}, and {count} like runs are too few for stacking to gain without"
    return "stacked", f"{count} like runs; {few}"


def _solo(run_id: str, checked: Checked, engine: Engine, machine: Machine, reason: str, *, single: bool) -> Pack:
    if _fitting(checked, engine, machine) < 1:
        reason += f"; one run alone is over engine.memory={engine.memory:g}"
    if engine.threads is not None:
        return Pack((run_id,), "solo", engine.threads, f"{reason}; engine.threads={engine.threads}")
    if single and checked.multiply_adds >= LARGE_STEP:
        return Pack((run_id,), "solo", machine.cores, f"{reason}; all {machine.cores} cores for a large model")
    return Pack((run_id,), "solo", 1, f"{reason}; one thread")


def _fitting(checked: Checked, engine: Engine, machine: Machine) -> int:
    """Return how many runs of a pack `engine.memory` holds, where every worker trains such a pack."""
    if engine.memory is None:
        return MOST_RUNS + 1
    workers = engine.workers or max(1, machine.cores // (engine.threads or 1))
    return int(engine.memory * 1e9 / workers // run_bytes(checked))


def run_bytes(checked: Checked) -> int:
    """Return the bytes that a run takes in training: its state and what the backward pass needs, at four a number.

    State is weights, gradients and two numbers of the optimizer for each; of each layer its output is kept, and the
    gradient of it comes beside.

    Args:
        checked: What is known of the run.
    """
    return 4 * max(4 * checked.num_params + 2 * checked.activations, 1)


def _size(count: int, checked: Checked, mode: str, cores: int) -> int:
    """Return how many runs a pack holds: few enough for their state, and so that all cores end at about one time.

    Packs are of one size, as another would be compiled for by itself: the last is filled up with copies.
    """
    if mode == "stacked":
        most, fewest = int(STACKED_BYTES // (3 * 4 * max(checked.num_params, 1))), min(STACKED_RUNS, count // cores)
    else:
        most, fewest = int(COMPILED_BYTES // run_bytes(checked)), 2
    most, fewest = max(2, min(MOST_RUNS, most)), max(2, fewest)
    needed = -(-count // most)
    counts = [packs for packs in range(needed, 2 * needed + 2 * cores) if packs % cores == 0]
    sizes = [size for packs in counts if (size := -(-count // packs)) >= fewest] or [min(most, count)]
    return min(sizes, key=lambda size: -(-count // (size * cores)) * (size + STEP_OVERHEAD))
