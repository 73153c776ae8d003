import numpy as np

from normbench.data.digit_blocks import choose
from normbench.data.digits import digits


def test_pieces_are_of_other_digits() -> None:
    """Of the block's digits, but never the scene's own; all others are used."""
    labels, blocks = np.arange(30_000) % 10, np.arange(30_000) // 10 % 50
    classes = digits().labels.numpy()
    chosen, others = choose(classes, labels, blocks, 4, np.random.PCG64(0))
    assert (classes[chosen] == labels).all()
    assert not (others == chosen[:, None]).any()
    assert set(chosen) == set(others.flatten()) == set(range(1797))
