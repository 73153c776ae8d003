"""Tries a run's model on a few samples before anything starts, to check that its parts are compatible."""

import json
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import torch

from normbench import norms
from normbench.data import Batch, Examples
from normbench.errors import ConfigError, ImpossibleRunError, NormbenchError, described, lacks_memory
from normbench.models.hidden_norms import refusing_hidden_norms
from normbench.norms.statistics import keeps_statistics
from normbench.spec import Checked, Component, Run
from normbench.tasks import Task
from normbench.training.build import build_and_load
from normbench.training.components import find
from normbench.training.cost import counting
from normbench.training.leak import leak
from normbench.training.task_of import task_of

_LEAKS = (
    "norm={}: in training, statistics over the steps show each step the later ones, so training scores are too good; "
    "model.norm_time=step takes statistics for each step."
)


class _Found(NamedTuple):
    """The result of trying a model.

    Attributes:
        multiply_adds: Multiply-adds per sample.
        num_params: Number of trainable parameters.
        outputs: Number of output values of all layers per sample.
        notes: Notes for the user.
        statistics: Whether its weights file contained running statistics.
        operations: Number of torch operations of a forward pass.
        keeps_statistics: Whether the model has running statistics.
        uncompiled: Why the model's step is not worth compiling; empty if it may be.
    """

    multiply_adds: float
    num_params: int
    outputs: float
    notes: tuple[str, ...]
    statistics: bool
    operations: int
    keeps_statistics: bool
    uncompiled: str


def dry_run(run: Run, data: Examples) -> Checked:
    """Build a run's model and pass a few samples through it, to check that its parts are compatible.

    Args:
        run: The run to try.
        data: Its data set.

    Returns:
        The run without settings that have no effect, and the cost of its forward pass.

    Raises:
        ImpossibleRunError: If the parts are incompatible.
        ConfigError: If a name is unknown or an argument wrong.
    """
    notes: tuple[str, ...] = ()
    size, norm = run.norm_batch_size, find(run.norm, norms.CHOICES, "norm")
    if run.precision == "float16" and getattr(norm, "gradient_statistics", False):
        raise ImpossibleRunError(
            f"norm={run.norm.name} keeps statistics of the gradients, which precision=float16 multiplies by a changing "
            "factor; use bfloat16 or float32."
        )
    if size is not None and not getattr(norm, "batch_statistics", False):
        notes = (f"norm_batch_size has no effect for norm={run.norm.name}, which has no batch statistics: ignored.",)
        run = replace(run, norm_batch_size=None)
    elif size is not None and run.batch_size % size:
        raise ImpossibleRunError(f"norm_batch_size={size} does not divide batch_size={run.batch_size}.")
    samples = min(run.norm_batch_size or run.batch_size, 2)
    try:
        task = task_of(run, data)
        found = _try(_Trial(replace(run, norm_batch_size=None), task, data.blank(samples)))
    except NormbenchError:
        raise
    except Exception as error:
        if lacks_memory(error):
            raise ImpossibleRunError(f"model={run.model.name} does not fit into memory: {described(error)}.") from error
        # An error in a user's class is a config error; one in a shipped class is a bug and keeps its traceback.
        own = [name for group, part in _parts(run) if (name := _not_ours(group, part))]
        if not own:
            raise
        raise ConfigError(f"{', '.join(own)}: {described(error)}") from error
    if found.statistics and run.norm.args.get("freeze_step"):
        run = replace(run, norm=replace(run.norm, args={**run.norm.args, "freeze_step": 0}))
        notes = (
            *notes,
            "model.weights has the statistics that norm=batch_frozen freezes: norm.freeze_step=0.",
        )
    return Checked(
        run,
        multiply_adds=found.multiply_adds * run.batch_size,
        num_params=found.num_params,
        notes=(*notes, *found.notes),
        activations=round(found.outputs * run.batch_size),
        operations=found.operations,
        keeps_statistics=found.keeps_statistics,
        uncompiled=found.uncompiled,
    )


def _parts(run: Run) -> tuple[tuple[str, Component], ...]:
    return ("task", run.task), ("model", run.model), ("norm", run.norm)


def _not_ours(group: str, part: Component) -> str:
    """Return how the config names code that is not normbench's; empty if there is none."""
    if part.source is not None:
        return f"{group}.source={part.source}" if part.source != part.target else f"{group}._target_={part.target}"
    return f"{group}={part.name} {part.args['architecture']}" if "architecture" in part.args else ""


class _Trial:
    """A run and a blank batch; equal if task, model, norm and shapes are equal, so that each is tried once."""

    def __init__(self, run: Run, task: Task, batch: Batch) -> None:
        self.run = run
        self.task = task
        self.batch = batch
        shapes = {name: [str(field.dtype), *field.shape] for name, field in batch.items()}
        parts = {group: part.as_dict() for group, part in _parts(run)}
        self.parts = json.dumps([parts, task.input_shape, task.num_outputs, shapes], sort_keys=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Trial) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)


@lru_cache(maxsize=4096)
def _tried(trial: _Trial) -> _Found | ImpossibleRunError:
    try:
        task, samples = trial.task, len(next(iter(trial.batch.values())))
        model, loaded = build_and_load(trial.run, task.input_shape, task.num_outputs)
        num_params = sum(param.numel() for param in model.parameters() if param.requires_grad)
        with torch.no_grad(), refusing_hidden_norms(model):
            with counting(model) as cost:
                outputs = task.call(model, trial.batch)
            _refuse_wrong_outputs(outputs, tuple(task.blank_outputs(samples).shape), task.free)
        notes = tuple(filter(None, (getattr(model, "norm_note", ""), *loaded.notes)))
        if leak(model, task):
            notes = (*notes, _LEAKS.format(trial.run.norm.name))
        return _Found(
            multiply_adds=cost.multiply_adds / samples,
            num_params=num_params,
            outputs=cost.outputs / samples,
            notes=notes,
            statistics=loaded.statistics,
            operations=cost.operations,
            keeps_statistics=keeps_statistics(model),
            uncompiled=getattr(model, "uncompiled", ""),
        )
    except ImpossibleRunError as error:
        return error


def _refuse_wrong_outputs(outputs: object, wanted: tuple[int, ...], free: tuple[int, ...]) -> None:
    got = f"shape {tuple(outputs.shape)}" if isinstance(outputs, torch.Tensor) else type(outputs).__name__
    if isinstance(outputs, torch.Tensor) and outputs.dim() == len(wanted):
        wanted = tuple(outputs.shape[dim] if dim in free else size for dim, size in enumerate(wanted))
    if got != f"shape {wanted}":
        raise ConfigError(f"the model returned {got}, expected outputs {wanted}.")


def _try(trial: _Trial) -> _Found:
    result = _tried(trial)
    if isinstance(result, ImpossibleRunError):
        raise result
    return result
