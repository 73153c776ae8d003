"""Tests of the settings that models share."""

from typing import Any

import pytest

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.models.dials import Dials


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ({"activation": "rleu"}, "model.activation: unknown value 'rleu'; did you mean 'relu'"),
        ({"norm_placement": "middle"}, "model.norm_placement: unknown value 'middle'"),
        ({"init": "kaiming"}, "model.init: unknown value 'kaiming'"),
        ({"init_scale": 0.0}, "model.init_scale: got 0.0"),
        ({"dropout": 1.0}, "model.dropout: got 1.0"),
    ],
    ids=["activation", "norm_placement", "init", "init_scale", "dropout"],
)
def test_refuses_what_it_does_not_know(dials: dict[str, Any], message: str) -> None:
    """A wrong value raises and says what is allowed."""
    with pytest.raises(ConfigError) as error:
        Dials(**dials)
    assert message in str(error.value)


@pytest.mark.parametrize("init", ["skipinit", "fixup"])
def test_refuses_residual_initialisations_for_other_models(init: str) -> None:
    """The error names the initialisation and the model."""
    with pytest.raises(ImpossibleRunError, match=rf"init={init} .* model=mlp"):
        Dials(init=init).refuse_residual_init("mlp")
