"""From frozen runs to a plan: load the data, try each model once, and find the remaining work."""

import gc
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import torch

from normbench.engine.device import find_compiler, threads_restored
from normbench.engine.observers import lacks
from normbench.engine.places import place_of
from normbench.engine.precision import check_precisions
from normbench.engine.work import Work, load_data
from normbench.errors import ImpossibleRunError
from normbench.packing import make_packs
from normbench.plan import Pack, Plan, make_plan
from normbench.record.provenance import commit, versions
from normbench.record.store import Block, Study
from normbench.spec import Checked, Log, Passes, Requested, Settings
from normbench.training.budget import budget
from normbench.training.compiled import name_compilers_folder
from normbench.training.dry_run import dry_run
from normbench.training.evaluate import passes_of_tests
from normbench.training.optimizers import check_optimizer
from normbench.training.probing import check_probes
from normbench.training.rank_trial import try_ranks
from normbench.training.schedules import check_schedule
from normbench.training.setup import check_target, split_of
from normbench.training.stacked import why_alone
from normbench.training.structure import structure
from normbench.training.task_of import task_of
from normbench.training.trial import try_own_optimizer


def prepare(requested: Sequence[Requested], settings: Settings, *, multirun: bool) -> Plan:
    """Load the data of all runs, try each model once, and freeze the plan.

    Args:
        requested: The runs of the config.
        settings: Where and how they are carried out.
        multirun: Whether impossible runs are skipped.

    Returns:
        The plan.

    Raises:
        NormbenchError: If data, a model or the device is not available; nothing has started.
    """
    place = place_of(settings.engine)
    device = place.device(settings.engine)
    if settings.engine.ranks > 1:
        place.check_ranks(settings.engine, device)
    # Nothing is known here about the formats of other machines.
    here = () if place.elsewhere(settings.engine) else requested
    notes = list(check_precisions((one.run.precision for one in here), device))
    name_compilers_folder()
    with threads_restored(), _collected_apart():
        if multirun and device.type == "cpu":
            # Workers are forked later: code that used several threads before a fork hangs with several after it.
            torch.set_num_threads(1)
        plan = make_plan(requested, check=_Checker(settings.engine.ranks), multirun=multirun)
    if len(plan.runs) > 1 and device.type == "cpu" and "CXX" in os.environ and find_compiler() is None:
        notes.append(f"CXX={os.environ['CXX']} is not a working C++ compiler: no step is compiled.")
    return replace(plan, notes=(*notes, *plan.notes))


@contextmanager
def _collected_apart() -> Iterator[None]:
    """Leave all that is here already to later garbage collections: a plan of many runs would search it many times."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def packs_of(plan: Plan, runs: Sequence[str], settings: Settings) -> tuple[Pack, ...]:
    """Return the packs of runs of a plan, for the machine of their place.

    Args:
        plan: The plan.
        runs: The run_ids.
        settings: What the user asked for.
    """
    alone = None
    if settings.log.tensorboard == "run":
        alone = "log.tensorboard=run logs each run"
    if settings.log.pictures == "all":
        alone = "log.pictures=all saves pictures of each run"
    if settings.log.weights != "none":
        alone = f"log.weights={settings.log.weights} saves each run's weights"
    if settings.engine.checkpoint_every is not None:
        alone = "engine.checkpoint_every saves each run's state"
    if (ranks := settings.engine.ranks) > 1:
        alone = f"engine.ranks={ranks} divides each batch among {ranks} processes"
    machine = place_of(settings.engine).machine(settings.engine)
    return make_packs({run_id: plan.checked[run_id] for run_id in runs}, settings.engine, machine, alone=alone)


def pending(plan: Plan, study: Study, log: Log, *, force: bool) -> tuple[list[Work], list[str]]:
    """Return the work of a plan that a study still lacks.

    A run belongs to the newest block that holds it. It is done if a record of that block or a later one says that it
    finished or diverged, and if it has every probe and file of the plan.

    Args:
        plan: The plan of this command.
        study: Where its runs go.
        log: The files to save of each run.
        force: Whether finished runs are trained again.

    Returns:
        The packs of earlier blocks that hold unfinished runs of the plan, and the run_ids that need a new block.
    """
    newest = {run_id: block for block in study.blocks() for run_id in block.runs}
    ended = study.ended()
    work: dict[tuple[int, int], Work] = {}
    new: list[str] = []
    for run_id, one in plan.runs.items():
        block, end = newest.get(run_id), ended.get(run_id)
        if force or block is None or not one.probes <= block.probes(run_id):
            new.append(run_id)
        elif end is None or end.block < block.number:
            index = next(i for i, pack in enumerate(block.packs) if run_id in pack["runs"])
            if block.packs[index]["mode"] != "solo" and lacks(run_id, one.run, study, log):
                # Planned before the file was requested: only runs that train alone can write it.
                new.append(run_id)
            else:
                work[block.number, index] = _work(block, index, plan)
        elif end.status == "failed" or lacks(run_id, one.run, study, log):
            new.append(run_id)
    return [work[key] for key in sorted(work)], new


def freeze(
    plan: Plan, new: Sequence[str], study: Study, settings: Settings, *, command: Sequence[str], changed: Sequence[str]
) -> list[Work]:
    """Write a new block of the plan before any of its runs starts.

    Args:
        plan: The plan of this command.
        new: Its runs that need a block.
        study: Where the block goes.
        settings: How its runs are carried out.
        command: The overrides as typed.
        changed: Keys that get their own column.

    Returns:
        The packs of the block.
    """
    if not new:
        return []
    plan = _with_earlier_probes(plan, new, study)
    packs = packs_of(plan, new, settings)
    # Runs planned again, as with --force, start from the beginning.
    study.drop_checkpoints(new)
    block = study.append_block(
        header={
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": list(command),
            "changed": list(changed),
            "engine": {name: getattr(settings.engine, name) for name in settings.engine.__slots__},
            "skipped": len(plan.skipped),
            **versions(),
            **commit(),
        },
        runs={run_id: plan.entry(run_id) for run_id in new},
        packs=[{**asdict(pack), "runs": list(pack.runs)} for pack in packs],
    )
    return [_work(block, index, plan) for index in range(len(packs))]


def _with_earlier_probes(plan: Plan, new: Sequence[str], study: Study) -> Plan:
    """Return a plan whose runs keep the probes of their earlier trainings."""
    earlier = {run_id: block.probes(run_id) for block in study.blocks() for run_id in block.runs}
    kept = {run_id: plan.runs[run_id].with_probes(earlier.get(run_id, ())) for run_id in new}
    return replace(plan, runs={**plan.runs, **kept})


def _work(block: Block, index: int, plan: Plan) -> Work:
    """Return a whole pack of a block, even if the current plan has only some of its runs."""
    values: Mapping[str, Any] = block.packs[index]
    pack = Pack(**{**values, "runs": tuple(values["runs"])})
    # The study may have been moved: runs that this plan lacks find their data where those of the plan have them.
    here = next(plan.runs[run_id].place for run_id in pack.runs if run_id in plan.runs)
    runs = {
        run_id: plan.runs[run_id].with_probes(block.probes(run_id))
        if run_id in plan.runs
        else replace(Requested.from_dict(block.runs[run_id]["config"]), place=here)
        for run_id in pack.runs
    }
    return Work(block.number, index, pack, runs)


class _Checker:
    """Checks runs; runs that differ only in seed and learning rate are checked once."""

    def __init__(self, ranks: int) -> None:
        self._ranks = ranks
        self._known: dict[str, Checked | ImpossibleRunError] = {}

    def __call__(self, requested: Requested) -> Checked:
        run = requested.run
        alike = replace(run, seed=0, lr=1.0).as_dict()
        key = json.dumps([alike, sorted(requested.probes), requested.place], sort_keys=True)
        if key not in self._known:
            try:
                self._known[key] = _check(requested, self._ranks)
            except ImpossibleRunError as error:
                self._known[key] = error
        known = self._known[key]
        if isinstance(known, ImpossibleRunError):
            raise known
        return replace(known, run=replace(known.run, seed=run.seed, lr=run.lr))


def _check(requested: Requested, ranks: int) -> Checked:
    run, dataset = requested.run, load_data(requested.data)
    parts = split_of(run, dataset)
    planned = budget(run, len(parts.train))
    check_schedule(run.schedule, planned.total)
    check_optimizer(run.optimizer)
    check_probes(requested.probes)
    dataset.check_augmentation(run.data.text("augment", "none"))
    check_target(run, task_of(run, dataset))
    checked = dry_run(run, dataset)
    try_ranks(checked.run, dataset, ranks)
    notes = (*dataset.notes, *checked.notes)
    alone = try_own_optimizer(checked.run, dataset) or why_alone(checked.run, dataset)
    shared, content = structure(checked.run, dataset.content), dataset.content
    return replace(
        checked,
        steps=planned.total,
        evaluations=planned.evaluations,
        validation=Passes(1, len(parts.val)),
        tests=passes_of_tests(parts, statistics=checked.keeps_statistics),
        structure=shared,
        alone=alone,
        notes=notes,
        content=content,
    )
