"""The power curve of the judge, as a standalone figure."""

from collections.abc import Sequence

import numpy as np

from normbench.claims.calibration import SEEDS, Rate
from normbench.report.draw import draw
from normbench.report.palette import nth_style, theme_css
from normbench.report.panels import Panel, Series


def power_curve(rates: Sequence[Rate]) -> str:
    """Return an SVG file: the share of claims found supported, against how far the effect is beyond the margin.

    Args:
        rates: Of `normbench.claims.calibration.simulate`; those without `beyond` are left out.
    """
    noises = dict.fromkeys(rate.noise for rate in rates if rate.beyond is not None)
    series = tuple(
        _series(noise, [rate for rate in rates if rate.noise == noise and rate.beyond is not None], place)
        for place, noise in enumerate(noises)
    )
    panel = Panel(
        f"at most {SEEDS} seeds",
        series,
        "effect beyond the margin, in SDs of one seed",
        "share of claims supported",
        log=False,
    )
    drawn = draw(panel, "power", legend=True)
    style = f"<style>{theme_css()}svg{{background:var(--paper);font-family:sans-serif}}</style>"
    head, body = drawn.split(">", 1)
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"{head} {spaces}>{style}{body}\n"


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
