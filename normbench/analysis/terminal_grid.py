"""A table in a terminal: headers break first, then text; then intervals move below, then it is split."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from rich import box
from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from normbench.analysis.column import Column
from normbench.analysis.escape import visible

LONGEST = 200
"""Characters of a text that are shown; CSV, Markdown and LaTeX have all."""

UNBROKEN = 24
"""Characters that stay together if a text has no place to break."""


def terminal_grid(columns: Sequence[Column], width: int, color: bool) -> str:
    """Return a table for a terminal, wider than it only if a number would have to be cut.

    Args:
        columns: What to show.
        width: Columns of the terminal.
        color: Whether escape codes may be written.
    """
    shown = [_shortened(column) for column in columns]
    if _least(shown) > width:
        shown = [_above_intervals(column) for column in shown]
    return "\n".join(_part(part, width, color) for part in _parts(shown, width))


def _part(columns: Sequence[Column], width: int, color: bool) -> str:
    headers, widths = _layout(columns, width)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for header, column, room in zip(headers, columns, widths, strict=True):
        side: Literal["left", "right"] = "right" if column.is_number else "left"
        table.add_column(Text(header), justify=side, width=room)
    for place in range(len(columns[0].cells)):
        row = zip(columns, widths, strict=True)
        table.add_row(*(_cell(column, place, room) for column, room in row))
    colors: Literal["standard"] | None = "standard" if color else None
    console = Console(width=max(width, sum(widths) + 2 * len(widths)), force_terminal=color, color_system=colors)
    with console.capture() as capture:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def _cell(column: Column, place: int, room: int) -> Text:
    text = column.cells[place]
    return Text(text if column.is_number else _broken(text, room), style="bold" if column.is_bold(place) else "")


def _parts(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Return the columns in parts that fit, each with the keys before it; one without keys or breaks stays whole."""
    keys = [column for column in columns if column.key]
    may_part = any(column.key or column.breaks for column in columns)
    parts: list[list[Column]] = [[*keys]]
    for column in columns:
        if column.key:
            continue
        if may_part and len(parts[-1]) > len(keys) and _least([*parts[-1], column]) > width:
            parts.append([*keys])
        parts[-1].append(column)
    return parts


def _shortened(column: Column) -> Column:
    cells = [cell if column.is_number else _cut(visible(cell)) for cell in column.cells]
    return replace(column, header=_cut(visible(column.header)), cells=cells)


def _cut(text: str) -> str:
    return text if cell_len(text) <= LONGEST else set_cell_size(text, LONGEST - 1).rstrip() + "…"


def _above_intervals(column: Column) -> Column:
    if not column.breaks:
        return column
    return replace(column, cells=[re.sub(r" (?=± |\[)", "\n", cell, count=1) for cell in column.cells])


def _layout(columns: Sequence[Column], width: int) -> tuple[list[str], list[int]]:
    """Return headers and column widths: unchanged if they fit, else with headers broken, then text wrapped."""
    cells = [max((_widest(cell) for cell in column.cells), default=0) for column in columns]
    headers = [column.header for column in columns]
    gaps = 2 * (len(columns) - 1)
    widths = [max(cell, cell_len(header)) for cell, header in zip(cells, headers, strict=True)]
    if sum(widths) + gaps > width:
        headers = [_broken(header, cell) for header, cell in zip(headers, cells, strict=True)]
        widths = [max(cell, _widest(header)) for cell, header in zip(cells, headers, strict=True)]
    floors = [max(_narrowest(column), _widest(header)) for column, header in zip(columns, headers, strict=True)]
    while sum(widths) + gaps > width:
        wide = [place for place, floor in enumerate(floors) if widths[place] > floor]
        if not wide:
            break
        widths[max(wide, key=lambda place: widths[place])] -= 1
    return headers, widths


def _least(columns: Sequence[Column]) -> int:
    """Return the smallest width that the columns need."""
    floors = [max(_narrowest(column), _widest(_broken(column.header, _narrowest(column)))) for column in columns]
    return sum(floors) + 2 * (len(columns) - 1)


def _narrowest(column: Column) -> int:
    """Return how narrow a column may become below its header: text breaks between its pieces, a number never."""
    cells = column.cells if column.is_number else [_broken(cell, 0) for cell in column.cells]
    return max(map(_widest, cells), default=0)


def _widest(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _broken(text: str, room: int) -> str:
    """Return text in lines of at most `room` characters if breaks after dots, underscores, dashes and spaces allow."""
    lines = [""]
    for word in re.split(r"(?<=[_ =])|(?<=[.-])(?!\d)", text):
        for piece in chop_cells(word, max(room, UNBROKEN)) if cell_len(word) > max(room, UNBROKEN) else [word]:
            if lines[-1] and cell_len(lines[-1] + piece.rstrip()) > room:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)
