"""Colours: one style a norm, distinguishable in both themes."""

import itertools
import re

import numpy as np
import pytest

from normbench.norms import REGISTRY
from normbench.report.palette import COLOURS, HUES, NORMS, Style, norm_style, nth_style, theme_css

# Full loss of one kind of cones, in linear RGB (Machado, Oliveira & Fernandes 2009).
EYES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "all cones": np.eye(3).tolist(),
}


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(part, 16) for part in re.findall("..", colour[1:])]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return CIELAB of linear RGB, white being D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.maximum(to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089], 1e-9))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_every_norm_has_a_style_of_its_own() -> None:
    """No two shipped norms look the same in a figure."""
    assert set(NORMS) == set(REGISTRY)
    assert len(set(NORMS.values())) == len(NORMS)


def test_a_norm_of_a_user_keeps_its_style() -> None:
    """It depends on the name alone, and the dash tells it from every shipped norm."""
    assert norm_style("tanh") == norm_style("tanh")
    assert norm_style("tanh") not in NORMS.values()
    assert norm_style("tanh").dash not in {style.dash for style in NORMS.values()}


def test_twenty_series_that_are_no_norms_look_different() -> None:
    """Colours come again with another dash."""
    assert len({nth_style(place) for place in range(20)}) == 20


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("eye", EYES)
def test_the_common_norms_are_told_apart_by_every_eye(theme: str, eye: str) -> None:
    """In CIELAB, at least 10 apart; 2.3 is just noticeable."""
    common = [COLOURS[NORMS[name].colour] for name in ("batch", "group", "layer", "none")]
    seen = [lab(np.array(EYES[eye]) @ linear(getattr(colour, theme))) for colour in common]
    assert min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)) > 10


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_hue_stands_out_from_the_ground(theme: str) -> None:
    """A contrast of 3 to 1 at least, as WCAG asks of graphics."""
    luminance = {name: float(linear(getattr(one, theme)) @ [0.2126, 0.7152, 0.0722]) for name, one in COLOURS.items()}
    for name in (*HUES, "ink", "muted"):
        low, high = sorted((luminance[name], luminance["paper"]))
        assert (high + 0.05) / (low + 0.05) > 3, name


def test_the_style_sheet_has_every_colour_in_both_themes() -> None:
    """Paper stays light."""
    css = theme_css()
    for colour in COLOURS.values():
        assert f"--{colour.name}:{colour.light};" in css
        assert f"--{colour.name}:{colour.dark};" in css.partition("@media screen and (prefers-color-scheme:dark)")[2]


def test_a_style_is_hashable() -> None:
    """Legends are keyed by label and compared by style."""
    assert len({Style("blue", "o"), Style("blue", "o")}) == 1
