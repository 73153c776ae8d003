"""The errors that users meet, as a class tree: the command line prints the message without a traceback."""

import difflib
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

_PACKAGE = Path(__file__).parent

_LONG = 12
"""Most names in a list of one or two lines."""


class NormbenchError(ValueError):
    """Base class: a message of one or two lines that says what is wrong, the value got and what to do."""


class ConfigError(NormbenchError):
    """The command or the config is wrong: an unknown name, a wrong type, a value out of range."""


class ImpossibleRunError(NormbenchError):
    """The parts of a run cannot be combined: an error in a single run, a skipped cell with this reason in a sweep."""


class DataError(NormbenchError):
    """A data set is missing, unreadable or unsuitable."""


class StudyError(NormbenchError):
    """A study cannot be found, read or written."""


def nearest(name: str, known: Iterable[str], command: str = "") -> str:
    """Return the end of an "unknown name" message: the nearest known name, and all names unless there are many.

    Args:
        name: The name that was given.
        known: The names that exist.
        command: The command that lists them; named instead of a long list if no name is near.

    Returns:
        Text such as ``"; did you mean 'batch'? Known: batch, group, none"``.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    if len(names) > _LONG and (close or command):
        return hint if close else f"; see `{command}`."
    return f"{hint} Known: {', '.join(names)}"


def lacks_memory(error: BaseException) -> bool:
    """Return whether numpy or torch could not get the memory for an array."""
    signs = ("allocate memory", "out of memory", "size calculation overflowed")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
    )


def described(error: BaseException) -> str:
    """Return an exception raised by the user's own code, in one line.

    Args:
        error: The caught exception.

    Returns:
        Text such as ``"KeyError: 'alpha' (my_norms.py, line 12)"``, with the innermost place in a file of the user's
        (neither normbench's nor an installed library's), if there is one.
    """
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    place = own_place(error)
    return f"{text} ({place})" if place else text


def own_place(error: BaseException) -> str:
    """Return file and line of the innermost frame of an error in the user's code; empty if there is none."""
    libraries = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_file() and not any(file.is_relative_to(folder) for folder in (_PACKAGE, *libraries)):
            return f"{frame.filename}, line {frame.lineno}"
    return ""
