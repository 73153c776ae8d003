"""Tests of group norm's choice of groups."""

import pytest
import torch

from normbench.errors import ImpossibleRunError
from normbench.norms.group import GroupNorm


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(1, 1), (2, 1), (4, 1), (7, 1), (16, 4), (48, 12), (64, 16), (96, 24), (100, 25), (128, 32), (2048, 32)],
)
def test_default_takes_the_most_groups_of_four_channels_up_to_32(channels: int, groups: int) -> None:
    """The default is recorded as num_groups."""
    assert GroupNorm(channels).num_groups == groups


@pytest.mark.parametrize("groups", [0, 5, 24], ids=["zero", "does-not-divide", "exceeds"])
def test_groups_must_divide_the_channels(groups: int) -> None:
    """The error names both numbers and the divisors."""
    with pytest.raises(ImpossibleRunError, match=rf"num_groups={groups} .* 12 channels .* 1, 2, 3, 4, 6, 12"):
        GroupNorm(12, num_groups=groups)


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 1, 1)], ids=["features", "1x1"])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_one_value_a_group_is_impossible(shape: tuple[int, ...], device: str) -> None:
    """As many groups as channels on an MLP would make the output constant."""
    with pytest.raises(ImpossibleRunError, match="only one value per group"):
        GroupNorm(4, num_groups=4).to(device)(torch.zeros(shape, device=device))


def test_one_channel_a_group_is_possible_on_maps() -> None:
    """On maps a group may be a single channel, if asked for."""
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(GroupNorm(4, num_groups=4)(x), torch.nn.functional.instance_norm(x))
