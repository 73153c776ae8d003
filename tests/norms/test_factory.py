"""Tests of the norm factory."""

from torch import nn

from normbench.norms import REGISTRY
from normbench.norms.factory import NormFactory
from normbench.norms.group import GroupNorm
from normbench.norms.statistics import BatchStatistics


def test_gives_every_layer_the_same_arguments() -> None:
    """The factory adds its arguments to the channels."""
    norm = NormFactory(GroupNorm, {"num_groups": 2, "affine": False})(8)
    assert isinstance(norm, GroupNorm)
    assert (norm.num_features, norm.num_groups, norm.weight) == (8, 2, None)


def test_knows_which_norms_remove_a_bias() -> None:
    """Batch and instance norm remove each channel's mean, the others do not."""
    assert {name: NormFactory(norm).removes_channel_mean for name, norm in REGISTRY.items()} == {
        "batch": True,
        "layer": False,
        "group": False,
        "instance": True,
        "none": False,
    }


def test_assumes_nothing_of_a_norm_that_does_not_say() -> None:
    """A user's norm keeps the biases before it."""
    assert not NormFactory(nn.BatchNorm1d).removes_channel_mean


def test_batch_statistics_are_declared_where_they_are_had() -> None:
    """The class attribute agrees with the protocol for every norm."""
    for norm in REGISTRY.values():
        assert getattr(norm, "batch_statistics", None) is issubclass(norm, BatchStatistics)
