from dataclasses import replace

import pytest

from normbench.properties import Citation
from normbench.properties.literature import INTRODUCTION, WITH, WITHOUT, Published, history_2015, sota_required


@pytest.mark.parametrize(
    "paper",
    [replace(INTRODUCTION, year=2014), replace(INTRODUCTION, authors=("Ba", "Kiros", "Hinton"))],
    ids=["another year", "other authors"],
)
def test_another_introduction_refutes(paper: Citation) -> None:
    """Both the authors and the year are of the claim."""
    assert history_2015(paper).verdict == "refuted"


def test_who_and_when_are_printed() -> None:
    """The evidence is the citation."""
    assert history_2015().evidence.startswith("Ioffe & Szegedy 2015, 'Batch Normalization")


@pytest.mark.parametrize(
    ("without", "verdict"),
    [
        (WITHOUT, "refuted"),
        (replace(WITHOUT, top1=WITH.top1), "refuted"),
        (replace(WITHOUT, top1=85.7), "inconclusive"),
        (replace(WITHOUT, batch_norm=True), "inconclusive"),
    ],
    ids=["leads", "as good", "behind", "has it after all"],
)
def test_only_a_leader_without_batch_norm_refutes(without: Published, verdict: str) -> None:
    """It takes a network that has none and is at least as accurate."""
    assert sota_required(without).verdict == verdict


def test_figures_and_sources_are_printed() -> None:
    """Both records stand in the evidence with their figures."""
    evidence = sota_required().evidence
    assert all(text in evidence for text in ("86.5 %", "85.8 %", "arXiv:2102.06171", "arXiv:2002.09024"))
