"""Hashes of the user's own files that a run uses, source and weights: an edited file has another hash."""

import ast
import hashlib
import importlib.util
import inspect
import linecache
import pkgutil
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType

from normbench.errors import ConfigError

MAIN = "__main__."
"""Start of the dotted path of objects defined in the user's script or notebook."""


def source_hash(target: str) -> str:
    """Return the SHA-256 of the source of `target`, a dotted path: of its file, or of its text in a notebook.

    Raises:
        ConfigError: If no module of that path has source code.
    """
    if target.startswith(MAIN):
        return _hash_in_main(target)
    parts = target.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.util.find_spec(".".join(parts[:length]))
        except (ImportError, ValueError):
            continue
        if found is not None and found.origin is not None and Path(found.origin).is_file():
            return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()
    raise ConfigError(f"_target_={target}: no module of that name can be imported from here.")


def _hash_in_main(target: str) -> str:
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is not None and Path(file).is_file():
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    # The outermost class or function contains everything nested in it.
    name = target.split(".")[1]
    for text in _typed(pkgutil.resolve_name(f"__main__:{name}")):
        return hashlib.sha256(_definition(text, name).encode()).hexdigest()
    raise ConfigError(
        f"_target_={target}: Python does not keep its source, which a run_id needs; define it in a .py file."
    )


def _typed(own: object) -> Iterator[str]:
    """Yield the text, typed at a prompt or in a cell, that contains each piece of code of a class or function."""
    parts = [own, *vars(own).values()] if inspect.isclass(own) else [own]
    for part in parts:
        code = getattr(inspect.unwrap(part) if callable(part) else part, "__code__", None)
        if isinstance(code, CodeType) and (lines := linecache.getlines(code.co_filename)):
            yield "".join(lines)


def _definition(text: str, name: str) -> str:
    """Return the last definition of a name in a cell, with decorators; the whole cell if it cannot be found."""
    try:
        found = [node for node in ast.parse(text).body if getattr(node, "name", None) == name]
    except SyntaxError:
        return text
    if not found or not isinstance(own := found[-1], ast.ClassDef | ast.FunctionDef):
        return text
    first = min(node.lineno for node in (own, *own.decorator_list))
    return "\n".join(text.splitlines()[first - 1 : own.end_lineno])


def file_hash(path: str, key: str) -> str:
    """Return the SHA-256 of a file that a run uses.

    Args:
        path: The file.
        key: The key that names it, for the message.

    Raises:
        ConfigError: If the file does not exist.
    """
    try:
        state = Path(path).stat()
        return _file_hash(str(Path(path).absolute()), state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise ConfigError(f"{key}={path}: {error.strerror}.") from error


@lru_cache
def _file_hash(path: str, _changed: int, _size: int) -> str:
    """Hash a file once for all runs of a sweep, and again after a change."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
