"""Reading the user's text files, and what is said of those that cannot be read."""

import re
from pathlib import Path

import pytest

from normbench.data.text_files import find, read_lines, read_table, read_text
from normbench.errors import DataError


def write(folder: Path, content: bytes, name: str = "x.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_line_ends_and_a_byte_order_mark_are_no_text(tmp_path: Path) -> None:
    """The same text has the same hash on every system."""
    assert read_text(write(tmp_path, b"\xef\xbb\xbfa\r\nb\rc\n"), "utf-8") == "a\nb\nc\n"


def test_line_ends_alone_separate_lines(tmp_path: Path) -> None:
    """Other characters that Python splits at are text: a parallel file need not have them. Empty lines are lines."""
    path = write(tmp_path, "a\x85b\u2028c\x0cd\n\ne\n".encode())
    assert read_lines(path, "utf-8") == ["a\x85b\u2028c\x0cd", "", "e"]


def test_other_encodings(tmp_path: Path) -> None:
    """As `data.encoding` says."""
    assert read_text(write(tmp_path, b"caf\xe9"), "latin-1") == "caf\u00e9"


def test_a_table_with_commas_has_quotes(tmp_path: Path) -> None:
    """A text may have commas, quotes and line ends; each row comes with the number of its last line."""
    path = write(tmp_path, b'text,label\n"a, ""b""\nc",x\n\nd,y\n')
    assert read_table(path, "utf-8") == (["text", "label"], [(3, ['a, "b"\nc', "x"]), (4, ["", ""]), (5, ["d", "y"])])


def test_a_table_with_tabs_has_none(tmp_path: Path) -> None:
    """A quote is text there."""
    path = write(tmp_path, b'text\tlabel\n"a, b\tx\n', "x.TSV")
    assert read_table(path, "utf-8")[1] == [(2, ['"a, b', "x"])]


UNREADABLE: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "utf-8", "x.csv is empty"),
    "a mark alone": (b"\xef\xbb\xbf", "utf-8", "x.csv is empty"),
    "one line": (b"text,label\n", "utf-8", "x.csv has only one line"),
    "bytes": (b"ab\xe9,c\n", "utf-8", r"x.csv: byte 2 \(0xe9\) is not utf-8; set data.encoding to .* latin-1"),
    "encoding": (b"a", "utf-9", "data.encoding: unknown encoding 'utf-9', expected one such as utf-8"),
    "fields": (b"a,b\n1,2\n1,2,3\n", "utf-8", r"x.csv, line 3: got 3 fields, expected 2 as in the header \(a, b\)"),
    "quote": (b'a,b\n"x"y,2\n', "utf-8", "x.csv, line 2: ',' expected after '\"'"),
}


@pytest.mark.parametrize(("content", "encoding", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: bytes, encoding: str, message: str) -> None:
    """With its place in the file."""
    with pytest.raises(DataError, match=message):
        read_table(write(tmp_path, content), encoding)


def test_a_path_has_to_be_given() -> None:
    """The message says of what kind."""
    with pytest.raises(DataError, match=r"needs a path: data\.root=FILE\.csv"):
        find(None, "FILE.csv")


def test_a_path_has_to_exist(tmp_path: Path) -> None:
    """The message gives it in full."""
    with pytest.raises(DataError, match=re.escape(f"data.root: there is no file or folder {tmp_path / 'x'}")):
        find(str(tmp_path / "x"), "FILE")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """What the system says is passed on."""
    with pytest.raises(DataError, match=re.escape(f"cannot read {tmp_path}: Is a directory")):
        read_text(tmp_path, "utf-8")
