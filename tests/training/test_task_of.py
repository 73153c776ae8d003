from dataclasses import replace

import pytest
from problems import dataset_of, problem

from normbench.data import Examples
from normbench.errors import ConfigError
from normbench.spec import Component
from normbench.tasks import Task
from normbench.tasks.classification import Classification
from normbench.training.task_of import task_of

RUN = problem("mlp-batch")


def reporting(data: Examples, metrics: list[str]) -> Task:
    """Return a task that reports metrics of any name."""
    task = Classification(data)
    task.metrics = tuple(metrics)
    return task


def test_a_run_is_asked_its_own_task() -> None:
    """Runs that name none classify."""
    data = dataset_of(RUN)
    task = task_of(RUN, data)
    assert isinstance(task, Classification) and task.data is data


MINE = f"{__name__}.reporting"

REFUSED = {
    "unknown name": (Component("classifcation", {}), "unknown task 'classifcation'; did you mean 'classification'"),
    "no task": (Component("mine", {}, "builtins.id"), "task=mine: got int, expected a normbench.tasks.Task"),
    "wrong argument": (Component("mine", {"k": 3}, MINE), r"^task=mine: .*'k'"),
    "unknown metric": (
        Component("mine", {"metrics": ["acuracy"]}, MINE),
        "unknown metric 'acuracy'",
    ),
    "no metrics": (
        Component("mine", {"metrics": []}, MINE),
        "task=mine: no metrics, expected at least",
    ),
}


@pytest.mark.parametrize(("task", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_task_is_refused(task: Component, message: str) -> None:
    """Before anything starts, with the name in the config."""
    with pytest.raises(ConfigError, match=message):
        task_of(replace(RUN, task=task), dataset_of(RUN))
