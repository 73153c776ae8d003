import pytest
from torch import Tensor, nn

from normbench.norms import BatchNorm, NoNorm
from normbench.properties.scale import scale_invariance


class OutsideRoot(nn.Module):
    """A broken batch norm: its eps is added to the deviation, not to the variance."""

    def __init__(self, num_features: int, *, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(0)) / (x.std(0, correction=0) + self.eps)


class Frozen(nn.Module):
    """A batch norm through whose statistics no gradient passes: its output is scale-invariant, its gradient is not."""

    def __init__(self, num_features: int, *, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        fixed = x.detach()
        return (x - fixed.mean(0)) / (fixed.var(0, correction=0) + self.eps).sqrt()


class StraightThrough(nn.Module):
    """A norm whose gradient is that of no norm."""

    def __init__(self, num_features: int, *, eps: float) -> None:
        super().__init__()
        self.inner = BatchNorm(num_features, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + (self.inner(x) - x).detach()
        return out


@pytest.mark.parametrize(
    "norm", [lambda features, eps: NoNorm(features), OutsideRoot], ids=["none", "eps outside the root"]
)
def test_what_depends_on_the_scale_is_seen(norm: type[nn.Module]) -> None:
    """No norm at all fails, and so does an eps in the wrong place."""
    finding = scale_invariance(norm)
    assert (finding.verdict, finding.outcome) == ("refuted", "disproved")
    assert finding.numbers["output_gap"] > 1e-6


def test_the_gradient_is_half_of_it() -> None:
    """An output that is scale-invariant with a gradient that does not shrink fails by the second half alone."""
    finding = scale_invariance(StraightThrough)
    assert finding.verdict == "refuted"
    assert finding.numbers["output_gap"] < 1e-10 < 0.1 < finding.numbers["gradient_gap"]


def test_weight_and_gradient_are_at_a_right_angle() -> None:
    """With batch norm the cosine is of the size of eps; without gradient through the statistics it is not."""
    assert abs(scale_invariance().numbers["weight_gradient_cosine"]) < 1e-4
    assert abs(scale_invariance(Frozen).numbers["weight_gradient_cosine"]) > 0.01


def test_any_factor_will_do() -> None:
    """The identities hold over eight orders of magnitude, negative factors flip the sign and fail."""
    assert scale_invariance(factors=(1e-4, 1e4)).verdict == "supported"
    assert scale_invariance(BatchNorm, factors=(-1.0,)).verdict == "refuted"
