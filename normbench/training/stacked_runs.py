"""R runs of one structure as one: their models, splits, batches, masks and probes, each along a first dimension R."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normbench.data import Batch, Split
from normbench.models.dropout import Dropout, draw_masks
from normbench.training.budget import epoch_order
from normbench.training.compiled import Step
from normbench.training.evaluate import Evaluator
from normbench.training.optimizers import Optimizer
from normbench.training.precision import LossScale, OwnCounts
from normbench.training.probing.driver import Probes
from normbench.training.probing.wiring import SAMPLES
from normbench.training.setup import Setup, undecayed
from normbench.training.stack import Stack
from normbench.training.step import StackState, Tally

_FETCHED_VALUES = 2**20
"""Input values fetched at once, for several steps: one look-up costs as much as the kernels of a small step."""


@dataclass(frozen=True)
class StackedRuns:
    """R runs of one structure, ready to train together.

    Attributes:
        setups: The setup of each run, with its budget and random generators.
        stack: Their models.
        parts: Their splits, (R, n).
        evaluator: Scores the stack on the parts.
        optimizer: Changes the parameters of the stack in place.
        rates: Learning rates (R,) of each step.
        tally: Sums over the steps.
        state: The tensors that a step changes or reads, the same objects in every step.
        scalars: Returns the optimizer's scalars for the next step, in addition to the rate.
        dropouts: Names of the dropout layers; their masks in the setups' models are views of the stack's masks.
    """

    setups: Sequence[Setup]
    stack: Stack
    parts: Split
    evaluator: Evaluator
    optimizer: Optimizer
    rates: Sequence[Tensor]
    tally: Tally
    state: StackState
    scalars: Callable[[], dict[str, Tensor]]
    dropouts: Sequence[str]

    @classmethod
    def of(cls, setups: Sequence[Setup]) -> "StackedRuns":
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
            state=StackState(
                stack.stacked_params, stack.stacked_buffers, optimizer.states, optimizer.varying, tally, scale
            ),
            scalars=OwnCounts(optimizer.scalars, scale.skipped, first.budget.total) if scale else optimizer.scalars,
            dropouts=dropouts,
        )

    def take_step(self, step: Step, number: int, batch: Batch) -> None:
        """Take step `number` (from 1) of all runs on a batch with fields (R, B, ...)."""
        for setup in self.setups if self.dropouts else ():
            draw_masks(setup.model, setup.run.batch_size, setup.masks)
        step(self.state, self.rates[number - 1], batch, self.scalars())


def probes_of_pack(pack: StackedRuns) -> Probes | None:
    """Return all probes that the runs of a pack name."""
    first = pack.setups[0]
    names = sorted({name for setup in pack.setups for name in setup.probes})
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
        # Probes use many more samples than a small batch: maps of all runs at once would fill the memory.
        together=1 if any(isinstance(module, nn.Conv2d) for module in pack.stack.modules()) else 8,
    )


def stacked_batches(pack: StackedRuns) -> Iterator[Batch]:
    """Yield the batch of each step, its fields (R, B, ...), each run in its own sample order."""
    first, runs = pack.setups[0], len(pack.setups)
    size, dataset = first.run.batch_size, first.dataset
    together = max(1, _FETCHED_VALUES // (runs * size * dataset.values))
    augmentation = first.run.data.text("augment", "none")
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


def epochs_of_batches(pack: StackedRuns) -> Iterator[Tensor]:
    """Yield the sample indices of each epoch, (steps, R, B), so that those of one step are contiguous."""
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
    """Give every dropout a mask to be stacked, not drawn from a run's stream; return the names of the dropouts."""
    names = [name for name, module in setups[0].model.named_modules() if isinstance(module, Dropout)]
    for setup in setups if names else ():
        draw_masks(setup.model, setup.run.batch_size, torch.Generator())
    return names


def _share_masks(names: Sequence[str], setups: Sequence[Setup], stack: Stack) -> None:
    """Make each run's masks views of the stacked masks, so that drawing them fills the stack."""
    for name in names:
        stacked = stack.stacked_buffers[f"{name}.mask"]
        for run, setup in enumerate(setups):
            setup.model.get_submodule(name).mask = stacked[run]
