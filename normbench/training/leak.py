"""What a causal model sees of later steps in training, through the statistics of its norms."""

import copy

import torch
from torch import nn

from normbench.norms.statistics import own_batch
from normbench.tasks import Task

_SAMPLES = 8


@torch.no_grad()
def leak(model: nn.Module, task: Task) -> float | None:
    """Return the largest change of an output when later steps are replaced by the first; 0.0 if there is no leak.

    The steps of all samples are. Norms use the statistics of these samples, as in training; dropout is off. The model
    is not changed.

    Args:
        model: The model.
        task: The task; `Task.causal` names the input whose later steps must not count.

    Returns:
        The change, or None for a task whose outputs may depend on all steps.
    """
    if task.causal is None:
        return None
    device = next(model.parameters()).device
    batch = task.data.fetch(torch.arange(min(_SAMPLES, len(task.data)), device=device))
    whole = batch[task.causal]
    early = whole.shape[1] // 2
    other = whole.clone()
    # Not steps of another sample: statistics over all samples would stay as they are.
    other[:, early:] = whole[:, :1]
    judged = copy.deepcopy(model).eval()
    with own_batch(judged, None):
        before, after = (task.call(judged, {**batch, task.causal: tokens}) for tokens in (whole, other))
    return float((after - before)[:, :early].abs().max())
