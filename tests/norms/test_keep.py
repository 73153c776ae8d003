"""Tests of the choice to keep a model's norms."""

import pytest
from problems import dataset_of, problem
from torch import nn

from normbench.errors import ImpossibleRunError
from normbench.models.registry import REGISTRY
from normbench.norms import CHOICES, Keep, NormFactory
from normbench.spec import Component
from normbench.training.dry_run import dry_run


@pytest.mark.parametrize("model", ["mlp", "plain", "resnet", "resnet18"])
def test_models_of_the_package_have_none_to_keep(model: str) -> None:
    """They are built with the run's norm, and say so."""
    with pytest.raises(ImpossibleRunError, match="norm=keep keeps a model's own norms"):
        REGISTRY[model]((3, 8, 8), 5, NormFactory(CHOICES["keep"]))


def test_it_is_a_choice_without_a_layer() -> None:
    """No table of layers has it, and a run refuses it with the reason."""
    assert CHOICES["keep"] is Keep and issubclass(Keep, nn.Module)
    run = problem("mlp-batch")
    with pytest.raises(ImpossibleRunError, match="norm=keep"):
        dry_run(
            type(run)(**{**{name: getattr(run, name) for name in run.__slots__}, "norm": Component("keep", {})}),
            dataset_of(run),
        )
