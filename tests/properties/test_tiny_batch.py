import pytest
from torch import Tensor, nn

from normbench.norms import BatchNorm, GroupNorm, LayerNorm, NoNorm
from normbench.properties.tiny_batch import tiny_norm_batch


class SingleByRunning(nn.Module):
    """A batch norm that goes round the problem: it normalises a single sample by running statistics."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.inner = BatchNorm(num_features)
        self.eps, self.weight, self.bias = self.inner.eps, self.inner.weight, self.inner.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.inner.by_running(x) if len(x) == 1 else self.inner(x)


class Shrunk(nn.Module):
    """A broken batch norm: its outputs are a tenth too small."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.inner = BatchNorm(num_features)
        self.eps, self.weight, self.bias = self.inner.eps, self.inner.weight, self.inner.bias

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x) * 0.9
        return out


@pytest.mark.parametrize("norm", [NoNorm, LayerNorm, GroupNorm], ids=["none", "layer", "group"])
def test_norms_over_other_values_keep_more_than_signs(norm: type[nn.Module]) -> None:
    """Two samples stay apart by more than a sign, and a single one has a gradient."""
    finding = tiny_norm_batch(norm)
    assert (finding.verdict, finding.outcome) == ("refuted", "disproved")
    assert finding.numbers["gap_at_2"] > 0.1 and finding.numbers["largest_gradient_at_1"] > 0.1
    assert finding.numbers["refused_at_1"] == 0


def test_half_of_the_claim_is_not_enough() -> None:
    """A layer that passes a single sample through fails by that alone, and so does one whose signs are too small."""
    one, two = tiny_norm_batch(SingleByRunning), tiny_norm_batch(Shrunk)
    assert one.verdict == two.verdict == "refuted"
    assert one.numbers["gap_at_2"] < 1e-12 < 0.1 < one.numbers["gap_to_beta_at_1"]
    assert two.numbers["gap_to_beta_at_1"] < 1e-12 < 0.05 < two.numbers["gap_at_2"]


def test_batch_norm_gives_signs_and_refuses_one() -> None:
    """All outputs are signs up to eps, and the evidence says who computed the single sample."""
    finding = tiny_norm_batch()
    assert finding.numbers["share_of_signs_at_2"] > 0.99 and finding.numbers["refused_at_1"] == 1
    assert "the layer refuses" in finding.evidence
