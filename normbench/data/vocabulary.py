"""Vocabularies: which token each number of a sequence stands for, learnt from the training part alone."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normbench.data import subwords
from normbench.errors import DataError, nearest

PAD, UNK, BOS, EOS = range(4)
SPECIAL = ("<pad>", "<unk>")
"""The first tokens of every vocabulary: padding, and what the vocabulary lacks."""
SPECIAL_OF_PAIRS = (*SPECIAL, "<bos>", "<eos>")
"""The first tokens where a sequence is generated: they begin and end it."""

UNITS = ("character", "word", "subword")

# No word contains a space, < or >, so no word of a text is a special token.
_WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in the order of their numbers.

    - `character`: each code point of a text is a token.
    - `word`: texts are put in lower case; a run of letters, digits and underscores is a token (an apostrophe may be
      inside: ``don't``), and so is each other character that is no space.
    - `subword`: byte-pair encoding of bytes, which has a token for every text.
    - `symbol`: names that stand for no text, such as those of generated pairs.

    Attributes:
        tokens: Special tokens first: `SPECIAL` or `SPECIAL_OF_PAIRS`.
        unit: One of `UNITS`, or `symbol`.
        rules: The merges of subwords, as the JSON of the library `tokenizers`; empty for other units.
    """

    tokens: tuple[str, ...]
    unit: str
    rules: str = ""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def special(self) -> int:
        """Number of special tokens."""
        count = len(SPECIAL_OF_PAIRS)
        return count if self.tokens[:count] == SPECIAL_OF_PAIRS else len(SPECIAL)

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the tokens of a text as numbers; `<unk>` for those that the vocabulary lacks."""
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the tokens of all texts as numbers, one text after the other, and how many each text has."""
        if self.unit == "subword":
            pieces = subwords.encode(self.rules, texts)
            lengths = np.array([len(piece) for piece in pieces], np.int64)
            return np.fromiter(chain.from_iterable(pieces), np.int64, lengths.sum()) + self.special, lengths
        if self.unit == "character":
            points = _code_points("".join(texts))
            known, ids = self._sorted_points
            place = np.searchsorted(known, points).clip(max=len(known) - 1)
            lengths = np.array([len(text) for text in texts], np.int64)
            return np.where(known[place] == points, ids[place], UNK), lengths
        words = [words_of(text) for text in texts]
        lengths = np.array([len(of_text) for of_text in words], np.int64)
        numbers = (self._ids.get(word, UNK) for word in chain.from_iterable(words))
        return np.fromiter(numbers, np.int64, lengths.sum()), lengths

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of tokens: up to `<eos>`, without `<pad>` and `<bos>`, words separated by spaces."""
        kept: list[int] = []
        for token in map(int, ids):
            if self.special > EOS and token == EOS:
                break
            if token != PAD and not (self.special > BOS and token == BOS):
                kept.append(token)
        if self.unit == "subword":
            return subwords.decode(self.rules, [token - self.special for token in kept], SPECIAL[UNK])
        return (" " if self.unit in ("word", "symbol") else "").join(self.tokens[token] for token in kept)

    def as_dict(self) -> dict[str, Any]:
        """Return the vocabulary as plain values, for JSON."""
        return {"tokens": list(self.tokens), "unit": self.unit, "rules": self.rules}

    @classmethod
    def of_dict(cls, values: Mapping[str, Any]) -> "Vocabulary":
        """Return what `as_dict` wrote."""
        return cls(tuple(values["tokens"]), values["unit"], values["rules"])

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    @cached_property
    def _sorted_points(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the code points in ascending order and the number of each."""
        points = _code_points("".join(self.tokens[self.special :]))
        order = np.argsort(points)
        return points[order], order + self.special


def learn(
    texts: Sequence[str],
    unit: str,
    *,
    size: int | None = None,
    min_count: int = 1,
    special: tuple[str, ...] = SPECIAL,
) -> Vocabulary:
    """Return the vocabulary of some texts, the most frequent tokens first.

    Args:
        texts: The training part, and nothing else.
        unit: One of `UNITS`.
        size: Largest number of tokens, special ones included; None for all. Subwords need a size.
        min_count: How often a token has to be in the texts; a pair of subwords that is less frequent is not merged.
        special: The special tokens.

    Raises:
        DataError: The unit is unknown, the texts have fewer than two tokens that qualify, the size is too small, or
            subwords are asked for without the library `tokenizers`.
    """
    if unit not in UNITS:
        raise DataError(f"data.unit: unknown value {unit!r}{nearest(unit, UNITS)}")
    if size is not None and size < len(special) + 2:
        raise DataError(
            f"data.vocabulary_size: got {size}, expected at least {len(special) + 2}, {len(special)} of them special "
            f"({' '.join(special)})"
        )
    if unit == "subword":
        tokens, rules = subwords.learn(texts, size=size, min_count=min_count, reserved=len(special))
        return Vocabulary((*special, *tokens), unit, rules)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(words_of(text) if unit == "word" else text)
    ranked = sorted((-count, token) for token, count in counts.items() if count >= min_count)
    if len(ranked) < 2:
        often = f" that are in it {min_count} times or more (data.min_count)" if min_count > 1 else ""
        found = f"only {ranked[0][1]!r}" if ranked else "none"
        raise DataError(f"a vocabulary needs two different {unit}s{often}, the training part has {found}")
    most = None if size is None else size - len(special)
    return Vocabulary((*special, *(token for _, token in ranked[:most])), unit)


def unknown_note(vocabulary: Vocabulary, held_out: NDArray[np.int64]) -> str:
    """Return the size of a vocabulary and the share of `<unk>` in validation and test, in words."""
    unknown = (held_out == UNK).mean()
    lacks = f"; {unknown:.2%} of those of validation and test are <unk>" if unknown else ""
    return f"vocabulary of {len(vocabulary):,} {vocabulary.unit}s from the training part{lacks}"


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, and its other characters without spaces."""
    return _WORD.findall(text.lower())


def _code_points(text: str) -> NDArray[np.int64]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)
