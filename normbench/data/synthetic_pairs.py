"""Generated pairs of sequences: a source, and its copy, its reverse or its symbols in order."""

import numpy as np
import torch

from normbench.data.exact import draw_below
from normbench.data.fields import Fields
from normbench.data.padding import pad, pair_fields
from normbench.data.vocabulary import SPECIAL_OF_PAIRS, Vocabulary
from normbench.errors import DataError, nearest

KINDS = ("copy", "reverse", "sort")


def synthetic_pairs(
    kind: str, num_samples: int, vocabulary: int, min_length: int, max_length: int, generator_seed: int
) -> Fields:
    """Generate pairs: symbols drawn uniformly, and what has to be made of them.

    Only PCG64's raw bits are used, so the pairs are the same on every machine.

    Args:
        kind: What the target is: a `copy` of the source, its `reverse`, or its symbols sorted (`sort`).
        num_samples: Pairs N.
        vocabulary: Number of symbols, besides the special tokens.
        min_length: Fewest symbols of a source.
        max_length: Most.
        generator_seed: Determines the pairs; the run's seed does not affect them.

    Returns:
        The fields of a translation (see `padding.pair_fields`), without a test part.

    Raises:
        DataError: An argument is out of range.
    """
    if kind not in KINDS:
        raise DataError(f"data.kind: unknown value {kind!r}{nearest(kind, KINDS)}")
    for key, value, least in (
        ("num_samples", num_samples, 1),
        ("vocabulary", vocabulary, 2),
        ("min_length", min_length, 1),
        ("max_length", max_length, min_length),
        ("generator_seed", generator_seed, 0),
    ):
        if value < least:
            raise DataError(f"data.{key} must be at least {least}, got {value}")
    bits = np.random.PCG64(generator_seed)
    lengths = min_length + draw_below(bits, max_length + 1 - min_length, num_samples)
    first = len(SPECIAL_OF_PAIRS)
    symbols = first + draw_below(bits, vocabulary, int(lengths.sum()))
    source = pad(symbols, lengths)
    place = np.arange(source.shape[1])
    behind = place >= lengths[:, None]
    if kind == "copy":
        target = source
    elif kind == "reverse":
        target = np.take_along_axis(source, np.where(behind, place, lengths[:, None] - 1 - place), axis=1)
    else:
        target = np.where(behind, 0, np.sort(np.where(behind, first + vocabulary, source), axis=1))
    fields = pair_fields((symbols, lengths), (target[~behind], lengths))
    names = Vocabulary((*SPECIAL_OF_PAIRS, *map(str, range(vocabulary))), "symbol")
    tensors = {name: torch.from_numpy(values) for name, values in fields.items()}
    return Fields("synthetic_pairs", tensors, vocabularies={"source": names, "target": names})
