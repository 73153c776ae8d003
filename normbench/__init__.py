"""normbench: an experiment runner for normalization ablations in PyTorch.

``normbench.train(["norm=batch,none", "seed=range(3)"], study="mine")`` trains and ``normbench.load("results/mine")``
reads; both return a pandas DataFrame with the columns of ``runs.csv``. Everything is imported on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normbench import data, models, norms
    from normbench.api import load, train

__all__ = ["data", "load", "models", "norms", "train"]


def __getattr__(name: str) -> Any:
    if name in ("train", "load"):
        return getattr(importlib.import_module("normbench.api"), name)
    if name in ("data", "models", "norms"):
        return importlib.import_module(f"normbench.{name}")
    raise AttributeError(f"module 'normbench' has no attribute {name!r}")
