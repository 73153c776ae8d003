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
    """Instance norm and what subtracts the batch's mean remove each channel's mean, the others do not."""
    assert {name for name, norm in REGISTRY.items() if NormFactory(norm).removes_channel_mean} == {
        "batch",
        "instance",
        "batch_frozen",
        "batch_mean_only",
        "batch_noisy",
        "batch_renorm",
    }


def test_knows_which_norms_include_an_activation() -> None:
    """Filter response norm and the EvoNorms do; each can be made without."""
    assert {name for name, norm in REGISTRY.items() if NormFactory(norm).includes_activation} == {
        "frn",
        "evonorm_b0",
        "evonorm_s0",
    }
    for name in ("frn", "evonorm_b0", "evonorm_s0"):
        made, bare = (NormFactory(REGISTRY[name])(8, activated=activated) for activated in (True, False))
        assert len(list(made.parameters())) == len(list(bare.parameters())) + 1


def test_knows_which_norms_work_on_weights() -> None:
    """The others leave the layer before them as it is."""
    layer = nn.Linear(2, 2)
    changing = {name for name, norm in REGISTRY.items() if NormFactory(norm).weighted(layer) is not layer}
    assert changing == {"weight_standardized_group", "scaled_weight"}
    assert changing == {name for name, norm in REGISTRY.items() if NormFactory(norm).changes_weights}


def test_assumes_nothing_of_a_norm_that_does_not_say() -> None:
    """A user's norm keeps the biases before it."""
    assert not NormFactory(nn.BatchNorm1d).removes_channel_mean


def test_batch_statistics_are_declared_where_they_are_had() -> None:
    """The class attribute agrees with the protocol for every norm."""
    for norm in REGISTRY.values():
        assert getattr(norm, "batch_statistics", None) is issubclass(norm, BatchStatistics)
