"""The difference between running and population statistics."""

import torch
from torch import Tensor

from normbench.norms.statistics import BatchStatistics
from normbench.tasks import Task
from normbench.training.probing.view import Moment, View, by_unit

_FLOOR = 1e-5
"""Added to variances, as the norms do by default: a smaller difference would not change any output."""


def statistics_gap(view: View, moment: Moment) -> dict[str, Tensor]:
    """Return how far running mean and variance are from the population's, and its effect (Wu & Johnson 2021).

    The population is all samples of the moment, normalised together. With m, v its mean and unbiased variance and
    r, q the running ones, ``mean`` is |r - m| / sqrt(v) and ``var`` is |ln(q / v)|, averaged over the channels.

    Args:
        view: The model.
        moment: Uses `params`, `buffers` and `batch`.

    Returns:
        ``mean.<layer>`` and ``var.<layer>``; ``mean`` and ``var``, their means over layers; the task's first metric
        (``accuracy``) with running statistics minus that with the population's, or the loss if the metric is not a mean
        over samples; each (). Nothing for a model without running statistics.
    """
    layers = tuple(
        name
        for name in view.norms
        if isinstance(norm := view.skeleton.get_submodule(name), BatchStatistics) and norm.running_mean is not None
    )
    if not layers:
        return {}
    state = moment.params, moment.buffers, moment.batch
    with view.watching(layers, lambda before, _: torch.stack(_population(before))) as seen:
        precise = view.outputs_by_population(*state)
    scalars: dict[str, list[Tensor]] = {"mean": [], "var": []}
    for layer in layers:
        mean, var = torch.stack(seen[layer]).mean(0)
        scale = var + _FLOOR
        off = (moment.buffers[f"{layer}.running_mean"] - mean).abs() / scale.sqrt()
        ratio = (moment.buffers[f"{layer}.running_var"] + _FLOOR) / scale
        scalars["mean"].append(off.mean())
        scalars["var"].append(ratio.log().abs().mean())
    named = {f"{key}.{layer}": value for key, row in scalars.items() for layer, value in zip(layers, row, strict=True)}
    means = {key: torch.stack(row).mean() for key, row in scalars.items()}
    running = view.outputs_by_running(*state)
    name = view.task.metrics[0] if view.task.metrics[0] in view.task.sums else "loss"
    return {**named, **means, name: _score(view.task, name, running, moment) - _score(view.task, name, precise, moment)}


def _population(x: Tensor) -> tuple[Tensor, Tensor]:
    values = by_unit(x)
    return values.mean(1), values.var(1)


def _score(task: Task, name: str, outputs: Tensor, moment: Moment) -> Tensor:
    if name == "loss":
        return task.loss(outputs, moment.batch)
    return task.measure(outputs, moment.batch)[name].to(outputs.dtype).mean()
