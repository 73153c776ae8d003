"""Which runs train together, and how: decided by config and plan alone, since the mode affects the bits of results."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from normbench.plan import Pack
from normbench.spec import Checked, Engine

LARGE_STEP = 2e8
"""From this many multiply-adds of a step's forward pass, all cores are faster than one."""

STACKED_STEP = {"stacked": 4e6, "compiled": 5e7}
"""Up to this many multiply-adds of a step's forward pass, stacking saves time; above, arithmetic dominates."""

COMPILED_STEPS = 30_000
"""Compiling pays from this total of steps of similar runs: it costs 8 to 20 s and saves 0.15 ms a step or more."""

STACKED_RUNS = 8
"""Fewest runs of an eager pack: its step takes at least some 1.7 ms, a solo step 0.3 ms."""

MOST_RUNS = 64
"""Most runs of a pack."""

STEP_OVERHEAD = 2
"""Fixed cost of a compiled step, in runs: a step takes 20 us per run, plus 40 us."""

STACKED_BYTES = 24e6
"""Most bytes of weights, gradients and momenta of an eager pack: up to here dispatch dominates, not memory."""

COMPILED_BYTES = 16e6
"""Most bytes that a step of a compiled pack touches, activations included: a core's share of the cache."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the packing knows about the machine.

    Attributes:
        cores: Cores, and therefore workers.
        compiler: Whether there is a C++ compiler, which torch.compile needs.
        node: Cores of its largest node; None if it is a single one.
        memory_per_pack: Whether `engine.memory` is what each pack gets, and not what all share.
    """

    cores: int
    compiler: bool
    node: int | None = None
    memory_per_pack: bool = False


def make_packs(
    runs: Mapping[str, Checked], engine: Engine, machine: Machine, *, alone: str | None = None
) -> tuple[Pack, ...]:
    """Divide runs into packs.

    Args:
        runs: The checked runs to train, by run_id.
        engine: What the user asked for.
        machine: The machine.
        alone: Why every run must train alone; None if it need not.

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
            reason += f"; engine.memory={engine.memory:g} limits the pack"
        parts = [members[start : start + size] for start in range(0, len(members), size)]
        fill = size if mode == "compiled" else 0
        packs += [Pack(tuple(part), mode, engine.threads or 1, reason, name, fill) for part in parts]
    order = {run_id: place for place, run_id in enumerate(runs)}
    return tuple(sorted(packs, key=lambda pack: order[pack.runs[0]]))


def choose_mode(count: int, checked: Checked, asked: str, machine: Machine) -> tuple[str, str]:
    """Return the mode of `count` similar runs, and why.

    Args:
        count: Runs of one structure.
        checked: One of them.
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
        return "solo", "its steps are large: stacking saves no time"
    steps = count * checked.steps
    if machine.compiler and steps >= COMPILED_STEPS and not checked.uncompiled:
        return "compiled", f"{count} similar runs, {steps:,} steps"
    few = "too few steps to pay for compilation" if machine.compiler else "nothing is compiled without a C++ compiler"
    few = checked.uncompiled or few
    if checked.multiply_adds > STACKED_STEP["stacked"]:
        return "solo", f"{few}, and its steps are too large for stacking alone to be faster"
    if count < 2 * STACKED_RUNS:
        return "solo", f"{few}, and {count} similar runs are too few for stacking alone to be faster"
    return "stacked", f"{count} similar runs; {few}"


def _solo(run_id: str, checked: Checked, engine: Engine, machine: Machine, reason: str, *, single: bool) -> Pack:
    if _fitting(checked, engine, machine) < 1:
        reason += f"; one run alone is over engine.memory={engine.memory:g}"
    threads, why = 1, "one thread"
    if engine.threads is not None:
        threads, why = engine.threads, f"engine.threads={engine.threads}"
    elif single and checked.multiply_adds >= LARGE_STEP:
        cores = machine.node or machine.cores
        threads, why = max(1, cores // engine.ranks), f"all {cores} cores for a large model"
    return Pack((run_id,), "solo", threads, f"{reason}; {why}", ranks=engine.ranks)


def _fitting(checked: Checked, engine: Engine, machine: Machine) -> int:
    """Return how many runs of a pack fit in its part of `engine.memory`, if every worker trains such a pack."""
    if engine.memory is None:
        return MOST_RUNS + 1
    cpus = (engine.threads or 1) * engine.ranks
    workers = 1 if machine.memory_per_pack else engine.workers or max(1, machine.cores // cpus)
    return int(engine.memory * 1e9 / workers // run_bytes(checked))


def run_bytes(checked: Checked) -> int:
    """Return the bytes that a run takes in training: its state and what the backward pass needs, four per number.

    State is weights, gradients and two optimizer numbers per weight. For each layer its output and the gradient of it
    are kept.

    Args:
        checked: The run.
    """
    return 4 * max(4 * checked.num_params + 2 * checked.activations, 1)


def _size(count: int, checked: Checked, mode: str, cores: int) -> int:
    """Return how many runs a pack holds: their state must fit, and all cores should finish at about the same time.

    All packs have one size, since another size needs its own compilation: the last is filled up with copies.
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
