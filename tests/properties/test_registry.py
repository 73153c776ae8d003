"""All checks: what they find of batch norm, and that asking changes nothing."""

import dataclasses
import math
from functools import cache

import pytest
import torch

from normbench.properties import CHECKS, Finding

EXPECTED = {
    "running_stats_fix_gradients": ("refuted", "disproved"),
    "standardized_outputs": ("refuted", "proved before gamma and beta, disproved after"),
    "affine_restores_capacity": ("supported", "proved"),
    "tiny_norm_batch": ("supported", "proved"),
    "scale_invariance": ("supported", "proved"),
    "sample_independence": ("supported", "proved"),
    "bn_leaks_time": ("supported", "proved"),
    "resnet_uses_bn": ("supported", "read off"),
    "bert_uses_bn": ("refuted", "cited and read off"),
    "history_2015": ("supported", "cited"),
    "sota_required": ("refuted", "cited"),
    "standard_placement": ("supported", "read off"),
    "standard_in_architectures": ("inconclusive", "standard until 2019, not standard since"),
}


@cache
def found(claim: str) -> Finding:
    """Return what a check found first: some take seconds."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    finding = CHECKS[claim]()
    assert torch.equal(torch.get_rng_state(), before)
    return finding


def test_each_check_has_an_expectation() -> None:
    """The table below is the registry's."""
    assert list(EXPECTED) == list(CHECKS)


@pytest.mark.parametrize("claim", CHECKS)
def test_what_is_found(claim: str) -> None:
    """Verdict and outcome, with finite numbers and a sentence."""
    finding = found(claim)
    assert (finding.verdict, finding.outcome) == EXPECTED[claim]
    assert finding.evidence.endswith(".") and finding.numbers
    assert all(math.isfinite(number) for number in finding.numbers.values())
    with pytest.raises(dataclasses.FrozenInstanceError):
        finding.verdict = "inconclusive"  # type: ignore[misc]


@pytest.mark.parametrize("claim", CHECKS)
def test_asking_draws_nothing_and_finds_the_same(claim: str) -> None:
    """The global random state stays as it was, and a second call gives the same numbers whatever it is."""
    finding = found(claim)
    torch.manual_seed(2)
    assert CHECKS[claim]() == finding
