"""Standard output and error that can print any text, whatever their encoding."""

import codecs
import io
import sys

_IN_ASCII = {"±": "+-", "\N{EN DASH}": "-", "\N{MINUS SIGN}": "-", "─": "-", "…": "...", "→": "->", "∞": "inf"}
"""The non-ASCII characters of tables and messages, and their replacements."""


def show_anything() -> None:
    """Let both streams write what their encoding lacks in ASCII: `±` as `+-`, others as escapes such as `\\xe9`."""
    codecs.register_error("normbench", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="normbench")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(
        _IN_ASCII.get(sign, sign.encode("ascii", "backslashreplace").decode()) for sign in lacking
    ), error.end
