"""The user's text files: whole, in lines, or as tables; what cannot be read is named by its place."""

import csv
import io
import os
from pathlib import Path

from normbench.errors import DataError

TableRow = tuple[int, list[str]]
"""The number of a row's last line in its file, and its fields."""


def find(root: str | None, wanted: str) -> Path:
    """Return the path that `data.root` names.

    Args:
        root: Relative to the working directory; ~ is the user's home.
        wanted: The value that it should have, for the message, such as `FILE`.

    Raises:
        DataError: It is null, or nothing is there.
    """
    if root is None:
        raise DataError(f"the data set needs a path: data.root={wanted}")
    path = Path(os.path.expanduser(root)).resolve()
    if not path.exists():
        raise DataError(f"data.root: there is no file or folder {path}")
    return path


def read_text(path: Path, encoding: str) -> str:
    """Return the text of a file, its line ends as line feeds and without a byte order mark.

    Raises:
        DataError: The file cannot be read, is empty, or has bytes that the encoding does not know.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    try:
        text = content.decode(encoding)
    except LookupError as error:
        raise DataError(
            f"data.encoding: unknown encoding {encoding!r}, expected one such as utf-8 or latin-1"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} (0x{content[error.start]:02x}) is not {encoding}; "
            "set data.encoding to the encoding of the file, such as latin-1"
        ) from error
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text:
        raise DataError(f"{path} is empty")
    return text


def read_lines(path: Path, encoding: str) -> list[str]:
    """Return the lines of a file, which line ends alone separate.

    Raises:
        DataError: As `read_text`, or the file has no second line.
    """
    # str.splitlines would also split at characters such as U+0085, where the parallel file has none.
    lines = read_text(path, encoding).removesuffix("\n").split("\n")
    if len(lines) < 2:
        raise DataError(f"{path} has only one line")
    return lines


def read_table(path: Path, encoding: str) -> tuple[list[str], list[TableRow]]:
    """Return the header of a table and its other rows, each with the number of its last line.

    A file whose name ends in .tsv or .tab is separated by tabs and has no quotes; any other is separated by commas and
    may have fields in double quotes (RFC 4180). An empty line is a row of empty fields.

    Raises:
        DataError: As `read_lines`, or a row has not as many fields as the header.
    """
    tabs = path.suffix.lower() in (".tsv", ".tab")
    text = io.StringIO("\n".join(read_lines(path, encoding)), newline="")
    reader = csv.reader(text, csv.excel_tab, quoting=csv.QUOTE_NONE) if tabs else csv.reader(text, strict=True)
    rows: list[TableRow] = []
    try:
        header = next(reader)
        for row in reader:
            if row and len(row) != len(header):
                raise DataError(
                    f"{path}, line {reader.line_num}: got {len(row)} fields, expected {len(header)} as in the header "
                    f"({', '.join(header)})"
                )
            rows.append((reader.line_num, row or [""] * len(header)))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise DataError(f"{path} has a header and no row")
    return header, rows
