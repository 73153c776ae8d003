"""Vocabularies of characters and words; those of subwords are in test_subwords.py."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench.data.vocabulary import BOS, EOS, PAD, SPECIAL, SPECIAL_OF_PAIRS, UNK, Vocabulary, learn, words_of
from normbench.errors import DataError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def test_tokens_are_in_the_order_of_their_counts() -> None:
    """Then in that of the alphabet, after the special ones."""
    assert learn(["banana", "cb"], "character").tokens == (*SPECIAL, "a", "b", "n", "c")
    words = learn(["The cat, the dog."], "word", special=SPECIAL_OF_PAIRS)
    assert words.tokens == (*SPECIAL_OF_PAIRS, "the", ",", ".", "cat", "dog")


def test_a_text_becomes_numbers() -> None:
    """What the vocabulary lacks is <unk>."""
    vocabulary = learn(["banana", "cb"], "character")
    assert vocabulary.encode("nab!").tolist() == [4, 2, 3, UNK]
    tokens, lengths = vocabulary.encode_all(["", "ab", "", "c"])
    assert (tokens.tolist(), lengths.tolist()) == ([2, 3, 5], [0, 2, 0, 1])
    assert tokens.dtype == lengths.dtype == np.int64


def test_words_are_lower_case_without_spaces() -> None:
    """A word keeps an apostrophe inside; other characters stand for themselves."""
    text = " Don't  stop:\n\u201cl\u2019\u00c9t\u00e9\u201d <unk> x_1 3.5"
    expected = ["don't", "stop", ":", "\u201c", "l\u2019\u00e9t\u00e9", "\u201d", "<", "unk", ">", "x_1", "3", ".", "5"]
    assert words_of(text) == expected


@settings(deadline=None)
@given(TEXT)
def test_characters_come_back(text: str) -> None:
    """A text of known characters is decoded as it was."""
    vocabulary = learn([text, "ab"], "character")
    assert vocabulary.decode(vocabulary.encode(text)) == text


@settings(deadline=None)
@given(TEXT)
def test_unknown_characters_are_seen(text: str) -> None:
    """In their places."""
    vocabulary = learn(["ab"], "character")
    shown = "".join(letter if letter in "ab" else "<unk>" for letter in text)
    assert vocabulary.decode(vocabulary.encode(text)) == shown


@settings(deadline=None)
@given(TEXT)
def test_words_come_back(text: str) -> None:
    """With one space between them; each is one word, and no special token."""
    vocabulary = learn([text, "a b"], "word")
    ids = vocabulary.encode(text)
    assert (ids >= len(SPECIAL)).all()
    assert vocabulary.decode(ids) == " ".join(words_of(text))


def test_what_ends_a_sequence_is_not_shown() -> None:
    """A generated sentence ends with <eos>; padding and <bos> are no text."""
    vocabulary = learn(["a b c"], "word", special=SPECIAL_OF_PAIRS)
    assert vocabulary.decode([BOS, 4, 6, UNK, EOS, 5, PAD]) == "a c <unk>"
    assert learn(["abc"], "character").decode([2, 3, PAD, 4]) == "abc"


def test_rare_tokens_are_left_out() -> None:
    """By count, or because there are more than the vocabulary may have, special ones included."""
    assert learn(["aabbcd"], "character", min_count=2).tokens == (*SPECIAL, "a", "b")
    assert learn(["aabbcd"], "character", size=5).tokens == (*SPECIAL, "a", "b", "c")


@pytest.mark.parametrize("unit", ["character", "word"])
def test_a_vocabulary_can_be_kept_as_json(unit: str) -> None:
    """What comes back is equal and reads texts equally."""
    vocabulary = learn(["a b a \u00e9"], unit)
    kept = Vocabulary.of_dict(json.loads(json.dumps(vocabulary.as_dict())))
    assert kept == vocabulary
    assert kept.encode("b a").tolist() == vocabulary.encode("b a").tolist()


def test_a_vocabulary_of_one_is_refused() -> None:
    """There would be nothing to tell apart."""
    with pytest.raises(DataError, match="needs two different characters, the training part has only 'a'"):
        learn(["aaa"], "character")


def test_rare_words_alone_are_refused() -> None:
    """The message names the key that left them out."""
    with pytest.raises(DataError, match=r"words that are in it 2 times or more \(data\.min_count\), .* has none"):
        learn(["a b c"], "word", min_count=2)


def test_too_small_a_size_is_refused() -> None:
    """The special tokens count."""
    with pytest.raises(DataError, match=r"data\.vocabulary_size: got 5, expected at least 6, 4 of them special"):
        learn(["a b c"], "word", size=5, special=SPECIAL_OF_PAIRS)


def test_an_unknown_unit_is_refused() -> None:
    """The nearest one is named."""
    with pytest.raises(DataError, match=r"data\.unit: unknown value 'words'; did you mean 'word'"):
        learn(["a b c"], "words")
