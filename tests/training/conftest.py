from collections.abc import Iterator

import pytest
import torch

from normbench.data import Dataset
from normbench.training.build import build


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
    real = Dataset.batch
    monkeypatch.setattr(Dataset, "batch", lambda self, index: real(self, index).double())
    real_build = build
    monkeypatch.setattr("normbench.training.setup.build", lambda *args: real_build(*args).double())
