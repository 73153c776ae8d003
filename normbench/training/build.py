"""Builds the model of a run, with the initial weights of its seed."""

import inspect

import torch
from torch import nn

from normbench import models, norms
from normbench.errors import ConfigError
from normbench.models.initialization import initialize
from normbench.models.registry import refuse_other_inputs
from normbench.models.weights import Loaded, load_weights
from normbench.norms.factory import NormFactory
from normbench.randomness import generator, stream_seed
from normbench.spec import Component, Run
from normbench.training.components import find, make


def build(run: Run, input_shape: tuple[object, ...], num_outputs: int) -> nn.Module:
    """Return the model of a run with the initial weights of its seed, on the CPU.

    Args:
        run: The run.
        input_shape: `Task.input_shape`: channels, height and width of an image.
        num_outputs: Outputs of the model per sample, `Task.num_outputs`.

    Returns:
        A module that maps the inputs of the task (B, ...) to its outputs.

    Raises:
        ImpossibleRunError: If the parts are incompatible.
        ConfigError: If a name is unknown, an argument wrong or a file of weights unreadable.
    """
    return build_and_load(run, input_shape, num_outputs)[0]


def build_and_load(run: Run, input_shape: tuple[object, ...], num_outputs: int) -> tuple[nn.Module, Loaded]:
    """Return what `build` returns, and what was loaded from the run's file of weights."""
    with torch.random.fork_rng(devices=[]):
        # Weights that shipped models draw here are overwritten below; a user's model may keep them.
        torch.manual_seed(stream_seed(run.seed, "model"))
        model = _construct(run, input_shape, num_outputs)
    initialize(model, lambda name: generator(run.seed, "init", name))
    weights = run.model.weights
    return model, Loaded((), False) if weights is None else load_weights(model, weights, num_outputs)


def _construct(run: Run, input_shape: tuple[object, ...], num_outputs: int) -> nn.Module:
    component = run.model
    if component.shipped and component.name in models.REGISTRY:
        refuse_other_inputs(component.name, input_shape, run.task.name)
    args = {key: value for key, value in component.args.items() if key != "weights" or not component.shipped}
    model = make(component, models.REGISTRY, "model", input_shape, num_outputs, norm_factory(run), **args)
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model={component.name}: got {type(model).__name__}, expected a torch.nn.Module.")
    return model


def norm_factory(run: Run) -> NormFactory:
    """Return the factory that builds the norm layers of a run.

    Raises:
        ConfigError: If the norm's name is unknown, or a user's norm does not accept its arguments.
    """
    norm = find(run.norm, norms.CHOICES, "norm")
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
