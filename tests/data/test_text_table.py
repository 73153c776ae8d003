"""Texts with classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normbench.data.fields import Fields
from normbench.data.text_table import text_table
from normbench.errors import DataError

ARGS: dict[str, Any] = {
    "text_column": "text",
    "label_column": "label",
    "split_column": None,
    "unit": "word",
    "max_length": 4,
    "encoding": "utf-8",
    "vocabulary_size": None,
    "min_count": 1,
    "val_fraction": 0.2,
    "test_fraction": 0.2,
    "split_seed": 0,
}
TABLE = """id,text,label,part
1,Good good film,pos,train
2,"bad, bad",neg,train
3,,neg,train
4,Good,pos,val
5,a very bad film indeed,neg,val
6,superb film,pos,test

7,   ,neg,test
8,"bad, bad",neg,test
"""


def read(folder: Path, content: str = TABLE, **changes: Any) -> Fields:
    path = folder / "x.csv"
    path.write_text(content)
    return text_table(str(path), **{**ARGS, **changes})


def test_a_table_with_parts(tmp_path: Path) -> None:
    """Numbers of words of the training part, padded; unknown words are <unk>, what is too long is cut."""
    data = read(tmp_path, split_column="part")
    assert data.vocabularies["sequence"].tokens == ("<pad>", "<unk>", "bad", "good", ",", "film")
    assert data.fields["sequence"].tolist() == [
        [3, 3, 5, 0],
        [2, 4, 2, 0],
        [3, 0, 0, 0],
        [1, 1, 2, 5],
        [1, 5, 0, 0],
        [2, 4, 2, 0],
    ]
    assert data.fields["lengths"].tolist() == [3, 3, 1, 4, 2, 3]
    assert data.fields["labels"].tolist() == [1, 0, 1, 0, 1, 0]
    assert (data.num_val, data.num_test, data.class_names, data.label) == (2, 2, ("neg", "pos"), "labels")


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    """One note for each kind."""
    notes = [note.removeprefix(f"{tmp_path / 'x.csv'}: ") for note in read(tmp_path, split_column="part").notes]
    assert notes == [
        "6 texts (neg 3, pos 3); train 2, val 2, test 2",
        "left out: 3 of 9 rows have no text in text",
        "cut off: 1 of 6 texts are longer than data.max_length=4 words",
        "copies: 1 texts of validation and test are in the training part, too",
        "vocabulary of 6 words from the training part; 30.00% of those of validation and test are <unk>",
    ]


def many(count: int) -> str:
    return "text,label\n" + "".join(f"word{number} common,{'ab'[number % 2]}\n" for number in range(count))


def test_parts_are_drawn_once_for_all(tmp_path: Path) -> None:
    """In proportion to the classes, by a seed of their own; the vocabulary has no word of the others."""
    data = read(tmp_path, many(100))
    assert (data.num_val, data.num_test) == (20, 20)
    labels = data.fields["labels"].numpy()
    for part in (slice(0, 60), slice(60, 80), slice(80, 100)):
        assert np.ptp(np.bincount(labels[part])) == 0
    assert len(data.vocabularies["sequence"]) == 2 + 1 + 60
    assert (data.fields["sequence"][60:, 0] == 1).all()
    assert read(tmp_path, many(100)).content == data.content != read(tmp_path, many(100), split_seed=1).content


def test_sequences_are_as_long_as_the_longest(tmp_path: Path) -> None:
    """If none is too long."""
    assert read(tmp_path, max_length=50, split_column="part").input_shape == (5,)


def test_other_units(tmp_path: Path) -> None:
    """Characters and subwords come back as they were."""
    for unit, size in (("character", None), ("subword", 300)):
        data = read(tmp_path, unit=unit, vocabulary_size=size, max_length=50, split_column="part")
        ids = data.fields["sequence"][0, : data.fields["lengths"][0]].tolist()
        assert data.vocabularies["sequence"].decode(ids) == "Good good film"


def test_tabs(tmp_path: Path) -> None:
    """A quote is a token like another."""
    path = tmp_path / "x.tsv"
    path.write_text("text\tlabel\n" + '"a b\tx\nc d\ty\n' * 10)
    data = text_table(str(path), **ARGS)
    assert '"' in data.vocabularies["sequence"].tokens


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "text column": (
        TABLE,
        {"text_column": "review"},
        r"data\.text_column: .*x\.csv has no column 'review'; it has id, t",
    ),
    "label column": (
        TABLE,
        {"label_column": "class"},
        r"data\.label_column: .* has no column 'class'; it has id, text, l",
    ),
    "split column": (
        TABLE,
        {"split_column": "fold"},
        r"data\.split_column: .* has no column 'fold'; it has id, text, l",
    ),
    "split value": (TABLE, {"split_column": "id"}, r"line 2: got '1' in id, expected train, val, test"),
    "one class": ("text,label\na,x\nb,x\n", {}, "column label needs two classes or more, got only 'x'"),
    "no text": ("text,label\n,x\n,y\n", {}, "column label needs two classes or more, got none, as no row has a text"),
    "no class": ("text,label\na,x\nb,\n", {}, "line 3: no class in label"),
    "few": ("text,label\na,x\nb,y\n", {}, "each part needs a sample, got train 2, val 0, test 0"),
    "one word": ("text,label\n" + "a,x\na,y\n" * 10, {}, "needs two different words, the training part has only 'a'"),
    "one line": ("text,label\n", {}, "has only one line"),
}


@pytest.mark.parametrize(("content", "changes", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_learnt_is_refused(tmp_path: Path, content: str, changes: dict[str, Any], message: str) -> None:
    """The message says what was got."""
    with pytest.raises(DataError, match=message):
        read(tmp_path, content, **changes)
