"""Tests of what is said of a precision before anything starts."""

import pytest
import torch

from normbench.engine.precision import check_precisions, fast_bfloat16
from normbench.errors import ConfigError

CPU = torch.device("cpu")


def test_nothing_is_said_of_float32() -> None:
    """On no device."""
    assert check_precisions(["float32"], CPU) == check_precisions(["float32"], torch.device("mps")) == ()


def test_float16_on_a_cpu_is_said_to_be_slow() -> None:
    """Once, however many runs ask for it."""
    (note,) = check_precisions(["float16", "float32", "float16"], CPU)
    assert note.startswith("precision=float16 is slow on a CPU")


@pytest.mark.parametrize("capability", ["avx512_bf16", "amx_bf16", "bf16", "sve_bf16", None])
def test_bfloat16_is_fast_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch, capability: str | None) -> None:
    """One that has not is told of, as a run there is no faster."""
    found = {"avx512_f": True, "amx_bf16": False, **({capability: True} if capability else {})}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert fast_bfloat16(CPU) == (capability is not None)
    assert bool(check_precisions(["bfloat16"], CPU)) == (capability is None)


def test_an_older_torch_says_nothing_of_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be told is neither praised nor warned of."""
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert fast_bfloat16(CPU) is None
    assert check_precisions(["bfloat16"], CPU) == ()


@pytest.mark.parametrize("new", [False, True])
def test_mps_has_bfloat16_from_macos_14_on(monkeypatch: pytest.MonkeyPatch, new: bool) -> None:
    """Before, it is refused in one line."""
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: new and (major, minor) == (14, 0))
    mps = torch.device("mps")
    assert check_precisions(["float16"], mps) == ()
    if new:
        assert check_precisions(["bfloat16"], mps) == ()
    else:
        with pytest.raises(ConfigError, match=r"^precision=bfloat16: not available on this mps device; choose"):
            check_precisions(["bfloat16"], mps)
