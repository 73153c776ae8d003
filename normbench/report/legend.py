"""The key to a figure: a line and a marker, as in the figure itself."""

from markupsafe import Markup

from normbench.report.palette import Style

_SHAPES = {
    "": "",
    "o": '<circle cx="14" cy="7" r="3.4"/>',
    "s": '<path d="M11 4h6v6h-6z"/>',
    "^": '<path d="M14 3l4 7h-8z"/>',
    "D": '<path d="M14 2.5l4.5 4.5-4.5 4.5-4.5-4.5z"/>',
    "v": '<path d="M14 11l4-7h-8z"/>',
    "P": '<path d="M12.5 3h3v2.5H18v3h-2.5V11h-3V8.5H10v-3h2.5z"/>',
    "X": '<path d="M10.5 5l2-2L14 4.6 15.5 3l2 2-1.6 2 1.6 2-2 2L14 9.4 12.5 11l-2-2 1.6-2z"/>',
}
_DASHES = {
    "-": "",
    "--": ' stroke-dasharray="6 3"',
    ":": ' stroke-dasharray="2 2"',
    "-.": ' stroke-dasharray="6 2 2 2"',
}


def swatch(style: Style) -> Markup:
    """Return the sample of a style."""
    colour = f"var(--{style.colour})"
    line = f'<path d="M0 7h28" stroke="{colour}" stroke-width="1.6"{_DASHES[style.dash]}/>'
    shape = f'<g fill="{colour}">{_SHAPES[style.marker]}</g>'
    return Markup(f'<svg class="swatch" viewBox="0 0 28 14" aria-hidden="true">{line}{shape}</svg>')
