from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.norms import BatchNorm, GroupNorm, LayerNorm, NoNorm
from normbench.properties.small_problem import over_channel
from normbench.properties.standardization import affine_restores_capacity, standardized_outputs


class Biased(nn.Module):
    """A broken batch norm: it divides by the unbiased deviation."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.eps = 1e-5

    def forward(self, x: Tensor) -> Tensor:
        dims = over_channel(x)
        return (x - x.mean(dims, keepdim=True)) / (x.var(dims, keepdim=True) + self.eps).sqrt()


class Clipped(nn.Module):
    """A broken batch norm: it has gamma and beta, and loses what is far from the mean."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.eps = 1e-5
        self.weight, self.bias = nn.Parameter(torch.ones(num_features)), nn.Parameter(torch.zeros(num_features))

    def forward(self, x: Tensor) -> Tensor:
        y = F.batch_norm(x, None, None, None, None, True, 0.1, self.eps).clamp(-2, 2)
        shape = (1, -1, *[1] * (x.ndim - 2))
        return y * self.weight.view(shape) + self.bias.view(shape)


@pytest.mark.parametrize("norm", [NoNorm, LayerNorm, Biased], ids=["none", "layer", "unbiased"])
def test_channels_that_are_not_standardised_are_seen(norm: type[nn.Module]) -> None:
    """Without a norm, with one over other values and with the wrong variance, it fails before gamma and beta."""
    finding = standardized_outputs(norm)
    assert (finding.verdict, finding.outcome) == ("refuted", "not even before gamma and beta")


def test_without_gamma_and_beta_it_holds_for_good() -> None:
    """Training cannot move what has nothing to learn."""
    finding = standardized_outputs(partial(BatchNorm, affine=False))
    assert (finding.verdict, finding.outcome) == ("supported", "proved")
    assert finding.numbers["largest_mean_trained"] < 1e-12


@pytest.mark.parametrize(
    "norm",
    [partial(BatchNorm, affine=False), LayerNorm, partial(GroupNorm, num_groups=2), Clipped],
    ids=["no affine", "layer", "group", "clipped"],
)
def test_what_is_not_the_identity_is_seen(norm: type[nn.Module]) -> None:
    """Gamma and beta of a channel cannot undo statistics of other values, nor a loss; and without them nothing can."""
    finding = affine_restores_capacity(norm)
    assert (finding.verdict, finding.outcome) == ("refuted", "disproved")
    assert finding.numbers["largest_gap"] > 0.1


def test_a_wrong_eps_is_seen() -> None:
    """The identity is exact: an eps that is reported 1 % off is enough to fail."""

    def off(num_features: int) -> nn.Module:
        layer = BatchNorm(num_features)
        layer.register_forward_pre_hook(lambda module, _: setattr(module, "eps", 1.01e-5))
        return layer

    assert affine_restores_capacity(off).verdict == "refuted"
