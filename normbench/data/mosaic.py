"""An embedded picture in a style of its own: a mosaic of coloured stones, the same on every machine."""

import numpy as np
import torch
from torch import Tensor

from normbench.data.exact import draw_below

_SIDE, _STONES, _SEED = 256, 220, 0
_GROUT = 160
"""How near to two stones, by the difference of the squared distances in pixels, lies the dark line between them."""

_COLOURS = ((214, 40, 40), (247, 127, 0), (252, 191, 73), (234, 226, 183), (0, 48, 73), (42, 157, 143), (38, 70, 133))


def mosaic() -> Tensor:
    """Return a picture of stones around random points, (3, 256, 256) uint8, in seven colours between dark lines."""
    bits = np.random.PCG64(_SEED)
    points, colours = draw_below(bits, _SIDE, _STONES, 2), draw_below(bits, len(_COLOURS), _STONES)
    rows, columns = np.indices((_SIDE, _SIDE))
    distances = (rows[..., None] - points[:, 0]) ** 2 + (columns[..., None] - points[:, 1]) ** 2
    two = np.sort(distances, axis=-1)[..., :2]
    painted = np.array(_COLOURS, np.uint8)[colours[distances.argmin(axis=-1)]]
    painted[two[..., 1] - two[..., 0] < _GROUT // 4] = (20, 16, 24)
    return torch.from_numpy(painted.transpose(2, 0, 1).copy())
