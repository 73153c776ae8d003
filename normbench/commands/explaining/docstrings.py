"""The docstring behind a name of a registry, found in the source: to import it would take torch."""

import ast
from pathlib import Path

_PACKAGE = Path(__file__).parents[2]

REGISTRIES = {
    "norm": "norms/__init__.py",
    "model": "models/registry.py",
    "task": "tasks/__init__.py",
    "data": "data/__init__.py",
    "probe": "training/probing/__init__.py",
}
"""The file of each registry: a dict from names to classes or functions."""

_MOST_SOURCES = 3
"""Most modules that an object is followed through."""


def docstring(kind: str, name: str) -> str:
    """Return the docstring of a shipped choice; empty if it has none.

    Args:
        kind: A key of `REGISTRIES`.
        name: A key of that registry.
    """
    path = _PACKAGE / REGISTRIES[kind]
    tree = _parsed(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == name:
                    return _followed(tree, _named(value), _MOST_SOURCES)
    return ""


def without_sections(text: str) -> str:
    """Return a docstring up to its first section, such as Args."""
    lines = text.splitlines()
    ends = [place for place, line in enumerate(lines) if line in ("Args:", "Attributes:", "Returns:", "Shape:")]
    return "\n".join(lines[: min(ends, default=len(lines))]).strip()


def section(text: str, name: str) -> str:
    """Return a section of a docstring on one line, such as Returns; empty if it has none."""
    _, _, after = text.partition(f"\n{name}:\n")
    own = after.partition("\n\n")[0]
    return " ".join(own.split())


def _named(value: ast.expr) -> str:
    """Return the dotted name of an entry: `GroupNorm`, `digits.digits`, or what `Probe(gradients, ...)` measures."""
    return ast.unparse(value.args[0] if isinstance(value, ast.Call) else value)


def _followed(tree: ast.Module, dotted: str, most: int) -> str:
    """Return the docstring of an object that a module defines or imports."""
    first, _, rest = dotted.partition(".")
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == dotted:
            return ast.get_docstring(node) or ""
        if isinstance(node, ast.FunctionDef) and node.name == dotted:
            return _with_what_it_returns(tree, node)
        if isinstance(node, ast.ImportFrom) and node.module is not None and most:
            for alias in node.names:
                if (alias.asname or alias.name) == first:
                    module = f"{node.module}.{alias.name}" if rest else node.module
                    path = _PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
                    return _followed(_parsed(path), rest or alias.name, most - 1)
    return ""


def _with_what_it_returns(tree: ast.Module, function: ast.FunctionDef) -> str:
    """Return a function's docstring; if it makes a class of the same module, the class's instead of its first line."""
    own = ast.get_docstring(function) or ""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and isinstance(made := function.returns, ast.Name) and node.name == made.id:
            more = without_sections(own).partition("\n\n")[2]
            return "\n\n".join(filter(None, (more, ast.get_docstring(node))))
    return own


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
