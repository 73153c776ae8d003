"""Made-up data sets of sequences."""

import torch

from normbench.data import Fields
from normbench.data.vocabulary import SPECIAL, SPECIAL_OF_PAIRS, Vocabulary


def numbers(*shape: int, high: int, low: int = 0, seed: int = 0) -> torch.Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))


def windows(unit: str = "character", vocabulary: int = 9) -> Fields:
    """Return 12 windows of 5 tokens, the last 3 for the test, the 2 before for validation."""
    tokens = (*SPECIAL, *"abcdefghij"[: vocabulary - len(SPECIAL)])
    text = numbers(12, 6, low=2, high=vocabulary)
    return Fields(
        "made up",
        {"sequence": text[:, :-1].contiguous(), "next": text[:, 1:].contiguous()},
        num_test=3,
        num_val=2,
        vocabularies={"sequence": Vocabulary(tokens, unit)},
    )


def pairs(unit: str = "word") -> Fields:
    """Return 12 pairs of up to 4 words, the last 3 for the test, the 2 before for validation."""
    vocabulary = Vocabulary((*SPECIAL_OF_PAIRS, *"uvwxyz"), unit)
    lengths = numbers(12, low=2, high=6, seed=1)
    place = torch.arange(5)
    words = numbers(12, 5, low=4, high=10, seed=2)
    following = torch.where(place < lengths.unsqueeze(1) - 1, words, 0)
    following = torch.where(place == lengths.unsqueeze(1) - 1, 3, following)
    target = torch.cat((torch.full((12, 1), 2), torch.where(following == 3, 0, following)[:, :-1]), 1)
    return Fields(
        "made up",
        {
            "source": torch.where(place < lengths.unsqueeze(1), words, 0),
            "source_lengths": lengths,
            "target": target,
            "next": following,
            "target_lengths": lengths,
        },
        num_test=3,
        num_val=2,
        vocabularies={"source": vocabulary, "target": vocabulary},
    )


def labelled(*, padded: bool) -> Fields:
    """Return 12 sequences of 4 steps of 3 numbers, in 2 classes."""
    values = torch.randn(12, 4, 3, generator=torch.Generator().manual_seed(0))
    lengths = {"lengths": numbers(12, low=1, high=5)} if padded else {}
    fields = {"sequence": values, **lengths, "labels": torch.arange(12) % 2}
    return Fields("made up", fields, class_names=("a", "b"), label="labels")
