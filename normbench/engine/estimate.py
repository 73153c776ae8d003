"""How long a plan will take: from earlier timings of its packs, and from a calibration of two seconds."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from statistics import median
from time import perf_counter
from typing import Any

import torch

from normbench.engine.costs import (
    SHARED,
    Kind,
    Timing,
    guess,
    learn,
    scoring,
    structure_key,
    total,
)
from normbench.engine.device import device_name, threads_restored
from normbench.engine.places import place_of
from normbench.engine.timings import keep_timings, read_timings
from normbench.engine.work import Work, load_data
from normbench.plan import Pack, Plan
from normbench.record.store import Study
from normbench.spec import NO_PASSES, Component, Engine, Passes, Requested
from normbench.training.probing import REGISTRY
from normbench.training.probing.wiring import SAMPLES
from normbench.training.setup import set_up
from normbench.training.solo import take_step
from normbench.training.stacked_runs import StackedRuns
from normbench.training.step import make_step

CALIBRATION = 1.5
"""Seconds after which a calibration starts nothing new."""

_TIMED = 0.15
"""Seconds of steps to time for one kind, unless a few steps take longer."""

_LONGEST_STEP = 1.0
"""Kinds whose guessed step takes this many seconds are not calibrated: their guess is all arithmetic anyway."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a plan should take.

    Attributes:
        seconds: From the plan to the last row.
        workers: Packs at a time.
        source: The origin of the timings, in words.
        nodes: Machines.
        cost: What all packs take together, in words.
    """

    seconds: float
    workers: int
    source: str
    nodes: int
    cost: str


def estimate(packs: Sequence[Pack], plan: Plan, engine: Engine, *, calibrate: bool) -> Estimate:
    """Return how long packs should take in their place.

    Args:
        packs: The packs to train.
        plan: The plan that holds their runs.
        engine: The user's settings.
        calibrate: Whether to measure unknown timings on this machine, which takes about two seconds.
    """
    place = place_of(engine)
    device, elsewhere, workers = place.device(engine), place.elsewhere(engine), place.workers(packs, engine)
    machine = machine_key(device, elsewhere)
    known = read_timings(machine)
    kinds = [kind_of(pack, plan) for pack in packs]
    spent = 0.0
    if calibrate and not elsewhere:
        clock = perf_counter()
        measured = _calibrate(Counter(kinds), known, plan, device)
        spent = perf_counter() - clock
        known |= measured
        keep_timings(machine, measured)
    references = [kind for own in dict.fromkeys(kinds) for kind in {own, own.eager} if kind.key in known]
    source = "from earlier timings of such runs" if references else "a guess: nothing similar was timed here"
    if spent > 0.05 and references:
        source = f"from a calibration of {spent:.1f} s"
    apart = place.overhead * len(packs)
    cpus = engine.cpus or max((pack.cpus for pack in packs), default=1)
    gpus = max((pack.ranks for pack in packs), default=1)
    unit, count = ("GPU", gpus) if device.type == "cuda" else ("CPU", cpus)
    return Estimate(
        seconds=total(kinds, known, references, workers) + apart / workers,
        workers=workers,
        source=source,
        nodes=place.nodes(engine),
        cost=f"{(total(kinds, known, references, 1) + apart) * count / 3600:.3g} {unit}-hours",
    )


def keep_times(work: Sequence[Work], study: Study, plan: Plan, engine: Engine) -> None:
    """Save the times of finished packs, for later estimates.

    Args:
        work: The packs trained by a command.
        study: The study with their records.
        plan: The plan that holds their runs.
        engine: What the user asked for.
    """
    place = place_of(engine)
    packs = [item.pack for item in work]
    walls: dict[Kind, list[float]] = {}
    for item in work:
        wall = _wall(item, study)
        if wall is not None:
            walls.setdefault(kind_of(item.pack, plan), []).append(wall)
    machine = machine_key(place.device(engine), place.elsewhere(engine))
    known = read_timings(machine)
    workers = place.workers(packs, engine)
    keep_timings(machine, {kind.key: learn(kind, own, known, workers=workers) for kind, own in walls.items()})


def machine_key(device: torch.device, elsewhere: str = "") -> str:
    """Return the key of timings: they are valid for this version of torch on this device, or in a place elsewhere."""
    return f"{elsewhere or device_name(device)}, {device.type}, torch {torch.__version__}"


def _wall(item: Work, study: Study) -> float | None:
    """Return the seconds that a pack took; None if it ended early or its runs were retried alone."""
    records = [record for record in study.shard(item.block, item.index) if record.status == "finished"]
    walls = {float(record.provenance["wall_time_s"]) for record in records}
    # Runs of one pack share one time.
    return walls.pop() or None if len(walls) == 1 else None


def kind_of(pack: Pack, plan: Plan) -> Kind:
    """Return the kind of a pack: what its cost depends on."""
    planned = [run_id for run_id in pack.runs if run_id in plan.checked]
    checked = plan.checked[planned[0]]
    probes = frozenset[str]().union(*(plan.runs[run_id].probes for run_id in planned))
    passes = sum(REGISTRY[name].passes for name in probes)
    return Kind(
        structure=structure_key(checked.structure or "{}"),
        size=max(len(pack.runs), pack.fill),
        mode=pack.mode,
        # Threads and ranks alike share the arithmetic.
        threads=pack.cpus,
        multiply_adds=checked.multiply_adds,
        num_params=checked.num_params,
        steps=checked.steps,
        evaluations=checked.evaluations,
        batch_size=checked.run.batch_size,
        activations=checked.activations,
        operations=checked.operations,
        validation=checked.validation,
        tests=checked.tests,
        probes=Passes(passes, passes * SAMPLES),
    )


def _calibrate(
    kinds: Mapping[Kind, int],
    known: Mapping[str, Timing],
    plan: Plan,
    device: torch.device,
) -> dict[str, Timing]:
    """Return timings of unknown kinds, the longest first, as many as the time allows."""
    unknown = [kind for kind in kinds if not {kind.key, kind.eager.key} & known.keys()]
    runs = {structure_key(one.structure or "{}"): plan.runs[run_id] for run_id, one in plan.checked.items()}
    if any(kind.mode != "solo" for kind in unknown):
        # This import takes seconds, and is not part of a step.
        import_module("torch._dynamo")
    end = perf_counter() + CALIBRATION
    measured: dict[str, Timing] = {}
    with threads_restored():
        # Workers may be forked later: code that used several threads before a fork hangs with several after it.
        torch.set_num_threads(1)
        for kind in sorted(unknown, key=lambda kind: -kinds[kind] * guess(kind).of(kind)):
            todo = replace(kind.eager, threads=1)
            if perf_counter() > end or kind.eager.key in measured:
                continue
            if guess(todo).step < _LONGEST_STEP:
                timing = _measure(todo, runs[kind.structure], device, end)
                # Threads share only the arithmetic.
                measured[kind.eager.key] = timing.times(guess(kind.eager), by=guess(todo))
    return measured


def _measure(kind: Kind, requested: Requested, device: torch.device, end: float) -> Timing:
    """Time a few steps and an evaluation of a pack of copies of one run, with separate models."""
    constant = Component("constant", {"warmup_steps": 0})
    run = replace(requested.run, epochs=None, steps=1, lr=1e-4, schedule=constant)
    dataset = load_data(requested.data)
    building, setup = _timed(lambda: set_up(run, dataset, device), device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        if kind.mode == "solo":
            index = setup.parts.train[: run.batch_size]
            rate = next(iter(setup.params.values())).new_tensor(1e-4)

            def step() -> None:
                take_step(setup, setup.parts.batch(setup.dataset, index), rate)

            evaluator, model, parts = setup.evaluator, setup.model, setup.parts
        else:
            pack = StackedRuns.of([setup] * max(kind.size, 2))
            eager = make_step(setup.task, pack.stack.skeleton, pack.optimizer.update)
            rows = pack.parts.train[:, : run.batch_size]

            def step() -> None:
                pack.take_step(eager, 1, pack.parts.batch(setup.dataset, rows))

            evaluator, model, parts = pack.evaluator, pack.stack, pack.parts
        _timed(step, device)
        steps = [_timed(step, device)[0] for _ in range(3)]
        while sum(steps) < _TIMED and len(steps) < 100:
            steps.append(_timed(step, device)[0])
        evaluation, _ = _timed(lambda: evaluator.evaluate(model, parts.val), device)
    # Probes and test scores take too long to be timed: they are passes much like an evaluation.
    alone = guess(replace(kind, probes=NO_PASSES)).evaluation / SHARED
    slower = SHARED * evaluation / alone
    return Timing(
        step=SHARED * median(steps),
        evaluation=guess(kind).evaluation / SHARED * slower,
        fixed=SHARED * building * kind.size + scoring(kind, kind.tests) * slower,
    )


def _timed(call: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    clock = perf_counter()
    result = call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - clock, result
