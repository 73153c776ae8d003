"""Tests of models that a user's function makes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from normbench.errors import ConfigError
from normbench.models.own import own
from normbench.norms import BatchNorm, NormFactory

SOURCE = """
from torch import nn


def with_classes(num_classes, width=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(12, width), nn.BatchNorm1d(width), nn.Linear(width, num_classes))


def with_labels(*, num_labels):
    return with_classes(num_labels)


def with_anything(**options):
    return with_classes(**options)


def fixed(width=4):
    return with_classes(7, width)


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.net = with_classes(num_classes)

    def forward(self, x):
        return self.net(x)


def nothing():
    return None


NUMBER = 3
"""


@pytest.fixture(scope="module", autouse=True)
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Put a user's module on the path."""
    folder: Path = tmp_path_factory.mktemp("own")
    (folder / "normbench_test_nets.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield


def made(name: str, **args: Any) -> nn.Module:
    return own((3, 2, 2), 5, NormFactory(BatchNorm), source=f"normbench_test_nets.{name}", **args)


@pytest.mark.parametrize(
    ("name", "args", "outputs"),
    [
        ("with_classes", {}, 5),
        ("with_classes", {"width": 6}, 5),
        ("with_labels", {}, 5),
        ("with_anything", {"width": 6}, 5),
        ("fixed", {"width": 6}, 7),
        ("Net", {}, 5),
    ],
    ids=str,
)
def test_a_maker_is_told_the_classes_where_it_takes_them(name: str, args: dict[str, int], outputs: int) -> None:
    """As num_classes or num_labels, beside the arguments of the config; its norms are the run's."""
    model = made(name, **args)
    assert model(torch.zeros(2, 3, 2, 2)).shape == (2, outputs)
    (norm,) = (module for module in model.modules() if isinstance(module, BatchNorm))
    assert norm.num_features == args.get("width", 4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", r"model\.source=\S+absent: AttributeError"),
        ("NUMBER", r"model\.source=\S+NUMBER: not a class or function"),
        ("nothing", r"model\.source=\S+nothing: got NoneType, expected a torch\.nn\.Module"),
    ],
)
def test_a_source_that_is_no_maker_is_refused(name: str, message: str) -> None:
    """The message has the path that the user gave."""
    with pytest.raises(ConfigError, match=message):
        made(name)


def test_a_source_is_needed() -> None:
    """There is no model of one's own by default."""
    with pytest.raises(ConfigError, match=r"model\.source=my_package\.make_net"):
        own((3, 2, 2), 5, NormFactory(BatchNorm))
