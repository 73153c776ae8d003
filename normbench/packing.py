"""Which runs train together, and how: a rule on config and plan alone, since the mode enters the bits."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from normbench.plan import Pack
from normbench.spec import Checked, Engine

LARGE_STEP = 2e8
"""Multiply-adds of a step's forward pass from which all cores beat one."""

STACKED_STEP = 5e7
"""Multiply-adds of a step's forward pass up to which stacking gains: above it arithmetic takes the time."""

COMPILED_STEPS = 60_000
"""Steps of all like runs together from which compiling pays: it costs 10 to 20 s and saves about 0.15 ms a step."""

STACKED_RUNS = 8
"""Fewest runs of an eager pack: its step takes some 1.7 ms however few they are, where a solo step takes 0.3 ms."""

MOST_RUNS = 64
"""Most runs of a pack."""

PACK_BYTES = {"stacked": 24e6, "compiled": 6e6}
"""Weights, gradients and optimizer state of a pack. Compiled, they must stay in cache; eager, dispatch dominates."""


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
        parts = _divided(members, first.num_params, mode, machine.cores, cap)
        if max(map(len, parts)) == cap:
            reason += f"; engine.memory={engine.memory:g} bounds the pack"
        packs += [Pack(tuple(part), mode, engine.threads or 1, reason, name) for part in parts]
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
    if checked.multiply_adds > STACKED_STEP:
        return "solo", "its steps are large: stacking gains nothing"
    compiles = machine.compiler and count * checked.steps >= COMPILED_STEPS
    if not compiles and count < 2 * STACKED_RUNS:
        return "solo", f"{count} like runs are too few for stacking to gain"
    if count * checked.steps < COMPILED_STEPS:
        return "stacked", f"{count} like runs; too few steps to pay for a compilation"
    if not machine.compiler:
        return "stacked", f"{count} like runs; without a C++ compiler nothing is compiled"
    return "compiled", f"{count} like runs, {count * checked.steps:,} steps"


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


def _divided(members: Sequence[str], num_params: int, mode: str, cores: int, cap: int) -> list[Sequence[str]]:
    """Divide like runs into packs of nearly equal size, small enough for their state, enough for all cores."""
    state = 3 * 4 * max(num_params, 1)
    most = min(max(2, min(MOST_RUNS, int(PACK_BYTES[mode] // state))), cap)
    fewest = STACKED_RUNS if mode == "stacked" and len(members) >= 2 * STACKED_RUNS else 2
    count = max(-(-len(members) // most), min(cores, len(members) // fewest), 1)
    size = -(-len(members) // count)
    return [members[start : start + size] for start in range(0, len(members), size)]
