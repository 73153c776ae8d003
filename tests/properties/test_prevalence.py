from functools import partial

import pytest
from torch import nn

from normbench.properties.prevalence import standard_in_architectures
from normbench.properties.published import Architecture


def made_up(year: int, *, having: int, of: int) -> list[Architecture]:
    """Return architectures of a year, the first `having` of them with batch norm."""
    kinds = [nn.BatchNorm2d] * having + [nn.Identity] * (of - having)
    return [Architecture(f"{year}-{place}", year, {"net": partial(kind, 3)}) for place, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("before", "since", "verdict", "outcome"),
    [
        ((4, 4), (3, 4), "supported", "read off"),
        ((1, 3), (0, 2), "refuted", "read off"),
        ((3, 4), (1, 4), "inconclusive", "standard until 2019, not standard since"),
        ((2, 4), (4, 4), "inconclusive", "common until 2019, standard since"),
        ((2, 3), (2, 3), "inconclusive", "common until 2019, common since"),
        ((0, 0), (2, 2), "inconclusive", "not standard until 2019, standard since"),
    ],
)
def test_the_verdict_follows_from_the_count(
    before: tuple[int, int], since: tuple[int, int], verdict: str, outcome: str
) -> None:
    """Of the two periods; what came before 2015 does not count."""
    early = made_up(2014, having=0, of=9)
    first, second = (made_up(year, having=having, of=of) for year, (having, of) in ((2019, before), (2020, since)))
    finding = standard_in_architectures([*early, *first, *second])
    assert (finding.verdict, finding.outcome) == (verdict, outcome)
    assert finding.numbers["with_batch_norm_since_2020"] == since[0]
    assert finding.numbers["architectures_before_2015"] == 9


def test_each_model_of_an_architecture_needs_it() -> None:
    """One without makes it optional, and is named."""
    optional = Architecture("1", 2016, {"plain": lambda: nn.Linear(2, 2), "normed": lambda: nn.BatchNorm1d(2)})
    finding = standard_in_architectures([optional])
    assert finding.numbers["with_batch_norm_2015_to_2019"] == 0 and finding.numbers["models_with_batch"] == 1
    assert "batch norm is in 0 of 1 (without it: plain 2016) of 2015 to 2019" in finding.evidence


def test_both_norms_and_neither_are_counted() -> None:
    """A model may have both, as MaxViT has."""
    both = Architecture("1", 2022, {"both": lambda: nn.Sequential(nn.BatchNorm2d(2), nn.LayerNorm(2))})
    neither = Architecture("2", 2016, {"neither": lambda: nn.Linear(2, 2)})
    numbers = standard_in_architectures([both, neither]).numbers
    assert [numbers[f"models_with_{what}"] for what in ("batch", "layer", "both", "neither")] == [1, 1, 1, 1]
