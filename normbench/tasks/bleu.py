"""BLEU (Papineni et al. 2002) from counts per sentence, which add up over a corpus; computed by sacrebleu."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from normbench.data.vocabulary import SPECIAL, UNK
from normbench.errors import ImpossibleRunError

ORDER = 4
COUNTS = 2 + 2 * ORDER
"""Counts per sentence: the lengths of both, then matching and possible n-grams for n = 1 to 4."""

_UNKNOWN = "<unknown>"
"""Stands for a word of a reference that the vocabulary lacks: nothing that is generated equals it."""


def sentence_counts(generated: Sequence[str], references: Sequence[str]) -> Tensor:
    """Return the counts of each pair of sentences, (B, 10) int64.

    Args:
        generated: The generated sentences, words separated by spaces.
        references: What each should be; a word with an unknown token matches nothing.

    Raises:
        ImpossibleRunError: If sacrebleu is not installed.
    """
    wanted = [
        " ".join(_UNKNOWN if SPECIAL[UNK] in word else word for word in sentence.split()) for sentence in references
    ]
    return torch.tensor(_metric()._extract_corpus_statistics(list(generated), [wanted]), dtype=torch.int64)


def corpus_bleu(counts: Tensor) -> float:
    """Return BLEU, from 0 to 100, of counts (10,) that were summed over a corpus."""
    numbers = [int(number) for number in counts.tolist()]
    return float(_metric()._compute_score_from_stats(numbers).score)


def _metric() -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise ImpossibleRunError("BLEU needs sacrebleu: pip install 'normbench[text]'.") from error
    # The tokens are joined by spaces already.
    return BLEU(tokenize="none", force=True)
