"""Tests of the power curve."""

from xml.etree import ElementTree

from normbench.claims.calibration import NOISES, Rate
from normbench.report.power import power_curve

RATES = [Rate("false", noise, "families", 1, 100, 0.05) for noise in NOISES] + [
    Rate("beyond", noise, "cells supported", hits, 100, beyond=beyond, seeds=seeds)
    for noise in NOISES
    for seeds in (32, 64)
    for hits, beyond in ((20, 0.25), (90, 1.0))
]


def test_it_is_an_svg_file_that_names_its_series() -> None:
    """A panel for each number of seeds; it parses without a page around it, and asks for nothing from the network."""
    drawn = power_curve(RATES)
    texts = [element.text for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert all(texts.count(noise) == 2 for noise in NOISES)
    assert texts.count("share of cells supported") == 2
    assert [seeds for text in texts for seeds in (32, 64) if f"up to {seeds} seeds" in str(text)] == [32, 64]
    assert drawn.replace("http://www.w3.org/", "").count("http") == 0
