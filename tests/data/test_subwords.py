"""Byte-pair encoding by the library `tokenizers`."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench.data.vocabulary import EOS, SPECIAL, SPECIAL_OF_PAIRS, UNK, Vocabulary, learn
from normbench.errors import DataError

TEXTS = ["low lower lowest", "new newer newest", "low low new"]
LEARNT = learn(TEXTS, "subword", size=280)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_comes_back(text: str) -> None:
    """Bytes are tokens, so that no text has an unknown one; names of special tokens are text."""
    for shown in (text, f"{text}<unk>"):
        ids = LEARNT.encode(shown)
        assert (ids >= len(SPECIAL)).all()
        assert (ids < len(LEARNT)).all()
        assert LEARNT.decode(ids) == shown


def test_frequent_pairs_are_merged() -> None:
    """A space belongs to the word behind it."""
    assert len(LEARNT) <= 280
    assert LEARNT.tokens[:2] == SPECIAL
    assert [LEARNT.tokens[token] for token in LEARNT.encode("low new")] == ["low", "\u0120new"]


def test_a_rare_pair_is_not_merged() -> None:
    """If the text has none that is frequent enough, bytes are left."""
    assert len(learn(TEXTS, "subword", size=280, min_count=100)) == 256 + len(SPECIAL)


def test_special_tokens() -> None:
    """They come before the learnt ones and are no text but <unk>."""
    vocabulary = learn(TEXTS, "subword", size=280, special=SPECIAL_OF_PAIRS)
    tokens, lengths = vocabulary.encode_all(["low", "", "new low"])
    assert lengths.tolist() == [1, 0, 2]
    assert tokens.min() >= len(SPECIAL_OF_PAIRS)
    assert vocabulary.decode([2, tokens[0], UNK, tokens[1], EOS, tokens[2], 0]) == "low<unk>new"


def test_a_vocabulary_can_be_kept_as_json() -> None:
    """What comes back is equal and reads texts equally."""
    kept = Vocabulary.of_dict(json.loads(json.dumps(LEARNT.as_dict())))
    assert kept == LEARNT
    assert kept.encode("lowest!").tolist() == LEARNT.encode("lowest!").tolist()


def test_another_process_learns_the_same() -> None:
    """The content hash of a data set holds the rules."""
    code = f"from normbench.data.vocabulary import learn;print(learn({TEXTS!r}, 'subword', size=280).rules, end='')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == LEARNT.rules


@pytest.mark.parametrize("size", [None, 257])
def test_subwords_need_a_size(size: int | None) -> None:
    """There is no number of them that a text has by itself, and each byte is one."""
    with pytest.raises(DataError, match=r"needs data\.vocabulary_size.* got (null|257), expected at least 258"):
        learn(TEXTS, "subword", size=size)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the extra to install."""
    original: Callable[[str], object] = importlib.import_module

    def lacking(name: str) -> object:
        if name == "tokenizers":
            raise ModuleNotFoundError(name)
        return original(name)

    monkeypatch.setattr(importlib, "import_module", lacking)
    with pytest.raises(DataError, match=r"pip install 'normbench\[text\]'"):
        learn(TEXTS, "subword", size=280)
