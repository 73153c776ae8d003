"""Values that Hydra's grammar cannot read and that must be strings: a path with ~ or (1), a name in any script."""

import re
import shlex

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

UNREADABLE = (HydraException, ValueError)
"""Exceptions of Hydra's parser; ValueError for an integer with thousands of digits."""

_TOKEN = re.compile(
    r"""\\. | '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | \$\{[^}]+\} | [()\[\]{},'"]""", re.VERBOSE | re.DOTALL
)
"""Tokens of a value: escapes, quoted strings, interpolations, and single characters of the grammar."""

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")
_NAME = r"[A-Za-z_][\w-]*"
_CONTAINER = re.compile(rf"(\s*(?:{_NAME}\s*\(|[(\[{{]))(.*)([)\]}}]\s*)", re.DOTALL)
_NO_TEXT = re.compile(r"\s*[=(\[{]|.*\s[\w.@/+~-]+=", re.DOTALL)
"""Matches what is not a string: the start of another grammar element, or a second override inside."""


def quoted(value: str, parser: OverridesParser) -> str:
    """Return a value in Hydra's grammar with quotes around elements that must be strings.

    Such an element stands between commas or in a list. The grammar cannot read it, its brackets are closed, and it does
    not begin like a list, a dict or a function of the grammar. Everything else is unchanged, including mistakes.

    Args:
        value: The text after the `=` of an override.
        parser: The parser of overrides.
    """
    return _quoted(value, parser, inside=False)


def literal(text: str) -> str:
    """Return a quoted string that Hydra's grammar reads back unchanged."""
    return QuotedString(text=text, quote=Quote.double).with_quotes()


def to_paste(key: str, text: str) -> str:
    """Return the override that sets a key to a string, quoted for a shell."""
    return shlex.quote(f"{key}={literal(text)}")


def _quoted(value: str, parser: OverridesParser, *, inside: bool) -> str:
    elements = _elements(value)
    return value if elements is None else ",".join(_element(one, parser, inside=inside) for one in elements)


def _element(element: str, parser: OverridesParser, *, inside: bool) -> str:
    if _readable(element, parser):
        return element
    if found := _CONTAINER.fullmatch(element):
        return f"{found[1]}{_quoted(found[2], parser, inside=True)}{found[3]}"
    # A function may have named arguments: then `=` is not part of a string.
    if (inside and "=" in element) or not _only_text(element, parser):
        return element
    return literal(_ESCAPED.sub(r"\1", element.strip(" \t")))


def _only_text(element: str, parser: OverridesParser) -> bool:
    function = re.match(rf"\s*({_NAME})\s*\(", element)
    if _NO_TEXT.match(element) or (function and function[1] in parser.functions.functions):
        return False
    return not any(token[0][0] in "'\"," for token in _TOKEN.finditer(element))


def _readable(element: str, parser: OverridesParser) -> bool:
    try:
        parser.parse_override(f"x={element}")
    except HydraException:
        return False
    except ValueError:
        return True
    return True


def _elements(value: str) -> list[str] | None:
    """Return the parts between commas outside brackets; None if a bracket or quote is not closed."""
    elements: list[str] = []
    start = 0
    open_: list[str] = []
    for token in _TOKEN.finditer(value):
        text = token[0]
        if text in _CLOSING:
            open_.append(_CLOSING[text])
        elif text in _CLOSING.values():
            if not open_ or open_.pop() != text:
                return None
        elif text in ("'", '"'):
            return None
        elif text == "," and not open_:
            elements.append(value[start : token.start()])
            start = token.end()
    return None if open_ else [*elements, value[start:]]
