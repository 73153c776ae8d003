"""Generated pairs of sequences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from normbench.data.fields import Fields
from normbench.data.synthetic_pairs import synthetic_pairs
from normbench.errors import DataError

ARGS: dict[str, Any] = {
    "kind": "copy",
    "num_samples": 600,
    "vocabulary": 5,
    "min_length": 2,
    "max_length": 4,
    "generator_seed": 0,
}


def texts(data: Fields, field: str) -> list[list[str]]:
    vocabulary = data.vocabularies["source" if field == "source" else "target"]
    return [vocabulary.decode(row.tolist()).split() for row in data.fields[field]]


@pytest.mark.parametrize("kind", ["copy", "reverse", "sort"])
def test_targets_are_made_of_their_sources(kind: str) -> None:
    """By the rule; what is shown and what is next are the same text."""
    data = synthetic_pairs(**{**ARGS, "kind": kind})
    rules: dict[str, Callable[[list[str]], list[str]]] = {
        "copy": list,
        "reverse": lambda source: source[::-1],
        "sort": sorted,
    }
    targets = [rules[kind](source) for source in texts(data, "source")]
    assert texts(data, "target") == targets
    assert texts(data, "next") == targets
    assert data.fields["source_lengths"].tolist() == list(map(len, targets))
    assert data.fields["target_lengths"].tolist() == [len(target) + 1 for target in targets]


def test_sources_are_uniform() -> None:
    """In their lengths and symbols."""
    sources = texts(synthetic_pairs(**ARGS), "source")
    lengths = np.bincount([len(source) for source in sources])
    assert (abs(lengths[2:] - 200) < 50).all()
    assert set(symbol for source in sources for symbol in source) == set("01234")


def test_the_seed_decides() -> None:
    """The same on every machine: the values are PCG64's."""
    data = synthetic_pairs(**ARGS)
    assert data.content == synthetic_pairs(**ARGS).content
    assert data.content != synthetic_pairs(**{**ARGS, "generator_seed": 1}).content
    bits = np.random.PCG64(0)
    lengths = [2 + int(bits.random_raw()) % 3 for _ in range(600)]
    assert data.fields["source_lengths"].tolist() == lengths
    first = [4 + int(bits.random_raw()) % 5 for _ in range(lengths[0])]
    assert data.fields["source"][0, : lengths[0]].tolist() == first


WRONG = {
    "kind": ({"kind": "sorted"}, r"data\.kind: unknown value 'sorted'; did you mean 'sort'"),
    "vocabulary": ({"vocabulary": 1}, r"data\.vocabulary must be at least 2, got 1"),
    "lengths": ({"min_length": 5}, r"data\.max_length must be at least 5, got 4"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused(changes: dict[str, Any], message: str) -> None:
    """The message says what is allowed."""
    with pytest.raises(DataError, match=message):
        synthetic_pairs(**{**ARGS, **changes})
