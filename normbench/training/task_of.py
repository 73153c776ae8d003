"""The task of a run, made for its data."""

from normbench.data import Examples
from normbench.errors import ConfigError, nearest
from normbench.metrics import METRICS
from normbench.spec import Run
from normbench.tasks import REGISTRY, Task
from normbench.training.components import make


def task_of(run: Run, data: Examples) -> Task:
    """Return the task of a run for its data.

    Raises:
        ImpossibleRunError: If the data do not fit the task.
        ConfigError: If its name is unknown, or a user's class is not a task.
    """
    task = make(run.task, REGISTRY, "task", data, **run.task.args)
    if not isinstance(task, Task):
        raise ConfigError(f"task={run.task.name}: got {type(task).__name__}, expected a normbench.tasks.Task.")
    if unknown := [name for name in task.metrics if name not in METRICS]:
        raise ConfigError(f"task={run.task.name}: unknown metric {unknown[0]!r}{nearest(unknown[0], METRICS)}")
    if not task.metrics:
        raise ConfigError(f"task={run.task.name}: no metrics, expected at least one of {', '.join(METRICS)}.")
    return task
