"""A number line in a row of a table: dots, a mean, its interval; all rows of a table share one scale."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.ticker import MaxNLocator

from normbench.analysis.intervals import Floats
from normbench.report.text import number

WIDTH, HEIGHT, SIDE = 240, 26, 12

FARTHEST = 30.0
"""Margins that the common axis reaches: anything farther out is an arrow, and its number is in the table."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The common axis of a table.

    Attributes:
        low: Left end.
        high: Right end.
        bent: Whether it is an inverse hyperbolic sine: even near 0, logarithmic far from it.
        ticks: Values that are labelled.
        margin: Half the width of the band around 0; 0 for none.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    bent: bool = False
    margin: float = 0.0

    @classmethod
    def around(cls, values: Iterable[float], margin: float = 0.0) -> "Scale":
        """Return an even scale that holds all values, and with a margin also 0 and the band."""
        finite = [value for value in values if np.isfinite(value)] or [0.0]
        if margin:
            finite += [-1.5 * margin, 1.5 * margin]
        low, high = min(finite), max(finite)
        if low == high:
            low, high = low - 0.5, high + 0.5
        ticks = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        inner = tuple(round(float(tick), 10) for tick in ticks if low <= tick <= high)
        return cls(float(low), float(high), inner, margin=margin)

    @classmethod
    def in_margins(cls, values: Iterable[float]) -> "Scale":
        """Return the scale of effects in units of their margins, bent, with a band of one margin."""
        finite = [abs(value) for value in values if np.isfinite(value)] or [1.0]
        reach = next((tick for tick in (3.0, 10.0) if tick >= max(finite)), FARTHEST)
        steps = [tick for tick in (1.0, 3.0, 10.0, 30.0) if tick <= reach]
        return cls(-reach, reach, (*(-tick for tick in reversed(steps)), 0.0, *steps), bent=True, margin=1.0)

    def place(self, value: float) -> float:
        """Return the position of a value in pixels; values off the scale are put at its end."""
        bend = np.arcsinh if self.bent else np.asarray
        low, high, at = (float(bend(one)) for one in (self.low, self.high, np.clip(value, self.low, self.high)))
        return round(SIDE + (WIDTH - 2 * SIDE) * (at - low) / (high - low), 1)

    def axis(self) -> str:
        """Return the labelled axis, for the head of the column."""
        texts = "".join(
            f'<text x="{self.place(tick)}" y="12" text-anchor="middle">{number(float(tick))}</text>'
            f'<path d="M{self.place(tick)} 16v4" stroke="var(--muted)"/>'
            for tick in self.ticks
        )
        return _svg(f'{texts}<path d="M{SIDE} 20H{WIDTH - SIDE}" stroke="var(--muted)"/>', "axis")


def strip(scale: Scale, dots: Floats, typical: float, low: float, high: float, colour: str, words: str) -> str:
    """Return one row.

    Args:
        scale: Of the table.
        dots: One value per seed; those not finite are left out.
        typical: The mean or the effect; NaN draws none.
        low: Lower end of its interval.
        high: Upper end.
        colour: A name in `palette.COLOURS`.
        words: A description for screen readers.
    """
    middle, parts = HEIGHT / 2, []
    if scale.margin:
        left, right = scale.place(-scale.margin), scale.place(scale.margin)
        parts.append(f'<rect class="band" x="{left}" y="0" width="{right - left:.1f}" height="{HEIGHT}"/>')
        parts += [f'<path class="limit" d="M{side} 0V{HEIGHT}"/>' for side in (left, right)]
    if scale.low < 0 < scale.high:
        parts.append(f'<path class="zero" d="M{scale.place(0)} 0V{HEIGHT}"/>')
    if marks := "".join(f"M{scale.place(dot):g} {middle:g}h0" for dot in np.unique(dots[np.isfinite(dots)])):
        parts.append(f'<path class="dots" d="{marks}" stroke="var(--{colour})"/>')
    if scale.low <= typical <= scale.high:
        parts.append(f'<circle cx="{scale.place(typical)}" cy="{middle:g}" r="4" fill="var(--{colour})"/>')
    if not np.isnan(typical):
        parts.append(_interval(scale, min(low, typical), max(high, typical), middle, colour))
    return _svg("".join(parts), words)


def _interval(scale: Scale, low: float, high: float, middle: float, colour: str) -> str:
    left, right = scale.place(low), scale.place(high)
    line = f'<path d="M{left} {middle:g}H{right}" stroke="var(--{colour})" stroke-width="2.5"/>'
    for end, at, way in ((low < scale.low, left, -1), (high > scale.high, right, 1)):
        if end:  # it goes on beyond the scale
            tip = at + 7 * way
            line += f'<path d="M{at} {middle - 5:g}L{tip} {middle:g}L{at} {middle + 5:g}z" fill="var(--{colour})"/>'
    return line


def _svg(inside: str, words: str) -> str:
    name = escape(words, quote=True)
    return f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">{inside}</svg>'
