"""Which precisions a device supports, and whether they are fast."""

from collections.abc import Iterable

import torch

from normbench.errors import ConfigError

_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""Capabilities of processors that multiply in bfloat16, x86's and ARM's, as `torch.cpu.get_capabilities` names them."""


def check_precisions(precisions: Iterable[str], device: torch.device) -> tuple[str, ...]:
    """Check that a device supports the precisions of runs; return notes for the user.

    Raises:
        ConfigError: If a precision is not supported.
    """
    asked = set(precisions)
    if "bfloat16" in asked and not _has_bfloat16(device):
        raise ConfigError(f"precision=bfloat16: not available on this {device.type} device; choose float32 or float16.")
    if device.type != "cpu":
        return ()
    notes = {
        "bfloat16": "precision=bfloat16 saves no time: this processor emulates it."
        if fast_bfloat16(device) is False
        else "",
        "float16": "precision=float16 is slow on a CPU: a convolutional step took 13 times as long as in float32.",
    }
    return tuple(note for name, note in notes.items() if name in asked and note)


def fast_bfloat16(device: torch.device) -> bool | None:
    """Return whether a device multiplies in bfloat16 rather than emulating it; None if torch cannot tell."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # Newer than the oldest torch that normbench works with.
        capabilities = getattr(torch.cpu, "get_capabilities", None)
        return None if capabilities is None else any(capabilities().get(name) for name in _BFLOAT16)
    return _has_bfloat16(device)


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # Before macOS 14 autocast on MPS warns, and computes in float32.
    return device.type != "mps" or bool(torch.backends.mps.is_macos_or_newer(14, 0))
