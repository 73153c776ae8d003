"""Which ranks there cannot be in a place, found out before anything starts."""

import multiprocessing

import torch
import torch.distributed as dist

from normbench.engine.launchers import launched
from normbench.errors import ConfigError
from normbench.spec import Engine


def check_ranks_here(engine: Engine, device: torch.device) -> None:
    """Check that this machine has what the ranks need, started here or by a launcher.

    Args:
        engine: What the user asks for: two ranks or more.
        device: Where they train.

    Raises:
        ConfigError: If not.
    """
    asked, started = _asked(engine), launched(engine.ranks)
    if multiprocessing.current_process().daemon:
        raise ConfigError(f"{asked}: a daemonic process, as of multiprocessing.Pool, cannot start other processes.")
    if dist.is_available() and dist.is_initialized():
        raise ConfigError(f"{asked}: this program has a process group of torch.distributed already.")
    if device.type == "mps" or not dist.is_available():
        raise ConfigError(f"{asked}: torch has no data parallelism here, on {device.type}; use engine.device=cpu.")
    if device.type != "cuda":
        return
    if device.index is not None:
        raise ConfigError(f"{asked} needs a GPU for each rank: engine.device={engine.device} names one; use cuda.")
    if engine.ranks > (there := torch.cuda.device_count()) and started is None:
        raise ConfigError(f"{asked} needs a GPU for each rank: this machine has {there}.")


def check_ranks_of_node(engine: Engine, device: torch.device, *, cpus: int, gpus: int) -> None:
    """Check that a node of a cluster has what the ranks of a run need.

    Args:
        engine: What the user asks for: two ranks or more.
        device: Where they train.
        cpus: CPUs that the ranks of a run may have.
        gpus: GPUs that they may have.

    Raises:
        ConfigError: If not.
    """
    asked = _asked(engine)
    if (found := launched(engine.ranks)) is not None:
        raise ConfigError(f"{asked}: engine={engine.name} starts the ranks; start the command without {found.by}.")
    if device.type == "cuda":
        needed, most, unit = engine.ranks, gpus, "GPUs"
    else:
        needed, most, unit = engine.ranks * (engine.threads or 1), cpus, "CPUs"
    if needed > most:
        raise ConfigError(f"{asked} needs {needed} {unit} on one node, and gets at most {most}.")


def _asked(engine: Engine) -> str:
    asked = f"engine.ranks={engine.ranks}"
    if engine.mode not in ("auto", "solo"):
        raise ConfigError(f"{asked} divides each run among processes: engine.mode={engine.mode} is not possible.")
    return asked
