import importlib.util

import numpy as np
import pytest
from sklearn.datasets import load_digits

from normbench.data.digits import digits
from normbench.errors import DataError


def test_digits_are_those_of_scikit_learn() -> None:
    """Reading the file past scikit-learn gives what scikit-learn gives."""
    expected = load_digits()
    data = digits()
    np.testing.assert_array_equal(data.images[:, 0].numpy(), expected.images)
    np.testing.assert_array_equal(data.labels.numpy(), expected.target)
    assert (data.input_shape, data.num_classes, data.num_test) == ((1, 8, 8), 10, 0)


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where scikit-learn is missing the message says to install it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install scikit-learn"):
        digits()
