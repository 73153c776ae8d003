"""Escapes names that a user chose for the place where they are shown."""

import re

MARKDOWN = re.compile(r"[\\`*\[\]~$|<>&]|(?<![^\W_])_|_(?![^\W_])")
MARKDOWN_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}

# `--`, two backticks or two quotes would join to one character; `[` or `*` after a line end would be its argument.
LATEX_SIGNS = re.compile(r"[&%$#_{}\\~^±–<>|`\"\[\]*]|-(?=-)|'(?=')")  # noqa: RUF001
LATEX = {**{sign: f"\\{sign}" for sign in "&%$#_{}"}, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
LATEX |= {"^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--", "<": r"\textless{}", ">": r"\textgreater{}"}  # noqa: RUF001
LATEX |= {"|": r"\textbar{}", "`": r"\textasciigrave{}", '"': "''", "[": "{[}", "]": "{]}", "*": "{*}"}
LATEX |= {"-": "-{}", "'": "'{}"}


def visible(text: str) -> str:
    r"""Return text on one line: line ends, escape codes and direction marks are written as escapes such as `\n`."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def markdown(text: str) -> str:
    """Return text as one cell of a Markdown table that shows it as it is."""
    return MARKDOWN.sub(lambda found: MARKDOWN_ENTITIES.get(found[0], f"\\{found[0]}"), visible(text))


def latex(text: str) -> str:
    """Return text as one cell of a LaTeX table that shows it as it is."""
    return LATEX_SIGNS.sub(lambda found: LATEX[found[0]], visible(text))
