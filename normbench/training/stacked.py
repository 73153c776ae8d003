"""Runs of one structure trained together: the step of `solo` for R runs at once, optionally compiled."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch

from normbench.data import Examples
from normbench.spec import Component, Run
from normbench.training.compiled import CompiledStep, Step
from normbench.training.outcome import Evaluation, Outcome, Score
from normbench.training.setup import set_up
from normbench.training.stack import run_multiple, unknown_layers
from normbench.training.stacked_runs import StackedRuns, probes_of_pack, stacked_batches
from normbench.training.step import make_step
from normbench.training.structure import graph_of, is_own_code, structure

_LOOK_EVERY = 256
"""Steps between checks whether all runs have diverged."""


def why_alone(run: Run, dataset: Examples) -> str:
    """Try a step of two copies of a run; return why they cannot be trained together, empty if they can.

    A user's layer may branch on its data, or keep state that stacking cannot see.
    """
    cpu = torch.device("cpu")
    try:
        # One step has no room for a warm-up, and the learning rate does not affect stacking.
        constant = Component("constant", {"warmup_steps": 0})
        setups = [set_up(replace(run, epochs=None, steps=1, schedule=constant), dataset, cpu) for _ in range(2)]
        if setups[0].task.alone:
            return setups[0].task.alone
        if dataset.groups is not None:
            pool = dataset.groups[: dataset.num_pool - dataset.num_val]
            if len(set(pool.bincount().tolist()) - {0}) > 1:
                return "cannot be stacked: groups of samples differ in size, and so do the training sets of its seeds"
        if unknown := unknown_layers(setups[0].model):
            return f"cannot be stacked: {unknown[0]} is unknown, its rounding may depend on neighbouring runs"
        if not run_multiple(setups[0].model):
            return "cannot be stacked: with odd widths its rounding would depend on neighbouring runs"
        if run.task.target or run.model.target or run.norm.target or not is_own_code(setups[0]):
            _train(StackedRuns.of(setups), compiled=False)
    except Exception as error:
        return f"cannot be stacked ({type(error).__name__}: {' '.join(str(error).split())[:120]})"
    return ""


def train_stacked(
    runs: Sequence[Run],
    dataset: Examples,
    *,
    device: torch.device,
    compiled: bool,
    fill: int = 0,
    probes: Sequence[Collection[str]] = (),
) -> list[Outcome]:
    """Train runs of one structure together; each has the same result as in any other pack of this mode.

    Args:
        runs: The runs; they differ only in settings that `structure` leaves out.
        dataset: The data set of all of them.
        device: Where to train.
        compiled: Whether to compile the step with `torch.compile`.
        fill: Number of runs to which the pack is padded with copies; outcomes of copies are discarded.
        probes: Diagnostics of each run at each evaluation; empty if no run has any.

    Returns:
        The outcome of each run. A run that diverges does not affect the others.
    """
    assert len({structure(run) for run in runs}) == 1, "runs of a pack share their structure"
    setups = [set_up(run, dataset, device, own) for run, own in zip(runs, probes or [()] * len(runs), strict=True)]
    # Copies of the last run pad the pack: a pack of one uses other kernels than a pack of two, and gives other bits.
    multiple = max(run_multiple(setups[0].model), 1)
    size = -(-max(len(runs), fill, 2) // multiple) * multiple
    setups += [set_up(runs[-1], dataset, device) for _ in range(size - len(runs))]
    return _train(StackedRuns.of(setups), compiled=compiled)[: len(runs)]


def _train(pack: StackedRuns, *, compiled: bool) -> list[Outcome]:
    setups, budget, task = pack.setups, pack.setups[0].budget, pack.setups[0].task
    step: Step | CompiledStep = make_step(task, pack.stack.skeleton, pack.optimizer.update)
    if compiled:
        step = CompiledStep(step, graph_of(setups[0].run, task), keep=is_own_code(setups[0]))
    probes = probes_of_pack(pack)
    curves: list[list[Evaluation]] = [[] for _ in setups]
    diverged: dict[int, int] = {}
    since = 0
    for number, batch in enumerate(stacked_batches(pack), start=1):
        evaluates = budget.evaluates(number)
        if probes and evaluates:
            probes.before_step(pack.state.params)
        pack.take_step(step, number, batch)
        since += 1
        if evaluates or number % _LOOK_EVERY == 0:
            diverged |= {
                run: bad for run, bad in enumerate(pack.tally.bad_step.tolist()) if bad and run not in diverged
            }
            if len(diverged) == len(setups):
                break
        if evaluates:
            train = pack.tally.take(task, since, since * setups[0].run.batch_size)
            since = 0
            scalars = probes.look(pack.state.params, pack.state.buffers, pack.rates[number - 1]) if probes else {}
            for run, val in enumerate(pack.evaluator.evaluate(pack.stack, pack.parts.val)):
                if not math.isfinite(val.loss):
                    diverged.setdefault(run, number)
                if run not in diverged:
                    rate = setups[run].rates[number - 1]
                    found = own_scalars(setups[run].probes, scalars, run)
                    curves[run].append(Evaluation(number, number / budget.per_epoch, rate, train[run], val, found))
    all_diverged = len(diverged) == len(setups)
    tests: list[dict[str, Score]] = [{}] * len(setups) if all_diverged else pack.evaluator.test_scores(pack.stack)
    for run, test in enumerate(tests):
        if not all(math.isfinite(score.loss) for score in test.values()):
            diverged.setdefault(run, budget.total)
    outcomes = [
        setup.outcome(curves[run], test=tests[run], diverged_at_step=diverged.get(run))
        for run, setup in enumerate(setups)
    ]
    remark = step.failure if isinstance(step, CompiledStep) else ""
    return [replace(outcome, remark=remark) for outcome in outcomes]


def own_scalars(probes: Collection[str], scalars: Mapping[str, Sequence[float]], place: int) -> dict[str, float]:
    """Return the results of the probes that a run names; other runs of the pack may name different ones."""
    return {name: values[place] for name, values in scalars.items() if name.split(".")[1] in probes}
