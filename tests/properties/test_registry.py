"""All checks: what they find of batch norm, and that asking changes nothing."""

import dataclasses
import math

import pytest
import torch

from normbench.properties import CHECKS

EXPECTED = {
    "running_stats_fix_gradients": ("refuted", "disproved"),
    "standardized_outputs": ("refuted", "proved before gamma and beta, disproved after"),
    "affine_restores_capacity": ("supported", "proved"),
    "tiny_norm_batch": ("supported", "proved"),
    "scale_invariance": ("supported", "proved"),
    "resnet_uses_bn": ("supported", "read off"),
    "bert_uses_bn": ("refuted", "cited and read off"),
    "history_2015": ("supported", "cited"),
    "sota_required": ("refuted", "cited"),
}


def test_each_check_has_an_expectation() -> None:
    """The table below is the registry's."""
    assert list(EXPECTED) == list(CHECKS)


@pytest.mark.parametrize("claim", CHECKS)
def test_what_is_found(claim: str) -> None:
    """Verdict and outcome, with finite numbers and a sentence."""
    finding = CHECKS[claim]()
    assert (finding.verdict, finding.outcome) == EXPECTED[claim]
    assert finding.evidence.endswith(".") and finding.numbers
    assert all(math.isfinite(number) for number in finding.numbers.values())
    with pytest.raises(dataclasses.FrozenInstanceError):
        finding.verdict = "inconclusive"  # type: ignore[misc]


@pytest.mark.parametrize("claim", CHECKS)
def test_asking_draws_nothing_and_finds_the_same(claim: str) -> None:
    """The global random state stays as it was, and a second call gives the same numbers whatever it is."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    finding = CHECKS[claim]()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert CHECKS[claim]() == finding
