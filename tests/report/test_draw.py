"""Panels as SVG."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from normbench.report.draw import draw
from normbench.report.palette import norm_style, nth_style
from normbench.report.panels import Panel, Series

X = np.array([0.25, 0.5, 1.0])


def series(label: str = "batch", **more: object) -> Series:
    values: dict[str, object] = {"low": X - 0.1, "high": X + 0.1, "dots": (np.repeat(X, 4), np.linspace(0, 1, 12))}
    return Series(label, norm_style(label), X, X, **{**values, **more})  # type: ignore[arg-type] # fields by name


def panel(*own: Series, x_label: str = "lr", y_label: str = "test_accuracy", stepped: bool = False) -> Panel:
    return Panel("", own or (series(),), x_label, y_label, True, stepped)


def test_the_same_panel_is_the_same_bytes() -> None:
    """No date, no random names."""
    assert draw(panel(), "a") == draw(panel(), "a")


def test_names_inside_differ_from_figure_to_figure() -> None:
    """A clip path of one figure must not be another's."""
    first, second = (set(re.findall(r'id="([^"]*)"', draw(panel(), salt))) for salt in "ab")
    assert first and not first & second


def test_it_is_a_small_well_formed_svg_with_themed_colours() -> None:
    """Colours are CSS variables alone, and fonts the page's."""
    drawn = draw(panel(), "a")
    ET.fromstring(drawn.replace("xlink:href", "href"))
    assert "var(--blue)" in drawn and "var(--ink)" in drawn
    assert not re.search(r"#[0-9a-f]{6}\b", drawn)
    assert "font-family" not in drawn and "<style" not in drawn and "<metadata" not in drawn
    assert len(drawn) < 15_000


def test_every_run_is_a_dot_in_one_path() -> None:
    """Twelve runs, ten bytes each."""
    assert len(re.findall(r"M\d+ \d+h0", draw(panel(), "a"))) == 12


@pytest.mark.parametrize(
    "name", ["$x^2$", "<script>alert(1)</script>", '"quoted" & more', "שלום", "a" * 10_000, "\x00"]
)
def test_hostile_names_are_text(name: str) -> None:
    """Neither formula nor markup; long ones are cut."""
    drawn = draw(panel(x_label=name), "a")
    assert "<script" not in drawn
    assert len(drawn) < 15_000
    texts = [node.text for node in ET.fromstring(drawn.replace("xlink:href", "href")).iter() if node.text]
    assert any(text.strip()[:5] in (name[:5], "\N{REPLACEMENT CHARACTER}") for text in texts)


def test_diverged_shares_are_drawn_below_where_any_run_diverged() -> None:
    """And nothing is where none did."""
    with_lost = draw(panel(series(lost=np.array([0.0, 0.5, 1.0]))), "a")
    assert ">diverged</text>" in with_lost
    assert ">diverged</text>" not in draw(panel(series(lost=np.zeros(3))), "a")


def test_intervals_do_not_squeeze_what_was_seen() -> None:
    """Two seeds' t interval may be a hundred times as wide as the data."""
    wide = series(low=X - 1000, high=X + 1000)
    assert "1000" not in "".join(re.findall(r">([^<>]*)</text>", draw(panel(wide), "a")))


def test_rates_are_labelled_as_fractions() -> None:
    """1/4 rather than 0.25, as they are powers of two."""
    assert ">1/4</text>" in draw(panel(), "a")


def test_stairs_and_threads_are_drawn() -> None:
    """A survival curve has no intervals, and a line a seed no mean."""
    empty = np.empty(0)
    stairs = Series("a", nth_style(0), np.array([0.0, 1.0]), np.array([1.0, 0.5]), empty, empty)
    threads = Series("b", nth_style(1), empty, empty, empty, empty, threads=((X, X), (X, 2 * X)))
    assert "var(--blue)" in draw(panel(stairs, stepped=True), "a")
    assert draw(panel(threads), "a").count("var(--vermillion)") == 2


def test_zero_and_decades_stand_apart() -> None:
    """Weight decays of 0, 0.0001, 0.001 and 0.01 have room for their numbers."""
    decays = np.array([0, 1e-4, 1e-3, 1e-2])
    own = Series("batch", norm_style("batch"), decays, decays, decays, decays, dots=(decays, decays))
    drawn = draw(Panel("", (own,), "optimizer.weight_decay", "test_accuracy", log=False), "a")
    places = [float(at) for at in re.findall(r'text-anchor: middle; fill: var\(--muted\)" x="([\d.]+)"', drawn)]
    assert len(places) == 4 and np.diff(places).min() > 40
