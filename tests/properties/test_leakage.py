"""The check of what later steps of a sequence tell earlier ones, on norms that are not what they declare."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normbench.norms import REGISTRY
from normbench.properties.leakage import CLAIMED, bn_leaks_time

NAMED = {name: REGISTRY[name] for name in CLAIMED}


class Silent(nn.Module):
    """A norm that declares batch statistics and takes none."""

    batch_statistics = True

    def __init__(self, num_features: int, **_: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Tokens(nn.Module):
    """A norm that subtracts the mean of all tokens and does not say so."""

    def __init__(self, num_features: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class Remembering(Silent):
    """A norm with batch statistics that all its instances share, so that a statistic a step does not help."""

    seen = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        type(self).seen = self.seen + x.mean()
        return x + self.seen


def test_each_norm_of_the_registry_leaks_if_it_pools_steps() -> None:
    """Statistics for each step stop it, to the bit."""
    finding = bn_leaks_time()
    assert finding.verdict == "supported"
    pooling = [
        norm
        for norm in REGISTRY.values()
        if getattr(norm, "batch_statistics", False) or getattr(norm, "needs_positions", False)
    ]
    assert finding.numbers["norms_that_leak"] == len(pooling)
    assert finding.numbers["smallest_leak"] > 1e-3
    assert finding.numbers["largest_leak_by_step"] == 0


@pytest.mark.parametrize("norm", [Silent, Tokens, Remembering])
def test_a_norm_that_is_not_what_it_declares_refutes(norm: type[nn.Module]) -> None:
    """The evidence names it."""
    finding = bn_leaks_time({**NAMED, "own": norm})
    assert (finding.verdict, finding.evidence) == ("refuted", "Not as claimed: own.")


def test_the_norms_that_are_named_must_be_there() -> None:
    """The claim says something about them."""
    assert bn_leaks_time({"layer": REGISTRY["layer"]}).evidence == "Not as claimed: batch."
