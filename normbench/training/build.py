"""Builds the model of a run, initialises it from the seed's streams, and tries it once before anything starts."""

import inspect
import json
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import nn

from normbench import models, norms, tasks
from normbench.data import Batch, Examples
from normbench.errors import (
    ConfigError,
    ImpossibleRunError,
    NormbenchError,
    described,
    lacks_memory,
    nearest,
    own_place,
)
from normbench.metrics import METRICS
from normbench.models.hidden_norms import refusing_hidden_norms
from normbench.models.initialization import initialize
from normbench.models.weights import Loaded, load_weights
from normbench.norms.factory import NormFactory
from normbench.randomness import generator, stream_seed
from normbench.spec import Checked, Component, Run
from normbench.tasks import Task

Shape = tuple[int, ...]


class _Found(NamedTuple):
    """The result of trying a model.

    Attributes:
        multiply_adds: Multiply-adds per sample.
        num_params: Number of trainable parameters.
        outputs: Number of output values of all layers per sample.
        notes: Notes for the user.
        statistics: Whether its weights file contained running statistics.
    """

    multiply_adds: float
    num_params: int
    outputs: float
    notes: tuple[str, ...]
    statistics: bool


def build(run: Run, input_shape: Shape, num_outputs: int) -> nn.Module:
    """Return the model of a run with the initial weights of its seed, on the CPU.

    Args:
        run: The run.
        input_shape: Shape of one sample: channels, height and width of an image.
        num_outputs: Outputs of the model per sample, `Task.num_outputs`.

    Returns:
        A module that maps the inputs of the task (B, ...) to its outputs.

    Raises:
        ImpossibleRunError: If the parts are incompatible.
        ConfigError: If a name is unknown, an argument wrong or a file of weights unreadable.
    """
    return _build(run, input_shape, num_outputs)[0]


def _build(run: Run, input_shape: Shape, num_outputs: int) -> tuple[nn.Module, Loaded]:
    with torch.random.fork_rng(devices=[]):
        # Weights that shipped models draw here are overwritten below; a user's model may keep them.
        torch.manual_seed(stream_seed(run.seed, "model"))
        model = _construct(run.model, norm_factory(run), input_shape, num_outputs)
    initialize(model, lambda name: generator(run.seed, "init", name))
    weights = run.model.weights
    return model, Loaded((), False) if weights is None else load_weights(model, weights, num_outputs)


def norm_factory(run: Run) -> NormFactory:
    """Return the factory that builds the norm layers of a run.

    Raises:
        ConfigError: If the norm's name is unknown, or a user's norm does not accept its arguments.
    """
    norm = _find(run.norm, norms.CHOICES, "norm")
    args = dict(run.norm.args)
    if run.norm_batch_size is not None and getattr(norm, "batch_statistics", False):
        args["norm_batch_size"] = run.norm_batch_size
    factory = NormFactory(norm, args)
    if run.norm.target is not None:
        _check_arguments(factory, run.norm)
    return factory


def _check_arguments(factory: NormFactory, component: Component) -> None:
    """Check the arguments of a user's norm: an error from its constructor would be attributed to the model."""
    own = {"activated": False} if factory.includes_activation else {}
    try:
        inspect.signature(factory.norm).bind(1, **factory.args, **own)
    except TypeError as error:
        raise ConfigError(f"norm={component.name}: {component.target}(num_features, ...) {error}.") from error


def task_of(run: Run, data: Examples) -> Task:
    """Return the task of a run for its data.

    Raises:
        ImpossibleRunError: If the data do not fit the task.
        ConfigError: If its name is unknown, or a user's class is not a task.
    """
    make = _find(run.task, tasks.REGISTRY, "task")
    try:
        task = make(data, **run.task.args)
    except TypeError as error:
        place = own_place(error)
        raise ConfigError(f"task={run.task.name}: {error}{f' ({place})' if place else ''}") from error
    if not isinstance(task, Task):
        raise ConfigError(f"task={run.task.name}: got {type(task).__name__}, expected a normbench.tasks.Task.")
    if unknown := [name for name in task.metrics if name not in METRICS]:
        raise ConfigError(f"task={run.task.name}: unknown metric {unknown[0]!r}{nearest(unknown[0], METRICS)}")
    if not task.metrics:
        raise ConfigError(f"task={run.task.name}: no metrics, expected at least one of {', '.join(METRICS)}.")
    return task


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
    size = run.norm_batch_size
    if size is not None and not getattr(_find(run.norm, norms.CHOICES, "norm"), "batch_statistics", False):
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
        self.parts = json.dumps([parts, task.num_outputs, shapes], sort_keys=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Trial) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)


@lru_cache(maxsize=4096)
def _tried(trial: _Trial) -> _Found | ImpossibleRunError:
    try:
        task, samples = trial.task, len(next(iter(trial.batch.values())))
        model, loaded = _build(trial.run, task.data.input_shape, task.num_outputs)
        num_params = sum(param.numel() for param in model.parameters() if param.requires_grad)
        with refusing_hidden_norms(model):
            multiply_adds, outputs = _forward_cost(model, task, trial.batch)
        notes = tuple(filter(None, (getattr(model, "norm_note", ""), *loaded.notes)))
        return _Found(multiply_adds / samples, num_params, outputs / samples, notes, loaded.statistics)
    except ImpossibleRunError as error:
        return error


def _try(trial: _Trial) -> _Found:
    result = _tried(trial)
    if isinstance(result, ImpossibleRunError):
        raise result
    return result


@torch.no_grad()
def _forward_cost(model: nn.Module, task: Task, batch: Batch) -> tuple[float, int]:
    """Return multiply-adds of the linear and convolutional layers, and output values of all layers, for a batch."""
    total, outputs = 0.0, 0

    def count(module: nn.Module, args: Any, output: Any) -> None:
        nonlocal total, outputs
        if isinstance(output, torch.Tensor):
            outputs += output.numel()
        if isinstance(module, nn.Linear | nn.Conv2d):
            total += output.numel() * module.weight.numel() / module.weight.shape[0]

    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d) or not any(m.children())]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    answer = task.call(model, batch)
    for hook in hooks:
        hook.remove()
    wanted = tuple(task.blank_outputs(len(next(iter(batch.values())))).shape)
    got = f"shape {tuple(answer.shape)}" if isinstance(answer, torch.Tensor) else type(answer).__name__
    if got != f"shape {wanted}":
        raise ConfigError(f"the model returned {got}, expected outputs {wanted}.")
    return total, outputs


def _construct(component: Component, norm: NormFactory, input_shape: Shape, num_outputs: int) -> nn.Module:
    model = _find(component, models.REGISTRY, "model")
    args = {key: value for key, value in component.args.items() if key != "weights" or not component.shipped}
    try:
        module = model(input_shape, num_outputs, norm, **args)
    except TypeError as error:
        place = own_place(error)
        raise ConfigError(f"model={component.name}: {error}{f' ({place})' if place else ''}") from error
    if not isinstance(module, nn.Module):
        raise ConfigError(f"model={component.name}: got {type(module).__name__}, expected a torch.nn.Module.")
    return module


def _find(component: Component, registry: dict[str, Any], group: str) -> Callable[..., Any]:
    """Return what a component names: an entry of the registry, or the user's object at its dotted path."""
    if component.target is None:
        if component.name not in registry:
            raise ConfigError(f"unknown {group} {component.name!r}{nearest(component.name, registry)}")
        found: Callable[..., Any] = registry[component.name]
        return found
    return resolve_target(component.target, group)


def resolve_target(target: str, group: str) -> Callable[..., Any]:
    """Return the user's class or function at a dotted path.

    Args:
        target: Such as ``my_package.layers.MyNorm``.
        group: The config group that names it, for the message.

    Raises:
        ConfigError: If it is not callable, or its import raises any error.
    """
    try:
        own = pkgutil.resolve_name(target)
    except Exception as error:
        raise ConfigError(f"{group}._target_={target}: {described(error)}") from error
    if not callable(own):
        raise ConfigError(f"{group}._target_={target}: not a class or function.")
    found: Callable[..., Any] = own
    return found
