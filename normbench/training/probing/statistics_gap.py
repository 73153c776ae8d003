"""The difference between running and population statistics."""

import torch
from torch import Tensor

from normbench.norms.sequence import SequenceNorm
from normbench.norms.statistics import BatchStatistics
from normbench.tasks import Task
from normbench.training.probing.units import Units
from normbench.training.probing.view import Moment, View

_FLOOR = 1e-5
"""Added to variances, as the norms do by default: a smaller difference would not change any output."""


def statistics_gap(view: View, moment: Moment) -> dict[str, Tensor]:
    """Return how far running mean and variance are from the population's, and its effect (Wu & Johnson 2021).

    The population is all samples of the moment, normalised together. With m, v its mean and unbiased variance and
    r, q the running ones, ``mean`` is |r - m| / sqrt(v) and ``var`` is |ln(q / v)|, averaged over the channels.

    Of a norm with statistics for each step of a sequence, each step is compared with that step's population, and the
    mean is over the steps that at least two samples have.

    Args:
        view: The model.
        moment: Uses `params`, `buffers` and `batch`.

    Returns:
        ``mean.<layer>`` and ``var.<layer>``; ``mean`` and ``var``, their means over layers; the task's first metric
        (``accuracy``) with running statistics minus that with the population's, or the loss if the metric is not a mean
        over samples; each (). Nothing for a model without running statistics.
    """
    layers = _tracked(view)
    if not layers:
        return {}
    state = moment.params, moment.buffers, moment.batch
    with view.watching([norm for norms in layers.values() for norm in norms], _population) as seen:
        precise = view.outputs_by_population(*state)
    scalars: dict[str, list[Tensor]] = {"mean": [], "var": []}
    for norms in layers.values():
        gaps = [_gap(moment, norm, torch.stack(seen[norm])) for norm in norms if seen[norm]]
        weights = torch.stack([enough for _, enough in gaps])
        average = (torch.stack([gap for gap, _ in gaps]) * weights.unsqueeze(1)).sum(0) / weights.sum()
        for row, value in zip(scalars.values(), average if len(gaps) > 1 else gaps[0][0], strict=True):
            row.append(value)
    named = {f"{key}.{layer}": value for key, row in scalars.items() for layer, value in zip(layers, row, strict=True)}
    means = {key: torch.stack(row).mean() for key, row in scalars.items()}
    running = view.outputs_by_running(*state)
    name = view.task.metrics[0] if view.task.metrics[0] in view.task.sums else "loss"
    return {**named, **means, name: _score(view.task, name, running, moment) - _score(view.task, name, precise, moment)}


def _tracked(view: View) -> dict[str, list[str]]:
    """Return the names of the norms with running statistics, by the layer that they are in."""
    layers = {}
    for layer in view.norms:
        norm = view.skeleton.get_submodule(layer)
        norms = {layer: norm}
        if isinstance(norm, SequenceNorm):
            norms = {f"{layer}.norms.{step}": one for step, one in enumerate(norm.norms)}
        layers[layer] = [
            name for name, one in norms.items() if isinstance(one, BatchStatistics) and one.running_mean is not None
        ]
    return {layer: norms for layer, norms in layers.items() if norms}


def _population(before: Units, _: Units) -> Tensor:
    """Return mean and unbiased variance of each unit, and for padded sequences the number of values, (2 or 3, C)."""
    mean, var = before.moments(correction=1)
    number = [] if before.valid is None else [before.valid.sum().to(mean.dtype).expand_as(mean)]
    return torch.stack([mean, var, *number])


def _gap(moment: Moment, norm: str, calls: Tensor) -> tuple[Tensor, Tensor]:
    """Return both gaps of a norm, (2,), and 1 if its population is large enough, otherwise 0.

    Args:
        moment: The moment.
        norm: Its name.
        calls: `_population` of each of its calls.
    """
    if calls.shape[1] == 2:
        enough = calls.new_ones(())
        mean, var = calls.mean(0)
    else:
        taken = (calls[:, 2:] >= 2).to(calls.dtype)
        enough = taken.amax()
        # What too few values have as mean and variance may be no number.
        mean, var = (torch.where(taken > 0, calls[:, :2], 0)).sum(0) / taken.sum(0).clamp(min=1)
    scale = var + _FLOOR
    off = (moment.buffers[f"{norm}.running_mean"] - mean).abs() / scale.sqrt()
    ratio = (moment.buffers[f"{norm}.running_var"] + _FLOOR) / scale
    return torch.stack([off.mean(), ratio.log().abs().mean()]), enough


def _score(task: Task, name: str, outputs: Tensor, moment: Moment) -> Tensor:
    if name == "loss":
        return task.loss(outputs, moment.batch)
    return task.measure(outputs, moment.batch)[name].to(outputs.dtype).mean()
