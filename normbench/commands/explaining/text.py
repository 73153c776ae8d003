"""Senses of a name as text for a terminal."""

import textwrap
from collections.abc import Iterable, Iterator

from normbench.analysis.escape import visible
from normbench.commands.explaining.senses import Sense

_NARROW = 40
_INDENT = "  "


def shown(found: Iterable[Sense], width: int) -> str:
    """Return the senses one below the other, with a blank line between.

    Args:
        found: What to show.
        width: Columns of the terminal; longer texts are wrapped.
    """
    return "\n".join("".join(f"{line}\n" for line in _lines(sense, max(width, _NARROW))) for sense in found)


def _lines(sense: Sense, width: int) -> Iterator[str]:
    yield visible(sense.title)
    for label, text in sense.parts:
        first, *more = list(_paragraphs(text)) or [""]
        for paragraph in filter(None, (": ".join(filter(None, (label, first))), *more)):
            yield from textwrap.wrap(
                visible(paragraph),
                width,
                initial_indent=_INDENT,
                subsequent_indent=_INDENT * (2 if label or paragraph.startswith("- ") else 1),
                break_on_hyphens=False,
            )
    yield f"{_INDENT}try: {visible(sense.command)}"


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs and the items of a list in a docstring, each on one line, without its marks of code."""
    lines: list[str] = []
    for line in [*text.replace("`", "").splitlines(), ""]:
        if lines and (not line.strip() or line.startswith("- ")):
            yield " ".join(lines)
            lines = []
        if line.strip():
            lines.append(line.strip())
