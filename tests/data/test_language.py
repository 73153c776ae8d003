"""Text for a language model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Command

from normbench.data import load, split
from normbench.data.fields import Fields
from normbench.data.language import pydoc_topics, text
from normbench.errors import DataError

ARGS: dict[str, Any] = {
    "unit": "character",
    "length": 3,
    "encoding": "utf-8",
    "vocabulary_size": None,
    "min_count": 1,
    "val_fraction": 0.25,
    "test_fraction": 0.25,
}


def write(folder: Path, content: str, name: str = "x.txt") -> str:
    path = folder / name
    path.write_bytes(content.encode())
    return str(path)


def shown(data: Fields, field: str) -> list[str]:
    return [data.vocabularies["sequence"].decode(row.tolist()) for row in data.fields[field]]


def test_windows_follow_one_another(tmp_path: Path) -> None:
    """Training, validation and test part in the order of the text; no window, not even what is next, is in two."""
    data = text(write(tmp_path, "abcdefgh" + "abca" + "hgfe"), **ARGS)
    assert shown(data, "sequence") == ["abc", "def", "abc", "hgf"]
    assert shown(data, "next") == ["bcd", "efg", "bca", "gfe"]
    assert (data.num_val, data.num_test, len(data)) == (1, 1, 4)
    assert data.notes[0].endswith("x.txt: windows of 3 characters: training 2, validation 1, test 1")
    assert data.notes[1].endswith("x.txt: vocabulary of 10 characters from the training part")


def test_what_only_the_test_has_is_unknown(tmp_path: Path) -> None:
    """The vocabulary comes from the training part alone, and a note says how much it lacks."""
    data = text(write(tmp_path, "abcdefgh" + "abca" + "hxyz"), **ARGS)
    assert shown(data, "next")[-1] == "<unk><unk><unk>"
    assert data.notes[1].endswith("; 50.00% of those of validation and test are <unk>")


def test_words_are_not_cut(tmp_path: Path) -> None:
    """A part ends at the end of a word."""
    args = {**ARGS, "unit": "word", "length": 1}
    data = text(write(tmp_path, "one two three four five-\nsix seven eight nine"), **args)
    assert shown(data, "next") == ["two", "three", "four", "five", "-", "<unk>", "<unk>"]
    assert (data.num_val, data.num_test) == (1, 1)


def test_subwords(tmp_path: Path) -> None:
    """Of the training part; nothing is unknown."""
    args = {**ARGS, "unit": "subword", "vocabulary_size": 300}
    data = text(write(tmp_path, "the cat sat on the mat. " * 40), **args)
    assert "".join(shown(data, "sequence")).startswith("the cat sat on the mat. the cat")
    assert len(data.vocabularies["sequence"]) <= 300


def test_a_folder_is_joined_by_name(tmp_path: Path) -> None:
    """Files *.txt alone, with a line feed between them."""
    for name, content in (("b.txt", "efghabca"), ("a.txt", "abcd"), ("c.md", "no")):
        write(tmp_path, content, name)
    args = {**ARGS, "length": 2}
    whole = text(str(tmp_path), **args)
    (tmp_path / "one").mkdir()
    assert whole.content == text(write(tmp_path / "one", "abcd\nefghabca"), **args).content


def test_the_parts_are_the_same_for_every_seed(tmp_path: Path) -> None:
    """A run's seed divides nothing."""
    data = text(write(tmp_path, "abcdefgh" * 20), **ARGS)
    parts = [split(data, seed=seed, val_fraction=0.25, test_fraction=0.25) for seed in (0, 1)]
    assert torch.equal(parts[0].train, parts[1].train)
    assert len(parts[0].test) == data.num_test


def test_the_hash_is_of_text_and_vocabulary(tmp_path: Path) -> None:
    """The same on a second load and in another folder; another letter for the same number makes another text."""
    (tmp_path / "b").mkdir()
    first = text(write(tmp_path, "abcdefgh" * 20), **ARGS).content
    assert text(write(tmp_path / "b", "abcdefgh" * 20), **ARGS).content == first
    assert text(write(tmp_path, "abcdefgi" * 20), **ARGS).content != first


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "short": (
        "abcdefghijkl",
        {},
        r"each part needs 4 characters, one more than data\.length, got training 6, validation 3, test 3; lower",
    ),
    "one symbol": ("a" * 50, {}, "needs two different characters, the training part has only 'a'"),
    "fractions": ("abcd" * 9, {"val_fraction": 0.8}, r"data\.val_fraction=0\.8 and data\.test_fraction=0\.25 leave"),
    "length": ("abcd" * 9, {"length": 0}, r"data\.length must be at least 1, got 0"),
    "empty": ("", {}, r"x\.txt is empty"),
    "blank words": (" " * 50, {"unit": "word"}, "two different words, the training part has none"),
}


@pytest.mark.parametrize(("content", "changes", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_text_for_a_model_is_refused(
    tmp_path: Path, content: str, changes: dict[str, Any], message: str
) -> None:
    """The message says what was got."""
    with pytest.raises(DataError, match=message):
        text(write(tmp_path, content), **{**ARGS, **changes})


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    """Other files do not count."""
    write(tmp_path, "abc", "x.md")
    with pytest.raises(DataError, match=r"has no files \*\.txt"):
        text(str(tmp_path), **ARGS)


def test_the_command_ends_before_anything_starts(tmp_path: Path, normbench: Command) -> None:
    """Exit code 2, one line and no study."""
    (tmp_path / "x.txt").write_bytes(b"caf\xe9")
    result = normbench("train", "data=text", "data.root=x.txt")
    assert result.code == 2
    assert "byte 3 (0xe9) is not utf-8; set data.encoding" in result.err
    assert not (tmp_path / "results").exists()


def test_help_texts_of_python() -> None:
    """English, printable, from every topic, and the same on a second load."""
    data = pydoc_topics(64, 0.1, 0.1)
    assert len(data) > 5000
    assert abs(data.num_val / len(data) - 0.1) < 0.01
    assert 'The "assert" statement' in "".join(shown(data, "sequence")[:100])
    again = load("pydoc_topics", {"length": 64, "val_fraction": 0.1, "test_fraction": 0.1, "limit": 100})
    assert again.content == data.content
    assert (len(again), again.num_val, again.num_test) == (300, 100, 100)
    assert isinstance(again, Fields)
    assert again.vocabularies == data.vocabularies
