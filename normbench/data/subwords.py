"""Byte-pair encoding by Hugging Face's library `tokenizers`, which is optional."""

import functools
import importlib
import os
from collections.abc import Sequence
from typing import Any

from normbench.errors import DataError

_BYTES = 256
"""Every byte is a token, so that every text has tokens."""


def learn(texts: Sequence[str], *, size: int | None, min_count: int, reserved: int) -> tuple[list[str], str]:
    """Return subwords in the order of their numbers, and the library's JSON of the rules that make them.

    Spaces belong to the word that follows them, as in GPT-2 (Radford et al. 2019).

    Args:
        texts: The training part.
        size: Largest number of tokens with the reserved ones.
        min_count: Pairs that are less frequent are not merged.
        reserved: Special tokens, which are not learnt.

    Raises:
        DataError: The size is missing or smaller than the bytes, or the library is not installed.
    """
    least = _BYTES + reserved
    if size is None or size < least:
        raise DataError(
            f"data.unit=subword needs data.vocabulary_size, the number of tokens to learn: got "
            f"{'null' if size is None else size}, expected at least {least} (bytes and special tokens), such as 4000"
        )
    library = _library()
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=size - reserved,
        min_frequency=min_count,
        show_progress=False,
        initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    numbers: dict[str, int] = tokenizer.get_vocab()
    return sorted(numbers, key=numbers.__getitem__), tokenizer.to_str()


def encode(rules: str, texts: Sequence[str]) -> list[list[int]]:
    """Return the subwords of each text as numbers from 0.

    Args:
        rules: The JSON that `learn` returned.
        texts: Any texts.
    """
    return [encoding.ids for encoding in _tokenizer(rules).encode_batch_fast(list(texts))]


def decode(rules: str, ids: Sequence[int], unknown: str) -> str:
    """Return the text of subwords; `unknown` stands for numbers below 0."""
    pieces: list[list[int]] = [[]]
    for token in ids:
        if token < 0:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return unknown.join(_tokenizer(rules).decode(piece) for piece in pieces)


@functools.lru_cache(maxsize=4)
def _tokenizer(rules: str) -> Any:
    return _library().Tokenizer.from_str(rules)


def _library() -> Any:
    # Its threads would compete with those of other workers, and it warns of them in each process that is forked.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        return importlib.import_module("tokenizers")
    except ModuleNotFoundError as error:
        raise DataError(
            "data.unit=subword needs the library tokenizers, which is not installed: pip install 'normbench[text]'"
        ) from error
