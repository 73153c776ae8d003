"""Tests of the table of activations."""

import subprocess
import sys

import pytest
import torch

from normbench.models.activations import ACTIVATIONS, activation_gain, build_activation


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_matches_the_function_of_that_name(name: str) -> None:
    """Each name builds the module that computes torch's function of the same name."""
    x = torch.linspace(-3, 3, 13)
    function = getattr(torch.nn.functional, name)
    torch.testing.assert_close(build_activation(name)(x), function(x))


@pytest.mark.parametrize(
    ("name", "gain"),
    [("relu", 2**0.5), ("gelu", 2**0.5), ("silu", 2**0.5), ("elu", 2**0.5), ("tanh", 5 / 3), ("sigmoid", 1.0)],
)
def test_gains(name: str, gain: float) -> None:
    """Gains are torch's, and relu's where torch has none."""
    assert activation_gain(name) == pytest.approx(gain)


def test_names_are_known_without_torch() -> None:
    """Looking up the dials' names imports no torch, so that a config error comes at once."""
    code = "import sys, normbench.models.dials; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
