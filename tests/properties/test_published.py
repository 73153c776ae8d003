import torch
import torchvision
from torch import nn

from normbench.properties.published import has_batch_norm, torchvision_architectures, without_memory


def test_every_model_of_torchvision_has_a_paper() -> None:
    """None is left out, none is there twice."""
    names = [name for one in torchvision_architectures() for name in one.builders]
    assert sorted(names) == sorted(torchvision.models.list_models(module=torchvision.models))


def test_years_are_those_of_the_papers() -> None:
    """Some that are known, one whose documentation names no paper, and an order by year."""
    found = torchvision_architectures()
    years = {name: one.year for one in found for name in one.builders}
    known = {"alexnet": 2014, "vgg16_bn": 2014, "resnet50": 2015, "resnext50_32x4d": 2016, "wide_resnet50_2": 2016}
    known |= {"squeezenet1_0": 2016, "squeezenet1_1": 2016, "vit_b_16": 2020, "swin_v2_t": 2021, "convnext_tiny": 2022}
    assert {name: years[name] for name in known} == known
    assert [one.year for one in found] == sorted(one.year for one in found)


def test_a_large_model_takes_no_memory() -> None:
    """All parameters are on the meta device, and the shapes are right; values computed with are real."""

    def build() -> nn.Module:
        widths = (torch.arange(1, 3) * 1e5).int().tolist()
        return nn.Sequential(nn.Linear(widths[0], widths[1]), nn.BatchNorm1d(widths[1]))

    model = without_memory(build)
    assert {one.device.type for one in (*model.parameters(), *model.buffers())} == {"meta"}
    assert tuple(next(model.parameters()).shape) == (200_000, 100_000)
    assert not model.training


def test_batch_norm_is_found_wherever_it_is() -> None:
    """Nested, and of any dimension; other norms do not count."""
    assert has_batch_norm(nn.Sequential(nn.Sequential(nn.BatchNorm3d(2))))
    assert not has_batch_norm(nn.Sequential(nn.LayerNorm(2), nn.InstanceNorm2d(2), nn.GroupNorm(1, 2)))
