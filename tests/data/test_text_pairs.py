"""The user's own pairs of texts."""

from pathlib import Path
from typing import Any

import pytest

from normbench.data.fields import Fields
from normbench.data.text_pairs import text_pairs
from normbench.errors import DataError

ARGS: dict[str, Any] = {
    **dict.fromkeys(("source", "target", "source_val", "target_val", "source_test", "target_test")),
    "unit": "word",
    "max_length": 3,
    "encoding": "utf-8",
    "vocabulary_size": None,
    "min_count": 1,
    "val_fraction": 0.2,
    "test_fraction": 0.2,
    "split_seed": 0,
}
FILES = {
    "source": "One two\ntwo\n\na b c d\n",
    "target": "Eins zwei drei\nzwei\nx\ny\n",
    "source_val": "two two\none\n",
    "target_val": "zwei\nvier\n",
    "source_test": "two\none\n",
    "target_test": "zwei\neins\n",
}


def read(folder: Path, **changes: Any) -> Fields:
    for name, content in FILES.items():
        (folder / name).write_text(content)
    return text_pairs(str(folder), **{**ARGS, **{name: name for name in FILES}, **changes})


def test_parallel_files(tmp_path: Path) -> None:
    """Numbers of words of the pairs kept; the target begins with <bos>, what is next ends with <eos>."""
    data = read(tmp_path)
    assert data.vocabularies["source"].tokens[4:] == ("two", "one")
    assert data.vocabularies["target"].tokens[4:] == ("zwei", "drei", "eins")
    assert {name: values.tolist() for name, values in data.fields.items()} == {
        "source": [[5, 4], [4, 0], [4, 4], [5, 0], [4, 0], [5, 0]],
        "source_lengths": [2, 1, 2, 1, 1, 1],
        "target": [[2, 6, 4, 5], [2, 4, 0, 0], [2, 4, 0, 0], [2, 1, 0, 0], [2, 4, 0, 0], [2, 6, 0, 0]],
        "next": [[6, 4, 5, 3], [4, 3, 0, 0], [4, 3, 0, 0], [1, 3, 0, 0], [4, 3, 0, 0], [6, 3, 0, 0]],
        "target_lengths": [4, 2, 2, 2, 2, 2],
    }
    assert (data.num_val, data.num_test) == (2, 2)


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    """One note for each kind."""
    assert [note.removeprefix(f"{tmp_path}: ") for note in read(tmp_path).notes] == [
        "6 pairs: train 2, val 2, test 2",
        "left out: 1 of 8 pairs have an empty source or target",
        "left out: 1 of 7 pairs are longer than data.max_length=3 words",
        "copies: 1 pairs of validation and test are in the training part, too",
        "source: vocabulary of 6 words from the training part",
        "target: vocabulary of 7 words from the training part; 25.00% of those of validation and test are <unk>",
    ]


def test_parts_are_drawn_once_for_all(tmp_path: Path) -> None:
    """By a seed of their own."""
    path = tmp_path / "x.tsv"
    path.write_text("".join(f"w{number} x\tv{number} y\n" for number in range(50)))
    data = text_pairs(str(path), **ARGS)
    assert (len(data), data.num_val, data.num_test) == (50, 10, 10)
    assert len(data.vocabularies["source"]) == len(data.vocabularies["target"]) == 4 + 1 + 30
    assert (data.fields["source"][30:, 0] == 1).all()
    assert text_pairs(str(path), **ARGS).content == data.content
    assert text_pairs(str(path), **{**ARGS, "split_seed": 1}).content != data.content


def test_subwords(tmp_path: Path) -> None:
    """Whether a pair is too long is seen when the subwords are known."""
    path = tmp_path / "x.tsv"
    path.write_text("ab ab\tcd\n" * 20 + "zyxwvut\tcd\n" * 5)
    data = text_pairs(str(path), **{**ARGS, "unit": "subword", "vocabulary_size": 264, "max_length": 4})
    shown = {data.vocabularies["source"].decode(row.tolist()) for row in data.fields["source"]}
    assert shown == {"ab ab"}
    assert data.input_shape[0] <= 4
    assert any("5 of 25 pairs are longer than data.max_length=4 subwords" in note for note in data.notes)


def test_a_part_of_long_pairs_alone_is_refused(tmp_path: Path) -> None:
    """The message names the key that left them out."""
    (tmp_path / "long").write_text("a b\nc d\n")
    with pytest.raises(DataError, match=r"at most data\.max_length=1 words: each part needs .* train 1, val 0, test 2"):
        read(tmp_path, max_length=1, source_val="long")


def test_pairs_of_many_subwords_alone_are_refused(tmp_path: Path) -> None:
    """Although none has many words."""
    path = tmp_path / "x.tsv"
    path.write_text("".join(f"{number:09}\tx\n" for number in range(20)))
    with pytest.raises(DataError, match=r"at most data\.max_length=1 subwords: .* got train 0, val 0, test 0"):
        text_pairs(str(path), **{**ARGS, "unit": "subword", "vocabulary_size": 260, "max_length": 1})
