from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from normbench.training.components import resolve_target

from .trained import train_in_float64

OWN = """
import torch
from torch import nn

class Shift(nn.Module):
    def __init__(self, num_features, by=0.0):
        super().__init__()
        self.by = by

    def forward(self, x):
        return x + self.by

class Raises(nn.Module):
    def __init__(self, num_features):
        super().__init__()
        raise RuntimeError("no memory\\nat all")

class RaisesLater(nn.Module):
    def __init__(self, num_features):
        super().__init__()

    def forward(self, x):
        return x.view(7, 7)

class Both(Shift):
    includes_activation = True

    def __init__(self, num_features):
        super().__init__(num_features)

class Net(nn.Module):
    def __init__(self, input_shape, num_classes, norm, width=4):
        super().__init__()
        self.flatten = nn.Flatten()
        self.layer = nn.Linear(64, width)
        self.norm = norm(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.norm(self.layer(self.flatten(x))))

class Regression(Net):
    def forward(self, x):
        return super().forward(x)[:, 0]

class Twice(Net):
    def forward(self, x):
        return super().forward(x), x

class Hiding(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, num_classes))

    def forward(self, x):
        return self.head(nn.functional.layer_norm(x, (8,)))

def raising():
    raise RuntimeError("no net")

def no_module(input_shape, num_classes, norm):
    return lambda x: x

NUMBER = 3
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Train as a worker does: models this small lose by a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train in float64, where two programs of the same law stay together over many steps."""
    train_in_float64(monkeypatch)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the name of a module of a user's own classes, on the path, with two modules beside it that fail."""
    folder: Path = tmp_path_factory.mktemp("own")
    (folder / "normbench_test_own.py").write_text(OWN)
    (folder / "normbench_test_broken.py").write_text("\nundefined()\n")
    (folder / "normbench_test_syntax.py").write_text("\n\nclass 3\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        resolve_target("normbench_test_own.Shift", "norm")
        yield "normbench_test_own"
