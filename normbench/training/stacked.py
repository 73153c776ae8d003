"""Runs of one structure trained together: the step of `solo` for R runs at once, compiled where that pays."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from normbench.data import Batch, Examples, Split
from normbench.models.dropout import Dropout, draw_masks
from normbench.source import source_hash
from normbench.spec import Run
from normbench.tasks import Task
from normbench.training.budget import epoch_order
from normbench.training.compiled import CompiledStep, Step
from normbench.training.evaluate import Evaluator
from normbench.training.optimizers import VARYING, Optimizer
from normbench.training.outcome import Evaluation, Outcome, Score
from normbench.training.precision import LossScale, OwnCounts, scaled_step
from normbench.training.probing.driver import Probes
from normbench.training.probing.wiring import SAMPLES
from normbench.training.setup import Setup, prepare, undecayed
from normbench.training.stack import Stack, run_multiple, unknown_layers

_FETCHED_VALUES = 2**20
"""Input values looked up at once, for several steps: one look-up costs as much as the kernels of a small step."""

_LOOK_EVERY = 256
"""Steps between looks at whether all runs have diverged."""


def structure(run: Run) -> str:
    """Return what runs must share to be trained together: all but seed, rate and numbers that shape no graph."""
    model = dict(run.model.args)
    for key in ("init_scale", "bias_init"):
        if key in model:
            model[key] = None
    if model.get("dropout"):
        model["dropout"] = None
    optimizer = {key: value for key, value in run.optimizer.args.items() if key not in VARYING}
    data = {key: value for key, value in run.data.args.items() if key != "label_noise"}
    common = replace(
        run,
        seed=0,
        lr=0.0,
        probes=(),
        model=replace(run.model, args=model),
        optimizer=replace(run.optimizer, args=optimizer),
        data=replace(run.data, args=data),
    )
    return json.dumps(common.as_dict(), sort_keys=True)


def graph_of(run: Run, task: Task) -> str:
    """Return what decides the operations of a step of like runs, besides the shapes of its tensors."""
    parts = json.loads(structure(run))
    # In a notebook a user's own part is defined anew under the same name.
    own = [source_hash(part.target) for part in (run.task, run.model, run.norm) if part.target is not None]
    names = ("task", "model", "norm", "optimizer", "norm_batch_size", "precision")
    return json.dumps([task.key, *(parts[name] for name in names), *own])


class Tally(NamedTuple):
    """What the steps added up to since the last evaluation, for each run; changed in place by the step.

    Attributes:
        loss: Sum of the losses, (R,) float64.
        sums: What the task measures, summed over samples, (R, ...) float64.
        bad_step: First step whose loss was not finite, 0 for none, (R,) int64; never reset.
        step: Steps taken, () int64; never reset.
    """

    loss: Tensor
    sums: dict[str, Tensor]
    bad_step: Tensor
    step: Tensor

    @classmethod
    def zeros(cls, task: Task, runs: int, device: torch.device) -> "Tally":
        """Return an empty tally for `runs` runs of a task."""
        counts = torch.zeros(runs, dtype=torch.int64, device=device)
        loss = torch.zeros(runs, dtype=torch.float64, device=device)
        sums = {name: loss.new_zeros(runs, *shape) for name, shape in task.sums.items()}
        return cls(loss, sums, counts, torch.zeros((), dtype=torch.int64, device=device))

    def take(self, task: Task, steps: int, samples: int) -> list[Score]:
        """Return each run's mean loss over the steps and its metrics over their samples, and begin anew."""
        sums = {name: values.cpu() for name, values in self.sums.items()}
        count = torch.tensor(samples, dtype=torch.float64)
        scores = [
            Score(loss / steps, task.scores({**{name: values[run] for name, values in sums.items()}, "count": count}))
            for run, loss in enumerate(self.loss.tolist())
        ]
        for total in (self.loss, *self.sums.values()):
            total.zero_()
        return scores


class State(NamedTuple):
    """Everything that a step of R runs changes in place, and the numbers that differ between them.

    Attributes:
        params: Stacked parameters, (R, ...).
        buffers: Stacked buffers and parameters that are not trained.
        optimizer: What the optimizer keeps for each parameter.
        varying: Its numbers that differ between runs, (R,).
        tally: What the steps add up to.
        scale: What keeps gradients from underflow, in float16; else empty.
    """

    params: dict[str, Tensor]
    buffers: dict[str, Tensor]
    optimizer: dict[str, tuple[Tensor, ...]]
    varying: dict[str, Tensor]
    tally: Tally
    scale: LossScale | tuple[()]


def why_alone(run: Run, dataset: Examples) -> str:
    """Try a step of two copies of a run; return why they cannot be trained together, empty if they can.

    A user's own layer may decide by its data, or keep state that stacking cannot see.
    """
    cpu = torch.device("cpu")
    try:
        setups = [prepare(replace(run, epochs=None, steps=1), dataset, cpu) for _ in range(2)]
        if setups[0].task.alone:
            return setups[0].task.alone
        if unknown := unknown_layers(setups[0].model):
            return f"cannot be stacked: whether its rounding depends on its neighbours is not known of {unknown[0]}"
        if not run_multiple(setups[0].model):
            return "cannot be stacked: with odd widths its rounding would depend on its neighbours"
        if run.task.target or run.model.target or run.norm.target:
            _train(Pack.of(setups), compiled=False)
    except Exception as error:
        return f"cannot be stacked ({type(error).__name__}: {' '.join(str(error).split())[:120]})"
    return ""


def train_stacked(
    runs: Sequence[Run], dataset: Examples, *, device: torch.device, compiled: bool, fill: int = 0
) -> list[Outcome]:
    """Train runs of one structure together; each comes out as it would in any other pack of this mode.

    Args:
        runs: The runs; they differ at most in what `structure` leaves out.
        dataset: The data set that all of them name.
        device: Where to train.
        compiled: Whether the step goes through `torch.compile`.
        fill: Runs that the pack is filled up to with copies, whose outcomes are left out.

    Returns:
        The outcome of each run. A run that diverges leaves its neighbours as they are.
    """
    assert len({structure(run) for run in runs}) == 1, "runs of a pack share their structure"
    setups = [prepare(run, dataset, device) for run in runs]
    # Copies of the last run fill the pack: a pack of one takes other kernels than a pack of two, and so other bits.
    multiple = max(run_multiple(setups[0].model), 1)
    size = -(-max(len(runs), fill, 2) // multiple) * multiple
    setups += [prepare(runs[-1], dataset, device) for _ in range(size - len(runs))]
    return _train(Pack.of(setups), compiled=compiled)[: len(runs)]


@dataclass(frozen=True)
class Pack:
    """R runs of one structure, ready to train together.

    Attributes:
        setups: Each run by itself: its budget, its streams of randomness.
        stack: Their models.
        parts: Their splits, (R, n).
        evaluator: Scores the stack on the parts.
        optimizer: Changes the parameters of the stack in place.
        rates: Learning rates (R,) of each step.
        tally: What the steps add up to.
        state: The tensors that a step changes or reads, the same ones in every step.
        scalars: Returns what the optimizer needs for the coming step beside the rate.
        dropouts: Names of the dropout layers, whose masks in the setups' models are views of the stack's.
    """

    setups: Sequence[Setup]
    stack: Stack
    parts: Split
    evaluator: Evaluator
    optimizer: Optimizer
    rates: Sequence[Tensor]
    tally: Tally
    state: "State"
    scalars: Callable[[], dict[str, Tensor]]
    dropouts: Sequence[str]

    @classmethod
    def of(cls, setups: Sequence[Setup]) -> "Pack":
        """Stack runs that were prepared one by one."""
        first = setups[0]
        dropouts = _give_masks(setups)
        stack = Stack([setup.model for setup in setups], first.model)
        _share_masks(dropouts, setups, stack)
        parts = _stacked_parts([setup.parts for setup in setups])
        seeds = tuple(setup.run.seed for setup in setups)
        like = next(iter(stack.stacked_params.values()))
        optimizer = Optimizer(
            [setup.run.optimizer for setup in setups],
            stack.stacked_params,
            undecayed=undecayed(first.model, first.run),
            stacked=True,
        )
        tally = Tally.zeros(first.task, len(setups), like.device)
        scale = LossScale.of(first.run.precision, len(setups), device=like.device)
        return cls(
            setups=setups,
            stack=stack,
            parts=parts,
            evaluator=Evaluator(first.task, first.dataset, parts, seeds, first.evaluator.norm_batch_size),
            optimizer=optimizer,
            rates=like.new_tensor([setup.rates for setup in setups]).T.contiguous().unbind(),
            tally=tally,
            state=State(stack.stacked_params, stack.stacked_buffers, optimizer.states, optimizer.varying, tally, scale),
            scalars=OwnCounts(optimizer.scalars, scale.skipped, first.budget.total) if scale else optimizer.scalars,
            dropouts=dropouts,
        )

    def take_step(self, step: Step, number: int, batch: Batch) -> None:
        """Take step `number` (from 1) of all runs on a batch with fields (R, B, ...)."""
        for setup in self.setups if self.dropouts else ():
            draw_masks(setup.model, setup.run.batch_size, setup.masks)
        step(self.state, self.rates[number - 1], batch, self.scalars())


def _train(pack: Pack, *, compiled: bool) -> list[Outcome]:
    setups, budget, task = pack.setups, pack.setups[0].budget, pack.setups[0].task
    step: Step | CompiledStep = make_step(task, pack.stack.skeleton, pack.optimizer.update)
    if compiled:
        keep = _is_own_code(task, pack.stack.skeleton)
        step = CompiledStep(step, graph_of(setups[0].run, task), keep=keep)
    probes = probes_of_pack(pack)
    curves: list[list[Evaluation]] = [[] for _ in setups]
    diverged: dict[int, int] = {}
    since = 0
    for number, batch in enumerate(_batches(pack), start=1):
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
                    found = own_scalars(setups[run].run, scalars, run)
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


def _is_own_code(task: Task, skeleton: nn.Module) -> bool:
    """Return whether task and modules are of normbench or torch, so that versions and sources tell what they do."""
    packages = {type(part).__module__.partition(".")[0] for part in (task, *skeleton.modules())}
    return packages <= {"normbench", "torch", "torchvision"}


def probes_of_pack(pack: Pack) -> Probes | None:
    """Return all probes that runs of a pack name."""
    first = pack.setups[0]
    names = sorted({name for setup in pack.setups for name in setup.run.probes})
    if not names:
        return None
    held = pack.parts.train[:, :SAMPLES]
    return Probes(
        names,
        pack.stack.skeleton,
        pack.state.params,
        task=first.task,
        batch=pack.parts.batch(first.dataset, held),
        norm_batch_size=pack.evaluator.norm_batch_size,
        stacked=True,
        # Their samples are many times a small batch: maps of all runs at once would fill the memory.
        together=1 if any(isinstance(module, nn.Conv2d) for module in pack.stack.modules()) else 8,
    )


def own_scalars(run: Run, scalars: Mapping[str, Sequence[float]], place: int) -> dict[str, float]:
    """Return what the probes that a run names found of it; its neighbours may have named others."""
    return {name: values[place] for name, values in scalars.items() if name.split(".")[1] in run.probes}


def make_step(task: Task, skeleton: nn.Module, update: Callable[..., None]) -> Step:
    """Return the step of R runs as a function of tensors alone: it changes them in place and returns nothing.

    Args:
        task: What the nets are asked.
        skeleton: A model of the runs' structure.
        update: `Optimizer.update` of runs of that structure.
    """

    def loss_of(
        params: dict[str, Tensor], buffers: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        outputs = functional_call(skeleton, (params, buffers), task.inputs_of(batch))
        return task.loss(outputs, batch), outputs

    gradients = torch.vmap(grad_and_value(loss_of, has_aux=True))
    measure = torch.vmap(task.measure)
    scaled = scaled_step(loss_of, update)

    @torch.no_grad()
    def take_step(state: State, lr: Tensor, batch: dict[str, Tensor], scalars: dict[str, Tensor]) -> None:
        inputs, rates = (state.buffers, batch), (lr, state.varying, scalars)
        if state.scale:
            losses, outputs = scaled(state.scale, state.params, state.optimizer, inputs, rates)
        else:
            grads, (losses, outputs) = gradients(state.params, *inputs)
            update(state.params, state.optimizer, grads, *rates)
        tally = state.tally
        tally.loss.add_(losses.double())
        for name, rows in measure(outputs, task.targets_of(batch)).items():
            tally.sums[name].add_(rows.sum(dim=1))
        tally.step.add_(1)
        first_bad = (tally.bad_step == 0) & ~torch.isfinite(losses)
        tally.bad_step.copy_(torch.where(first_bad, tally.step, tally.bad_step))

    return take_step


def _batches(pack: Pack) -> Iterator[Batch]:
    """Yield the batch of each step, its fields (R, B, ...), in the order in which each run sees its own."""
    first, runs = pack.setups[0], len(pack.setups)
    size, dataset = first.run.batch_size, first.dataset
    together = max(1, _FETCHED_VALUES // (runs * size * dataset.values))
    augmentation = first.run.data.text("augment")
    wanted = (*first.task.inputs, *first.task.targets)
    for index in epochs_of_batches(pack):
        for chunk in torch.split(index, together):
            fields = dataset.fetch(chunk)
            flat = chunk.transpose(0, 1).reshape(runs, -1)
            for name, values in pack.parts.fields.items():
                own = values.gather(1, flat).view(runs, len(chunk), size)
                fields[name] = own.transpose(0, 1).contiguous()
            for step in zip(*(fields[name].unbind() for name in wanted), strict=True):
                yield _augmented(dict(zip(wanted, step, strict=True)), augmentation, pack.setups)


def epochs_of_batches(pack: Pack) -> Iterator[Tensor]:
    """Yield the sample indices of each epoch, (steps, R, B): what one step needs lies together."""
    budget, size = pack.setups[0].budget, pack.setups[0].run.batch_size
    left, epoch = budget.total, 0
    while left > 0:
        steps = min(budget.per_epoch, left)
        orders = [epoch_order(setup.parts.train, setup.run.seed, epoch)[: steps * size] for setup in pack.setups]
        yield torch.stack(orders).view(len(orders), steps, size).transpose(0, 1).contiguous()
        left -= steps
        epoch += 1


def _augmented(batch: Batch, kind: str, setups: Sequence[Setup]) -> Batch:
    if kind == "none":
        return batch
    shape = next(iter(batch.values())).shape[:2]
    flat = {name: field.flatten(0, 1) for name, field in batch.items()}
    changed = setups[0].dataset.augmented(flat, kind, *(setup.crops for setup in setups))
    return {name: field.view(*shape, *field.shape[1:]) for name, field in changed.items()}


def _stacked_parts(parts: Sequence[Split]) -> Split:
    """Return the splits of R runs as one, (R, n)."""
    train, val, test = (torch.stack([getattr(part, name) for part in parts]) for name in ("train", "val", "test"))
    fields = {name: torch.stack([part.fields[name] for part in parts]) for name in parts[0].fields}
    return Split(train, val, test, fields)


def _give_masks(setups: Sequence[Setup]) -> list[str]:
    """Give every dropout a mask to be stacked, drawn from no run's stream; return the names of the dropouts."""
    names = [name for name, module in setups[0].model.named_modules() if isinstance(module, Dropout)]
    for setup in setups if names else ():
        draw_masks(setup.model, setup.run.batch_size, torch.Generator())
    return names


def _share_masks(names: Sequence[str], setups: Sequence[Setup], stack: Stack) -> None:
    """Make each run's masks views of the stacked ones, so that drawing them fills the stack."""
    for name in names:
        stacked = stack.stacked_buffers[f"{name}.mask"]
        for run, setup in enumerate(setups):
            setup.model.get_submodule(name).mask = stacked[run]
