"""Tries a user's optimizer for one step before anything starts: an error is a config error, not a failed run."""

import torch

from normbench.data import Examples
from normbench.errors import ConfigError, NormbenchError, described
from normbench.spec import Run
from normbench.training.setup import set_up


def try_own_optimizer(run: Run, dataset: Examples) -> str:
    """Take a step of a user's optimizer on the run's model.

    Args:
        run: The run.
        dataset: Its data set.

    Returns:
        Why the run cannot be trained together with others; empty for a shipped optimizer.

    Raises:
        ConfigError: If it cannot be found, rejects its arguments or cannot take the step.
    """
    if run.optimizer.target is None:
        return ""
    setup = set_up(run, dataset, torch.device("cpu"))
    grads = {name: torch.zeros_like(param) for name, param in setup.params.items()}
    try:
        setup.optimizer.step(grads, setup.optimizer.rates([run.lr])[0])
    except NormbenchError:
        raise
    except Exception as error:
        raise ConfigError(f"optimizer._target_={run.optimizer.target}: {described(error)}") from error
    return f"optimizer={run.optimizer.name} is a torch.optim.Optimizer: its runs train solo"
