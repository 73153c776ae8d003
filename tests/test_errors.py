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
        ("bacth", [*"abcdefghijk", "batch"], f"; did you mean 'batch'? Known: a, b, batch, {', '.join('cdefghijk')}"),
        ("bacth", [*"abcdefghijkl", "batch"], "; did you mean 'batch'?"),
        ("xyz", "abcdefghijklm", f". Known: {', '.join('abcdefghijklm')}"),
    ],
    ids=["near", "far", "nothing known", "near one of twelve", "near one of many", "far from many"],
)
def test_nearest_completes_a_message(name: str, known: list[str], tail: str) -> None:
    """The nearest name is offered where there is one, and all are listed in order."""
    assert nearest(name, known) == tail


def test_a_command_stands_for_a_long_list() -> None:
    """Where nothing is near, the command that shows them takes the place of thirteen names, but not of two."""
    command = "normbench claims list"
    assert nearest("xyz", "abcdefghijklm", command) == "; see `normbench claims list`."
    assert nearest("xyz", "ab", command) == ". Known: a, b"
