"""matplotlib's figures as small inline SVG: themed by CSS variables, the same bytes for the same data."""

import re
import warnings
from html import escape
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from normbench.report.palette import COLOURS

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.usetex": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "font.size": 10.5,
    "path.simplify": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": COLOURS["muted"].stand_in,
    "axes.labelcolor": COLOURS["ink"].stand_in,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": COLOURS["grid"].stand_in,
    "grid.linewidth": 0.7,
    "xtick.color": COLOURS["muted"].stand_in,
    "ytick.color": COLOURS["muted"].stand_in,
    "text.color": COLOURS["ink"].stand_in,
}
"""What every figure is drawn with: texts stay texts, and no dollar sign in a name starts a formula."""

_NUMBER = re.compile(r"-?\d+\.\d+")
_PLACED = re.compile(r'(?<= )(d|x|y|transform|width|height)="([^"]*)"')
_DOTS = re.compile(r'd="([^"]*)"((?: clip-path="[^"]*")? style="[^"]*stroke-linecap: round[^"]*")')
_POINT = re.compile(r"M (\S+) (\S+)\s+L \S+ \S+")


def svg(figure: Figure, words: str, salt: str) -> str:
    """Return a figure as an SVG element.

    Args:
        figure: Drawn under `SETTINGS`, where one unit is one pixel.
        words: A description for screen readers.
        salt: Different for each figure of a page, which makes their internal names differ.
    """
    out = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": salt}), warnings.catch_warnings():
        # The browser draws the texts, with its own fonts: what matplotlib's font lacks is no loss.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.set_canvas(FigureCanvasSVG(figure))
        figure.savefig(out, format="svg", metadata=nothing)
    return _slim(out.getvalue(), escape(words, quote=True))


def _slim(text: str, words: str) -> str:
    """Return matplotlib's SVG without its preamble, with shorter numbers and with themed colours."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->|<defs>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"font-family: [^;\"]*;? ?|font: [\d.]+px [^;\"]*;", _font, text)
    text = _DOTS.sub(lambda found: f'd="{_dots(found[1])}"{found[2]}', text)
    text = _PLACED.sub(lambda found: f'{found[1]}="{_NUMBER.sub(_rounded, found[2])}"', text)
    for colour in COLOURS.values():
        text = text.replace(colour.stand_in, f"var(--{colour.name})")
    text = re.sub(r">\s+<", "><", text)
    text = re.sub(r"\s*\n\s*", " ", text)
    box = re.search(r'viewBox="([^"]*)"', text)
    assert box is not None
    head = f'<svg class="panel" viewBox="{box[1]}" role="img" aria-label="{words}">'
    return head + text[text.index(">") + 1 :].rstrip()


def _font(found: re.Match[str]) -> str:
    size = re.search(r"[\d.]+px", found[0])
    return f"font-size: {size[0]};" if size else ""


def _rounded(found: re.Match[str]) -> str:
    return f"{float(found[0]):.1f}".removesuffix(".0")


def _dots(path: str) -> str:
    """Return a path of points as one whole-pixel dot each, equal ones once."""
    points = [(round(float(x)), round(float(y))) for x, y in _POINT.findall(path)]
    return "".join(f"M{x} {y}h0" for x, y in dict.fromkeys(points))
