"""The dependence of a sample's output on the other samples of its batch."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normbench.errors import ImpossibleRunError
from normbench.norms import REGISTRY
from normbench.properties.finding import Finding
from normbench.properties.small_problem import NormMaker, inputs
from normbench.randomness import generator

CLAIMED = {"layer": False, "group": False, "instance": False, "batch": True}
"""The norms that the claim names: whether the other samples count in training."""


def sample_independence(norms: Mapping[str, NormMaker] = REGISTRY) -> Finding:
    """Prove which norms let the other samples of a batch change a sample's output.

    Sample 0 stays, all others are replaced. An output that is the same bit for bit does not depend on them.

    Args:
        norms: Norms by name, called as ``norm(num_features)``; `batch_statistics` says what each declares.

    Returns:
        `supported` if every norm depends on the other samples in training exactly if it declares batch statistics, as
        the claim says of the ones it names, and none does in evaluation; otherwise `refuted`.
    """
    gaps = {name: _gaps(norm) for name, norm in norms.items()}
    declared = {name: bool(getattr(norm, "batch_statistics", False)) for name, norm in norms.items()}
    wrong = [
        name
        for name, gap in gaps.items()
        if not gap.in_training == declared[name] == CLAIMED.get(name, declared[name]) or gap.evaluation > 0
    ]
    apart, together = ([name for name in norms if declared[name] is shared] or ["no norm"] for shared in (False, True))
    numbers = {
        "norms_without_batch_statistics": float(len(norms) - sum(declared.values())),
        "norms_with_batch_statistics": float(sum(declared.values())),
        "largest_gap_without": max((gaps[name].largest for name in norms if not declared[name]), default=0.0),
        "smallest_gap_with": min((gaps[name].smallest for name in norms if declared[name]), default=0.0),
        "largest_gap_in_evaluation": max((gap.evaluation for gap in gaps.values()), default=0.0),
    }
    if wrong or not CLAIMED.keys() <= norms.keys():
        missing = [name for name in CLAIMED if name not in norms]
        evidence = f"Not as claimed: {', '.join(dict.fromkeys([*wrong, *missing]))}."
        return Finding("refuted", "disproved", evidence, numbers)
    evidence = (
        f"With all other samples replaced, a sample's output is the same bit for bit with {', '.join(apart)}. "
        f"With {', '.join(together)} it changes by at least {numbers['smallest_gap_with']:.2g} in training, and in "
        f"evaluation not by a bit."
    )
    return Finding("supported", "proved", evidence, numbers)


@dataclass(frozen=True, slots=True)
class _Gaps:
    """Changes of one sample's output when all other samples are replaced, over features and maps.

    Attributes:
        smallest: The smallest of the largest changes of each shape, in training.
        largest: The largest change in training.
        evaluation: The largest change in evaluation.
    """

    smallest: float
    largest: float
    evaluation: float

    @property
    def in_training(self) -> bool | None:
        """Whether the other samples count: for every shape, for none (False), or for some (None)."""
        return True if self.smallest > 0 else False if self.largest == 0 else None


@torch.no_grad()
def _gaps(norm: NormMaker) -> _Gaps:
    training, evaluation = [], []
    for x in inputs():
        with torch.random.fork_rng(devices=[]):
            # Noisy batch norm draws its seed.
            layer = norm(x.shape[1]).double()
        try:
            training.append(_gap(layer.train(), x))
        except ImpossibleRunError:
            continue  # It takes maps only.
        # Running statistics that are not those of the constructor.
        layer(x)
        evaluation.append(_gap(layer.eval(), x))
    return _Gaps(min(training), max(training), max(evaluation))


def _gap(layer: nn.Module, x: Tensor) -> float:
    """Return the largest change of the first sample's output when the others are replaced; change no buffer."""
    draws = generator(0, "properties", "others")
    other = torch.cat([x[:1], 1 + 2 * torch.randn(x[1:].shape, generator=draws, dtype=x.dtype)])
    # Copies, so that both passes are the same step: noise counts steps.
    before, after = (copy.deepcopy(layer)(batch)[0] for batch in (x, other))
    return float((after - before).abs().max())
