"""The available choices and their descriptions, read from files: needs neither torch nor Hydra."""

import ast
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from normbench.analysis.escape import visible
from normbench.config.shipped import shipped_conf
from normbench.errors import ConfigError

GROUPS: Mapping[str, str] = {
    "tasks": "task",
    "norms": "norm",
    "models": "model",
    "data": "data",
    "optimizers": "optimizer",
    "schedules": "schedule",
    "engines": "engine",
    "experiments": "experiment",
}
"""Folder under conf/ of each kind that a YAML defines."""

LISTED = (*GROUPS, "probes", "claims")
"""The kinds that `normbench list` knows."""

_NARROW = 20


@dataclass(frozen=True, slots=True)
class Choice:
    """One available choice.

    Attributes:
        name: As typed by the user: the file's name.
        about: One line of description; empty if its file has none.
        source: The user's folder that it comes from; empty if normbench ships it.
    """

    name: str
    about: str
    source: str = ""


def option_files(group: str, config_dir: Path | None = None) -> dict[str, Path]:
    """Return the YAML of each option of a config group, sorted by name; the user's own override.

    Args:
        group: Such as `norm` or `claim`.
        config_dir: A user's own conf folder.
    """
    folders = [shipped_conf(), *([] if config_dir is None else [config_dir])]
    found = {path.stem: path for folder in folders for path in (folder / group).glob("*.yaml")}
    return dict(sorted(found.items()))


def choices(kind: str, config_dir: Path | None = None) -> list[Choice]:
    """Return the choices of one kind.

    Args:
        kind: One of `LISTED` except claims, which have their own table.
        config_dir: A user's own conf folder.

    Raises:
        ConfigError: If `config_dir` is not a folder.
    """
    require_folder(config_dir)
    if kind == "probes":
        return [Choice(path.stem, _first_docstring_line(path)) for path in probe_files()]
    shipped = shipped_conf()
    return [
        Choice(name, _first_comment(path), "" if path.is_relative_to(shipped) else str(config_dir))
        for name, path in option_files(GROUPS[kind], config_dir).items()
    ]


def require_folder(config_dir: Path | None) -> None:
    """Raise if the user's own conf folder is given and is none.

    Raises:
        ConfigError: If so.
    """
    if config_dir is not None and not config_dir.is_dir():
        raise ConfigError(f"--config-dir: no folder at {config_dir.absolute()}.")


def kinds(config_dir: Path | None = None) -> list[Choice]:
    """Return every kind with its number of choices."""
    counts = {kind: len(option_files(group, config_dir)) for kind, group in (*GROUPS.items(), ("claims", "claim"))}
    counts["probes"] = len(probe_files())
    return [Choice(kind, f"{counts[kind]}: normbench list {kind}") for kind in LISTED]


def probe_files() -> list[Path]:
    """Return the module of each probe: one that defines a function with the module's name."""
    folder = Path(__file__).parent.parent / "training" / "probing"
    paths = sorted(folder.glob("*.py"))
    return [path for path in paths if f"\ndef {path.stem}(" in path.read_text(encoding="utf-8")]


def choices_table(found: Iterable[Choice], width: int) -> str:
    """Return one line per choice: its name and description.

    Args:
        found: What to show.
        width: Columns of the terminal; longer texts are wrapped.
    """
    rows = [(visible(choice.name), visible(_told(choice))) for choice in found]
    room = max((len(name) for name, _ in rows), default=0)
    lines: list[str] = []
    for name, about in rows:
        own = textwrap.wrap(about, max(width - room - 2, _NARROW)) or [""]
        lines += [f"{name if place == 0 else '':<{room}}  {text}".rstrip() for place, text in enumerate(own)]
    return "".join(f"{line}\n" for line in lines)


def _told(choice: Choice) -> str:
    return " ".join(filter(None, [choice.about, f"(from {choice.source})" if choice.source else ""]))


def _first_comment(path: Path) -> str:
    """Return the first comment of a YAML, or its `_target_` if there is no comment above its keys."""
    text = path.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        if line.startswith("#") and not line.startswith("# @"):
            return line.lstrip("# ").strip()
        if line.strip() and not line.startswith("#"):
            break
    target = re.search(r"^_target_:\s*(\S+)", text, re.MULTILINE)
    return target[1] if target else ""


def _first_docstring_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
