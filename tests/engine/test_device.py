"""Tests of the device that trains."""

import pytest
import torch

from normbench.engine.device import device_name, find_device, peak_memory_mb
from normbench.errors import ConfigError


def test_auto_is_cuda_where_there_is_one() -> None:
    """Else the CPU."""
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "", "meta", "cuda:99", "CPU"])
def test_refuses_what_is_not_there(name: str) -> None:
    """A name that torch knows is not enough."""
    with pytest.raises(ConfigError, match=r"^engine\.device"):
        find_device(name)


def test_the_cpu_has_a_name_and_a_memory() -> None:
    """Both go into provenance.csv."""
    assert device_name(torch.device("cpu"))
    assert 10 < peak_memory_mb(torch.device("cpu")) < 1e6
