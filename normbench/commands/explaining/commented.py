"""The comments of a config YAML: those above its keys, and the one of each key."""

import re
from dataclasses import dataclass
from pathlib import Path

_KEY = re.compile(r"(?P<indent> *)(?P<name>\w[\w.]*):(?: +(?P<value>[^#\s]\S*(?: \S+)*?))?(?: +# ?(?P<comment>.*))?\s*")


@dataclass(frozen=True, slots=True)
class CommentedKey:
    """One key of a YAML.

    Attributes:
        name: Dotted, without the group of the file.
        default: Its value as written; empty for a section.
        comment: What its file says of it; may be empty.
    """

    name: str
    default: str
    comment: str


@dataclass(frozen=True, slots=True)
class CommentedFile:
    """A YAML with its comments.

    Attributes:
        about: The comment at its top.
        keys: In their order, without `name` and without what a defaults list chooses.
        is_global: Whether its keys are those of a whole config, not of its group.
    """

    about: str
    keys: tuple[CommentedKey, ...]
    is_global: bool


def commented(path: Path) -> CommentedFile:
    """Read the comments of a YAML. A comment on lines of its own belongs to the key below, at the top to the file."""
    text = path.read_text(encoding="utf-8", errors="replace")
    keys: list[CommentedKey] = []
    above: list[str] = []
    about: str | None = None
    sections: dict[int, str] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            above += [] if line.startswith("# @") else [line.lstrip("# ").rstrip()]
            continue
        if about is None:
            about, above = " ".join(above), []
        if found := _KEY.fullmatch(line):
            sections = {depth: name for depth, name in sections.items() if depth < len(found["indent"])}
            name = ".".join((*sections.values(), found["name"]))
            sections[len(found["indent"])] = found["name"]
            keys.append(CommentedKey(name, found["value"] or "", " ".join((*above, found["comment"] or "")).strip()))
        above = []
    own = tuple(key for key in keys if not _is_of_the_file(key))
    return CommentedFile(about or "", own, "# @package _global_" in text)


def _is_of_the_file(key: CommentedKey) -> bool:
    last = key.name.rpartition(".")[2]
    return last in ("name", "_target_", "defaults") or not (key.default or key.comment)
