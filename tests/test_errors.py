"""Tests of the errors that a user meets."""

import pytest

from normbench import errors
from normbench.errors import NormbenchError, nearest


@pytest.mark.parametrize("name", ["ConfigError", "ImpossibleRunError", "DataError", "StudyError"])
def test_every_error_is_of_one_tree(name: str) -> None:
    """One except clause catches them all, and a caller who knows ValueError alone does too."""
    assert issubclass(getattr(errors, name), NormbenchError)
    assert issubclass(NormbenchError, ValueError)


@pytest.mark.parametrize(
    ("name", "known", "tail"),
    [
        ("bacth", ["none", "batch"], "; did you mean 'batch'? Known: batch, none"),
        ("xyz", ["none", "batch"], ". Known: batch, none"),
        ("a", [], ". Known: "),
    ],
    ids=["near", "far", "nothing known"],
)
def test_nearest_completes_a_message(name: str, known: list[str], tail: str) -> None:
    """The nearest name is offered where there is one, and all are listed in order."""
    assert nearest(name, known) == tail
