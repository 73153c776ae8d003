"""The power curve of the judge, as a standalone figure."""

from collections.abc import Sequence

import numpy as np

from normbench.claims.calibration import Rate
from normbench.report.draw import HEIGHT, WIDTH, draw
from normbench.report.palette import nth_style, theme_css
from normbench.report.panels import Panel, Series


def power_curve(rates: Sequence[Rate]) -> str:
    """Return an SVG file: the share of cells found supported, against how far the effect is beyond the margin.

    Args:
        rates: Of `normbench.claims.calibration.simulate`; those without `beyond` are left out. Each schedule of looks
            has its own panel.
    """
    points = [rate for rate in rates if rate.beyond is not None]
    drawn = [
        draw(_panel([rate for rate in points if rate.seeds == seeds], seeds), f"power{seeds}", legend=True)
        for seeds in sorted({rate.seeds for rate in points})
    ]
    style = f"<style>{theme_css()}svg{{background:var(--paper);font-family:sans-serif}}</style>"
    placed = [
        one.replace("<svg ", f'<svg x="{place * WIDTH}" width="{WIDTH}" height="{HEIGHT}" ', 1)
        for place, one in enumerate(drawn)
    ]
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg viewBox="0 0 {WIDTH * len(drawn)} {HEIGHT}" {spaces}>{style}{"".join(placed)}</svg>\n'


def _panel(rates: Sequence[Rate], seeds: int) -> Panel:
    series = tuple(
        _series(noise, [rate for rate in rates if rate.noise == noise], place)
        for place, noise in enumerate(dict.fromkeys(rate.noise for rate in rates))
    )
    label = f"effect beyond the margin in SDs, up to {seeds} seeds"
    return Panel("", series, label, "share of cells supported", log=False)


def _series(noise: str, rates: Sequence[Rate], place: int) -> Series:
    ends = np.array([rate.interval for rate in rates])
    return Series(
        label=noise,
        style=nth_style(place),
        x=np.array([rate.beyond for rate in rates], dtype=np.float64),
        mean=np.array([rate.share for rate in rates]),
        low=ends[:, 0],
        high=ends[:, 1],
    )
