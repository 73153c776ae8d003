"""Which device trains, set up so that the same run gives the same bits."""

import os
import resource
import sys
from functools import cache

import torch

from normbench.errors import ConfigError
from normbench.record.provenance import processor


def find_device(name: str) -> torch.device:
    """Return the device that `engine.device` names.

    Args:
        name: `auto` (CUDA where there is one, else the CPU), or a torch device such as `cpu`, `cuda:1`, `mps`.

    Returns:
        The device.

    Raises:
        ConfigError: If it is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"engine.device: got {name!r}, expected auto, cpu, cuda, cuda:N or mps.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"engine.device={name}: this machine has {torch.cuda.device_count()} CUDA devices.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"engine.device={name}: this machine has no MPS device.")
    if device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"engine.device: got {name!r}, expected auto, cpu, cuda, cuda:N or mps.")
    return device


def make_deterministic(device: torch.device) -> None:
    """Choose deterministic kernels where a device has others too; must come before its first use."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


@cache
def device_name(device: torch.device) -> str:
    """Return what the device calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


def peak_memory_mb(device: torch.device) -> float:
    """Return the most memory held so far, in MB: on a GPU by tensors, else by this process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
