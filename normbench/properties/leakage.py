"""What a norm lets an early step of a sequence see of the later ones, in training."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from normbench.norms import REGISTRY
from normbench.norms.factory import NormFactory
from normbench.norms.sequence import SequenceNorm
from normbench.properties.finding import Finding
from normbench.properties.small_problem import NormMaker
from normbench.randomness import generator

CLAIMED = {"batch": True, "layer": False}
"""The norms that the claim names: whether they leak with statistics shared over time."""

_SAMPLES, _LENGTH, _EARLY, _CHANNELS = 8, 6, 3, 8


def bn_leaks_time(norms: Mapping[str, NormMaker] = REGISTRY) -> Finding:
    """Prove which norms over sequences let a later step change the output of an earlier one in training.

    All steps after the third are replaced. Outputs of the first three that are the same bit for bit do not depend on
    them. A causal model with such a norm sees in training what it has to predict.

    Args:
        norms: Norms by name, called as ``norm(num_features, **arguments)``; `batch_statistics` and `needs_positions`
            say what each declares.

    Returns:
        `supported` if, with statistics shared over time, exactly those norms leak that take statistics over the batch
        or over positions, and none of the first does with statistics for each step; otherwise `refuted`.
    """
    shared = {name: _gap(norm, "shared") for name, norm in norms.items()}
    by_batch = [name for name, norm in norms.items() if getattr(norm, "batch_statistics", False)]
    by_positions = [name for name, norm in norms.items() if getattr(norm, "needs_positions", False)]
    by_step = {name: _gap(norms[name], "step") for name in by_batch if name not in by_positions}
    pooling = {*by_batch, *by_positions}
    wrong = [
        name
        for name, gap in shared.items()
        if not (gap > 0) == (name in pooling) == CLAIMED.get(name, name in pooling) or by_step.get(name, 0) > 0
    ]
    numbers = {
        "norms_that_leak": float(sum(gap > 0 for gap in shared.values())),
        "smallest_leak": min((gap for gap in shared.values() if gap > 0), default=0.0),
        "largest_leak_by_step": max(by_step.values(), default=0.0),
    }
    if wrong or not CLAIMED.keys() <= norms.keys():
        missing = [name for name in CLAIMED if name not in norms]
        evidence = f"Not as claimed: {', '.join(dict.fromkeys([*wrong, *missing]))}."
        return Finding("refuted", "disproved", evidence, numbers)
    apart = [name for name in norms if name not in pooling]
    evidence = (
        f"With all later steps replaced, the outputs of earlier ones change by at least {numbers['smallest_leak']:.2g} "
        f"with {', '.join(name for name in norms if name in pooling)}, if statistics are shared over time. They are "
        f"the same bit for bit with {', '.join(apart) or 'no other'}, and with {', '.join(by_step) or 'none'} if each "
        f"step has statistics of its own."
    )
    return Finding("supported", "proved", evidence, numbers)


@torch.no_grad()
def _gap(norm: NormMaker, time: str) -> float:
    """Return the largest change of the early outputs when all later steps are replaced, in training."""
    draws = generator(0, "properties", "sequences")
    x, other = (
        torch.randn(_SAMPLES, _LENGTH, _CHANNELS, generator=draws, dtype=torch.float64) * scale for scale in (1, 3)
    )
    with torch.random.fork_rng(devices=[]):
        # Noisy batch norm draws its seed.
        layer = SequenceNorm(NormFactory(norm), _CHANNELS, length=_LENGTH, time=time, activated=True).double().train()

    def early(later: Tensor) -> Tensor:
        # A copy, so that both passes are the same step: noise counts steps.
        outputs: Tensor = copy.deepcopy(layer)(torch.cat([x[:, :_EARLY], later[:, _EARLY:]], 1))
        return outputs[:, :_EARLY]

    return float((early(other) - early(x)).abs().max())
