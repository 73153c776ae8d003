"""The grammar's ``logspace(start, stop, count)``: values at equal distances on a logarithmic scale."""

from decimal import Context, Decimal

from hydra.core.override_parser.types import ChoiceSweep

_DIGITS = 9
"""Significant digits of a value, as in tables."""

_EXACT = Context(prec=40)
"""Decimal arithmetic gives the same digits on every machine; the power function of C libraries does not."""


def logspace(start: int | float, stop: int | float, count: int) -> ChoiceSweep:
    """Return ``count`` values from ``10**start`` to ``10**stop``, both included, like `numpy.logspace`.

    Args:
        start: Exponent of the first value, to base 10.
        stop: Exponent of the last value.
        count: How many.

    Returns:
        A sweep over the values, each rounded to nine significant digits, so that ids are the same on every machine.

    Raises:
        ValueError: If `count` is below 1, or a value is out of the range of a float.
    """
    if count < 1:
        raise ValueError(f"a count of at least 1 is needed, got {count}")
    first, last = Decimal(str(start)), Decimal(str(stop))
    steps = max(count - 1, 1)
    exponents = [_EXACT.divide(first * (steps - place) + last * place, Decimal(steps)) for place in range(count)]
    values = [float(f"{_EXACT.power(Decimal(10), exponent):.{_DIGITS - 1}e}") for exponent in exponents]
    if not all(0 < value < float("inf") for value in values):
        raise ValueError("a float holds powers from 10**-323 to 10**308")
    return ChoiceSweep(list=list(values))
