"""Scikit-learn's handwritten digits: part of its installation, so the first run downloads nothing."""

import importlib.util
from pathlib import Path

import numpy as np
import torch

from normbench.data.dataset import Dataset, content_hash
from normbench.errors import DataError


def digits() -> Dataset:
    """Load the 1,797 digits of 8 x 8 pixels, grey values 0 to 16 (Alpaydin and Kaynak 1998).

    Returns:
        The data set, 1 channel, 10 classes, without a test part of its own.

    Raises:
        DataError: Scikit-learn is not installed.
    """
    # Read from scikit-learn's own file: importing sklearn.datasets takes longer than a run of the quickstart.
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("data set 'digits' needs scikit-learn, which is not installed: pip install scikit-learn")
    table = np.loadtxt(Path(package.origin).parent / "datasets/data/digits.csv.gz", delimiter=",", dtype=np.int64)
    images = torch.from_numpy(table[:, :64].astype(np.uint8)).view(-1, 1, 8, 8)
    labels = torch.from_numpy(table[:, 64].copy())
    names = tuple(str(digit) for digit in range(10))
    return Dataset("digits", images, labels, 0, names, content_hash(images, labels, 0))
