"""Tasks: inputs, loss and metrics. The rest of the training uses a task only through `Task`."""

from collections.abc import Callable

from normbench.tasks.classification import Classification
from normbench.tasks.task import Task

__all__ = ["REGISTRY", "Classification", "Task"]

REGISTRY: dict[str, Callable[..., Task]] = {
    "classification": Classification,
}
