import pytest
from torch import Tensor, nn

from normbench.norms import REGISTRY, BatchNorm, BatchStatistics, LayerNorm
from normbench.properties.independence import CLAIMED, sample_independence


class Undeclared(nn.Module):
    """A norm that subtracts the mean of the batch and does not say so."""

    def __init__(self, num_features: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class Boastful(nn.Module):
    """A norm that declares batch statistics and has none."""

    batch_statistics = True

    def __init__(self, num_features: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class OnlyMaps(Boastful):
    """A norm that uses the other samples of maps and not of features."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.ndim == 2 else x - x.mean(0)


class Untracked(nn.Module):
    """A batch norm that has no running statistics, and takes those of the batch in evaluation too."""

    batch_statistics = True

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.inner = BatchNorm(num_features, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)
        return out


NAMED = {name: REGISTRY[name] for name in CLAIMED}


def test_each_norm_of_the_registry_is_what_it_declares() -> None:
    """Not one norm is left out, and the two classes are those of `BatchStatistics`."""
    finding = sample_independence()
    sharing = sum(issubclass(norm, BatchStatistics) for norm in REGISTRY.values())
    assert finding.verdict == "supported"
    assert finding.numbers["norms_with_batch_statistics"] == sharing
    assert finding.numbers["norms_without_batch_statistics"] == len(REGISTRY) - sharing
    assert finding.numbers["largest_gap_without"] == finding.numbers["largest_gap_in_evaluation"] == 0
    assert finding.numbers["smallest_gap_with"] > 0.1
    assert all(name in finding.evidence for name in REGISTRY)


@pytest.mark.parametrize("wrong", [Undeclared, Boastful, OnlyMaps, Untracked], ids=lambda norm: norm.__name__)
def test_a_norm_that_is_not_what_it_declares_refutes(wrong: type[nn.Module]) -> None:
    """Whichever way it is wrong, for one of the two shapes alone, or only in evaluation; the evidence names it."""
    finding = sample_independence({**NAMED, "mine": wrong})
    assert (finding.verdict, finding.outcome) == ("refuted", "disproved")
    assert finding.evidence == "Not as claimed: mine."


@pytest.mark.parametrize("name", CLAIMED)
def test_the_norms_that_the_claim_names_are_needed(name: str) -> None:
    """Without one, or with the other class of norm in its place, nothing is shown."""
    swapped = LayerNorm if CLAIMED[name] else BatchNorm
    for norms in ({**NAMED, name: swapped}, {other: norm for other, norm in NAMED.items() if other != name}):
        assert sample_independence(norms).evidence == f"Not as claimed: {name}."
