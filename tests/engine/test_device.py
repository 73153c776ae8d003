"""Tests of the device that trains."""

from pathlib import Path

import pytest
import torch

from normbench.engine.device import check_threads, device_name, find_compiler, find_device, peak_memory_mb
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


def executable(path: Path, *lines: str) -> str:
    """Write a shell script and return its path."""
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)
    return str(path)


def test_the_compiler_is_the_one_that_torch_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What CXX names, with its arguments, whatever else is installed; one that does not run is none."""
    works = executable(tmp_path / "works", "exit 0")
    fails = executable(tmp_path / "fails", "exit 1")
    expected = {
        works: works,
        f"{works} -O2": f"{works} -O2",
        fails: None,
        "no-such-compiler": None,
        str(tmp_path): None,
    }
    found = {}
    for command in (*expected, ""):
        monkeypatch.setenv("CXX", command)
        found[command] = find_compiler()
    assert found == {**expected, "": None}


def test_threads_are_bounded_by_the_machine() -> None:
    """A few more than there are cores repeat the bits of another machine; 100,000 ended the process."""
    check_threads(None)
    check_threads(32)
    with pytest.raises(ConfigError, match=r"^engine\.threads: got 100000, expected at most \d+ on this machine of"):
        check_threads(100_000)
