"""Columns of text as a table: for a terminal, a README or a paper."""

from collections.abc import Callable, Sequence

from normbench.analysis import escape
from normbench.analysis.cells import require
from normbench.analysis.column import Column


def grid(columns: Sequence[Column], form: str, *, width: int, color: bool, title: str = "") -> str:
    """Return columns as a table that ends in a newline.

    Args:
        columns: Of equal length.
        form: One of `GRIDS`.
        width: Columns of the terminal, for `table`.
        color: Whether `table` may hold escape codes; without it, nothing is bold there.
        title: Stands above the columns that are no keys, in `latex`.

    Raises:
        ConfigError: The form is unknown.
    """
    require(form, GRIDS, "format")
    return GRIDS[form](columns, width, color, title)


def _terminal(columns: Sequence[Column], width: int, color: bool, _title: str) -> str:
    from normbench.analysis.terminal_grid import terminal_grid

    return terminal_grid(columns, width, color)


def _markdown(columns: Sequence[Column], _width: int, _color: bool, _title: str) -> str:
    rule = ["---:" if column.is_number else "---" for column in columns]
    head = [escape.markdown(column.header) for column in columns]
    body = _rows(columns, escape.markdown, "**{}**")
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *body))


def _latex(columns: Sequence[Column], _width: int, _color: bool, title: str) -> str:
    shape = "".join("r" if column.is_number else "l" for column in columns)
    lines = [rf"\begin{{tabular}}{{{shape}}}", r"\toprule"]
    if title:
        keys = sum(column.key for column in columns)
        over = rf"\multicolumn{{{len(columns) - keys}}}{{c}}{{{escape.latex(title)}}}"
        lines += [rf"{'& ' * keys}{over} \\", rf"\cmidrule(lr){{{keys + 1}-{len(columns)}}}"]
    lines += [" & ".join(escape.latex(column.header) for column in columns) + r" \\", r"\midrule"]
    lines += [" & ".join(line) + r" \\" for line in _rows(columns, escape.latex, r"\textbf{{{}}}")]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _rows(columns: Sequence[Column], escaped: Callable[[str], str], strong: str) -> list[list[str]]:
    """Return the body line by line: remarks in brackets, and only the number itself bold."""
    rows: list[list[str]] = []
    for place in range(len(columns[0].cells)):
        line: list[str] = []
        for column in columns:
            text, *remarks = column.cells[place].split("\n") if column.is_number else [column.cells[place]]
            shown = strong.format(escaped(text)) if column.is_bold(place) else escaped(text)
            line.append(f"{shown} ({escaped(', '.join(remarks))})" if remarks else shown)
        rows.append(line)
    return rows


GRIDS: dict[str, Callable[[Sequence[Column], int, bool, str], str]] = {
    "table": _terminal,
    "markdown": _markdown,
    "latex": _latex,
}
