"""The file of a run's texts."""

from pathlib import Path

import pytest

from normbench.errors import StudyError
from normbench.record.texts import Texts, read_texts, texts_path, write_texts

ROW = ("given\n", "é <b>\t", "")


def test_texts_come_back(tmp_path: Path) -> None:
    """Any characters, and empty texts."""
    path = texts_path(tmp_path, "abc")
    write_texts(path, "somehow", [ROW])
    assert read_texts(path) == Texts("somehow", (ROW,))


@pytest.mark.parametrize("content", ["", "[]", '{"how": "", "texts": [{"prompt": ""}]}'])
def test_a_damaged_file_is_named(content: str, tmp_path: Path) -> None:
    """With what to do."""
    path = tmp_path / "abc.json"
    path.write_text(content)
    with pytest.raises(StudyError, match=r"abc\.json is damaged"):
        read_texts(path)
