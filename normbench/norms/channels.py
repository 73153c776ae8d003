"""Broadcasting of channel values over the positions of a map, and the check for maps of one position."""

import math

from torch import Tensor

from normbench.errors import ImpossibleRunError


def over_positions(values: Tensor, x: Tensor) -> Tensor:
    """Return values (C,) or (N, C) in a shape that broadcasts against x, (N, C, ...)."""
    return values.reshape(*values.shape, *[1] * (x.ndim - 2))


def scale_and_shift(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return gamma x + beta, (N, C, ...), with gamma and beta (C,) or None."""
    if weight is not None:
        x = x * over_positions(weight, x)
    return x if bias is None else x + over_positions(bias, x)


def refuse_single_positions(x: Tensor, norm: str) -> None:
    """Raise if the channels of x, (N, C, ...), have a single position each.

    Args:
        x: Input of a norm that averages over positions.
        norm: Name of the norm, for the message.

    Raises:
        ImpossibleRunError: If so.
    """
    if math.prod(x.shape[2:]) == 1:
        place = "fully connected features" if x.ndim == 2 else f"maps of {'x'.join(map(str, x.shape[2:]))}"
        raise ImpossibleRunError(
            f"{norm} needs several positions to average over, got {place} (input {tuple(x.shape)}); "
            "use a larger image, a convolutional model or another norm."
        )
