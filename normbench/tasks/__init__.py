"""Tasks: what a net is asked. Everything else of a training learns of a task through `Task` alone."""

from collections.abc import Callable

from normbench.tasks.classification import Classification
from normbench.tasks.task import Task

__all__ = ["REGISTRY", "Classification", "Task"]

REGISTRY: dict[str, Callable[..., Task]] = {
    "classification": Classification,
}
