"""The transformer that reads a source sequence and writes a target sequence."""

from typing import final

from torch import Tensor, nn

from normbench.models.dials import Dials
from normbench.models.sequences.attention import visible_before, visible_keys
from normbench.models.sequences.causality import refuse_pooling_later_steps
from normbench.models.sequences.steps import valid_steps
from normbench.models.sequences.trunk import Trunk, TrunkSettings, trunk_initialization
from normbench.norms.factory import NormFactory
from normbench.shapes import PairShape


@final
class Seq2Seq(nn.Module):
    """An encoder, a causal decoder that attends to the encoder's last states, and a head on every step of the target.

    Args:
        shape: Source and target.
        num_outputs: K.
        settings: Those of both trunks.

    Shape:
        source (N, L), its lengths (N,), target (N, M) and its lengths (N,) to (N, M, K).
    """

    def __init__(self, shape: PairShape, num_outputs: int, settings: TrunkSettings) -> None:
        super().__init__()
        self.encoder = Trunk(settings, shape.source)
        self.decoder = Trunk(settings, shape.target, crossed=True)
        self.head = nn.Linear(settings.width, num_outputs)
        self.init = trunk_initialization(self, settings.dials)

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor, target_lengths: Tensor) -> Tensor:
        """Return the outputs at every step of the target."""
        there = valid_steps(source, source_lengths)
        keys = visible_keys(there)
        memory = self.encoder(source, there, keys)
        valid = valid_steps(target, target_lengths)
        states = self.decoder(target, valid, visible_before(target, valid), keys, memory)
        return self.head(states)  # type: ignore[no-any-return]  # nn.Module calls are untyped


def seq2seq(
    input_shape: PairShape,
    num_outputs: int,
    norm: NormFactory,
    *,
    width: int = 48,
    depth: int = 2,
    heads: int = 4,
    activation: str = "gelu",
    norm_first: bool = True,
    norm_time: str = "shared",
    norm_over: str = "tokens",
    init: str = "xavier",
    init_scale: float = 1.0,
    dropout: float = 0.0,
) -> Seq2Seq:
    """Return an encoder and a decoder of `depth` blocks each.

    Each branch's last weight starts divided by sqrt(2 depth) in the encoder and sqrt(3 depth) in the decoder, whatever
    the norm; see `trunk_initialization`.

    Args:
        input_shape: Source and target.
        num_outputs: K.
        norm: Makes the norms.
        width: Channels.
        depth: Blocks of encoder and decoder.
        heads: Heads of attention; they divide the width.
        activation: Of the feed-forward layers, a key of `ACTIVATIONS`.
        norm_first: Whether norms are before each branch (pre-norm) or after each sum (post-norm).
        norm_time: As in `SequenceNorm`.
        norm_over: As in `SequenceNorm`.
        init: As in `Dials`.
        init_scale: As in `Dials`.
        dropout: As in `Dials`, after the embeddings and in each branch.

    Raises:
        ConfigError: If a name is unknown or a number out of range.
        ImpossibleRunError: If settings are incompatible.
    """
    dials = Dials(activation=activation, init=init, init_scale=init_scale, dropout=dropout)
    dials.refuse_residual_init("seq2seq")
    refuse_pooling_later_steps(input_shape.target._replace(every_step=True), norm, norm_over)
    settings = TrunkSettings(norm, width, depth, heads, norm_first, norm_time, norm_over, dials)
    return Seq2Seq(input_shape, num_outputs, settings)
