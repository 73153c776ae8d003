from collections.abc import Callable

import pytest
import timm
import torch
from torch import nn

from normbench.properties.data_flow import places
from normbench.properties.placement import standard_placement
from normbench.properties.published import Architecture, torchvision_architectures, without_memory


def usual() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


def half() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))


def bare() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


def made_up(*builders: Callable[[], nn.Module]) -> list[Architecture]:
    """Return one architecture per model."""
    return [Architecture(str(place), 2020, {f"net{place}": build}) for place, build in enumerate(builders)]


@pytest.mark.parametrize(
    ("builders", "verdict"),
    [
        ([usual], "supported"),
        ([usual, usual, usual, half], "supported"),
        ([usual, usual, half], "inconclusive"),
        ([usual, half], "inconclusive"),
        ([usual, half, half], "refuted"),
        ([half], "refuted"),
        ([usual, bare, bare, bare], "supported"),
        ([bare], "refuted"),
    ],
    ids=["all", "three quarters", "two thirds", "half", "a third", "none", "nets without a norm", "no norm at all"],
)
def test_the_verdict_follows_from_the_count(builders: list[Callable[[], nn.Module]], verdict: str) -> None:
    """Of the architectures that have batch norm, each counting once; half of the norms is not most of them."""
    assert standard_placement(made_up(*builders)).verdict == verdict


def test_the_first_model_with_batch_norm_counts() -> None:
    """As VGG has it in every other model."""
    two = [Architecture("1", 2014, {"plain": bare, "normed": half, "other": usual})]
    finding = standard_placement(two)
    assert finding.numbers["batch_norms"] == 2 and finding.numbers["after_activation"] == 1
    assert "(not in: normed (50%))" in finding.evidence


def test_architectures_known_to_differ_do() -> None:
    """ResNet has every norm there, DenseNet less than half, transformers and ConvNeXt none."""
    by_first = {one.name: one for one in torchvision_architectures()}
    resnet = standard_placement([by_first["resnet101"]]).numbers
    assert resnet["between"] == resnet["after_linear"] == resnet["batch_norms"] == 104
    dense = standard_placement([by_first["densenet121"]])
    assert dense.verdict == "refuted" and dense.numbers["between"] == 59 and dense.numbers["batch_norms"] == 121
    layered = standard_placement([by_first["convnext_base"], by_first["vit_b_16"]]).numbers
    assert layered["batch_norms"] == 0 == layered["layer_norms_between"] < layered["layer_norms"]


def test_the_exception_is_as_cited() -> None:
    """In timm's pre-activation ResNet the first norm of each of 16 blocks follows a sum, and the last norm too."""
    found = places(without_memory(lambda: timm.create_model("resnetv2_50")), torch.zeros(1, 3, 64, 64, device="meta"))
    assert len(found) == 49 and sum(not place.after_linear for place in found) == 17
    assert all(place.before_activation for place in found)
    assert "resnetv2_50" in standard_placement(made_up(usual)).evidence
