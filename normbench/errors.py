"""The errors a user may meet, as a tree: the command line prints their message and no traceback."""

import difflib
from collections.abc import Iterable


class NormbenchError(ValueError):
    """Root of the tree: a message of one or two lines that says what is wrong, the value got and what to do."""


class ConfigError(NormbenchError):
    """The command or the config is wrong: an unknown name, a wrong type, a value out of range."""


class ImpossibleRunError(NormbenchError):
    """The parts of a run cannot go together: an error in a single run, a skipped cell with this reason in a sweep."""


class DataError(NormbenchError):
    """A data set is missing, unreadable or unfit."""


class StudyError(NormbenchError):
    """A study cannot be found, read or written."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the tail of an "unknown name" message: the nearest known name and the list of all.

    Args:
        name: The name that was given.
        known: The names that exist.

    Returns:
        Text such as ``"; did you mean 'batch'? Known: batch, group, none"``.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"{hint} Known: {', '.join(names)}"
