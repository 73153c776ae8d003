"""A later token changes no earlier output of a causal model, except by batch statistics shared by steps in training."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normbench.models.initialization import initialize
from normbench.models.registry import REGISTRY
from normbench.norms import BatchNorm, LayerNorm, NormFactory
from normbench.randomness import generator
from normbench.shapes import PairShape, SequenceShape

L, CHANGED = 6, 4
SHAPE = SequenceShape(L, vocabulary=5, every_step=True)
MODELS: dict[str, dict[str, Any]] = {
    "rnn": {"norm_place": "both"},
    "transformer": {"width": 8},
    "seq2seq": {"width": 8},
}


def _difference(model: str, norm: type[nn.Module], *, training: bool, **settings: Any) -> Tensor:
    """Return the largest change of each step's outputs, (L,), when tokens from `CHANGED` on change."""
    shape = PairShape(SHAPE, SHAPE) if model == "seq2seq" else SHAPE
    net = REGISTRY[model](shape, 5, NormFactory(norm), **{**MODELS[model], **settings})
    initialize(net, lambda name: generator(0, name))
    net.double().train(training)
    tokens = torch.randint(5, (8, L), generator=torch.Generator().manual_seed(0))
    later = tokens.clone()
    later[:, CHANGED:] = (later[:, CHANGED:] + 1) % 5
    lengths = torch.full((8,), L)

    def call(target: Tensor) -> Tensor:
        outputs: Tensor = net(tokens, lengths, target, lengths) if model == "seq2seq" else net(target)
        return outputs

    return (call(tokens) - call(later)).abs().amax((0, 2))


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("norm", [LayerNorm, BatchNorm])
@pytest.mark.parametrize("model", MODELS)
def test_a_later_token_changes_no_earlier_output(model: str, norm: type[nn.Module], training: bool) -> None:
    """Exactly, with statistics for each step; the outputs from the changed token on do change."""
    change = _difference(model, norm, training=training, norm_time="step")
    assert (change[:CHANGED] == 0).all()
    assert (change[CHANGED:] > 0).all()


@pytest.mark.parametrize("model", MODELS)
def test_shared_batch_statistics_show_later_tokens_in_training(model: str) -> None:
    """They are taken over all steps; running statistics are not."""
    settings = {"norm_place": "input"} if model == "rnn" else {}
    assert (_difference(model, BatchNorm, training=True, norm_time="shared", **settings)[:CHANGED] > 0).all()
    assert (_difference(model, BatchNorm, training=False, norm_time="shared", **settings)[:CHANGED] == 0).all()
