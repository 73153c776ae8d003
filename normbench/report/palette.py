"""Colours, markers and dashes: defined once, the same for a norm on every page, in light and in dark.

The hues are those of Okabe & Ito (2008), which the colour-blind can tell apart, darkened for white paper and lightened
for a dark screen. A figure is drawn with stand-ins (`Colour.stand_in`), which the page's style sheet fills in.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour in both themes.

    Attributes:
        name: Of its CSS variable.
        light: On white.
        dark: On a dark background.
        stand_in: The hex number that stands for it while a figure is drawn.
    """

    name: str
    light: str
    dark: str
    stand_in: str


COLOURS: Mapping[str, Colour] = {
    name: Colour(name, light, dark, f"#0a0b{place:02x}")
    for place, (name, light, dark) in enumerate(
        (
            ("ink", "#1b1b1b", "#e8e8e8"),
            ("muted", "#5c5c5c", "#a8a8a8"),
            ("grid", "#dcdcdc", "#3a3a3a"),
            ("paper", "#ffffff", "#16181b"),
            ("blue", "#0072b2", "#4da6e8"),
            ("vermillion", "#d55e00", "#ff8a3d"),
            ("green", "#00805a", "#2fcf9f"),
            ("purple", "#b8588f", "#e9a3cb"),
            ("grey", "#4d4d4d", "#c8c8c8"),
            ("orange", "#b37a00", "#f0c040"),
            ("sky", "#2f8fc4", "#9ad4f5"),
        )
    )
}


@dataclass(frozen=True, slots=True)
class Style:
    """How a series is drawn: three cues, so that colour is never the only one.

    Attributes:
        colour: A name in `COLOURS`.
        marker: matplotlib's letter.
        dash: matplotlib's line style.
    """

    colour: str
    marker: str
    dash: str = "-"


HUES = ("blue", "vermillion", "green", "purple", "grey", "orange", "sky")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

NORMS: Mapping[str, Style] = {
    "batch": Style("blue", "o"),
    "group": Style("vermillion", "s"),
    "layer": Style("green", "^"),
    "instance": Style("purple", "D"),
    "none": Style("grey", "v"),
    "rms": Style("orange", "P"),
    "batch_renorm": Style("sky", "X"),
    "batch_noisy": Style("sky", "o", "--"),
    "batch_frozen": Style("sky", "s", "--"),
    "batch_mean_only": Style("sky", "^", ":"),
    "batch_var_only": Style("sky", "D", ":"),
    "layer_channels": Style("green", "s", "--"),
    "weight_standardized_group": Style("vermillion", "o", "--"),
    "switchable": Style("purple", "o", "--"),
    "scaled_weight": Style("grey", "o", "--"),
    "power": Style("purple", "s", ":"),
    "dyt": Style("orange", "o", "--"),
    "frn": Style("orange", "s", ":"),
    "evonorm_b0": Style("blue", "s", "--"),
    "evonorm_s0": Style("green", "D", ":"),
}


def norm_style(name: str) -> Style:
    """Return the style of a norm; a user's own norm gets one from its name, the same on every page."""
    if name in NORMS:
        return NORMS[name]
    number = zlib.crc32(name.encode())
    return Style(HUES[number % len(HUES)], MARKERS[number // 7 % len(MARKERS)], "-.")


def nth_style(place: int) -> Style:
    """Return the style of the series at a place, if the series are not norms."""
    dashes = ("-", "--", ":")
    return Style(HUES[place % len(HUES)], MARKERS[place % len(MARKERS)], dashes[place // len(HUES) % len(dashes)])


def theme_css() -> str:
    """Return the CSS variables of both themes; paper is always light."""
    light = "".join(f"--{one.name}:{one.light};" for one in COLOURS.values())
    dark = "".join(f"--{one.name}:{one.dark};" for one in COLOURS.values())
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
