"""The transformer: an encoder of whole sequences, or a causal decoder with an output at every step."""

from typing import final

from torch import Tensor, nn

from normbench.models.dials import Dials
from normbench.models.sequences.attention import visible_before, visible_keys
from normbench.models.sequences.causality import refuse_pooling_later_steps
from normbench.models.sequences.steps import mean_over_steps, valid_steps
from normbench.models.sequences.trunk import Trunk, TrunkSettings, trunk_initialization
from normbench.norms.factory import NormFactory
from normbench.shapes import SequenceShape


@final
class Transformer(nn.Module):
    """A trunk, and a head on the mean over valid steps; or a causal trunk and a head on every step.

    Args:
        shape: The sequences.
        num_outputs: K.
        settings: Those of the trunk.

    Shape:
        (N, L) tokens or (N, L, D) numbers, and lengths (N,) if sequences differ in length, to (N, K) or (N, L, K).
    """

    def __init__(self, shape: SequenceShape, num_outputs: int, settings: TrunkSettings) -> None:
        super().__init__()
        self.every_step = shape.every_step
        self.trunk = Trunk(settings, shape)
        self.head = nn.Linear(settings.width, num_outputs)
        self.init = trunk_initialization(self, settings.dials)

    def forward(self, sequence: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the outputs of sequences, with their lengths if they differ."""
        valid = valid_steps(sequence, lengths)
        mask = visible_before(sequence, valid) if self.every_step else visible_keys(valid)
        x = self.trunk(sequence, valid, mask)
        return self.head(x if self.every_step else mean_over_steps(x, valid))  # type: ignore[no-any-return]


def transformer(
    input_shape: SequenceShape,
    num_outputs: int,
    norm: NormFactory,
    *,
    width: int = 32,
    depth: int = 2,
    heads: int = 4,
    activation: str = "gelu",
    norm_first: bool = True,
    norm_time: str = "shared",
    norm_over: str = "tokens",
    init: str = "xavier",
    init_scale: float = 1.0,
    dropout: float = 0.0,
) -> Transformer:
    """Return a transformer: an encoder, or a causal decoder if the task wants an output at every step.

    Each branch's last weight starts divided by sqrt(2 depth), whatever the norm; see `trunk_initialization`.

    Args:
        input_shape: The sequences.
        num_outputs: K.
        norm: Makes the norms.
        width: Channels.
        depth: Blocks.
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
    dials.refuse_residual_init("transformer")
    refuse_pooling_later_steps(input_shape, norm, norm_over)
    settings = TrunkSettings(norm, width, depth, heads, norm_first, norm_time, norm_over, dials)
    return Transformer(input_shape, num_outputs, settings)
