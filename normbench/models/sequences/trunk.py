"""The layers of transformers: residual branches with norms, blocks of them, and trunks of blocks."""

from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from normbench.errors import ConfigError
from normbench.models.activations import build_activation
from normbench.models.dials import Dials
from normbench.models.dropout import optional_dropout
from normbench.models.initialization import Initialization
from normbench.models.sequences.attention import Attention
from normbench.norms.factory import NormFactory
from normbench.norms.sequence import SequenceNorm
from normbench.shapes import SequenceShape

_FEED_FORWARD = 4
"""Width of the feed-forward layer, in widths of the model (Vaswani et al. 2017)."""
_POSITIONS = 0.5
"""Initial scale of positions beside that of embeddings, as in the code of GPT-2."""


@dataclass(frozen=True, slots=True)
class TrunkSettings:
    """Settings of a trunk.

    Attributes:
        norm: Makes the norms.
        width: C, channels, a multiple of the heads.
        depth: Blocks.
        heads: Heads of attention.
        norm_first: Whether norms are before each branch (pre-norm) or after each sum (post-norm).
        norm_time: As in `SequenceNorm`.
        norm_over: As in `SequenceNorm`.
        dials: Activation, initialisation and dropout.

    Raises:
        ConfigError: If a number is out of range.
    """

    norm: NormFactory
    width: int
    depth: int
    heads: int
    norm_first: bool
    norm_time: str
    norm_over: str
    dials: Dials

    def __post_init__(self) -> None:
        if min(self.width, self.depth, self.heads) < 1:
            raise ConfigError(
                f"model: got width={self.width}, depth={self.depth} and heads={self.heads}, "
                "expected integers of at least 1."
            )
        if self.width % self.heads:
            raise ConfigError(f"model.heads: got {self.heads}, expected a divisor of model.width={self.width}.")

    def make_norm(self, length: int) -> SequenceNorm:
        """Return a norm for sequences of at most `length` steps."""
        return SequenceNorm(self.norm, self.width, length=length, over=self.norm_over, time=self.norm_time)


@final
class FeedForward(nn.Module):
    """Two linear layers with an activation between them, on each step: C to 4 C to C.

    Args:
        settings: Those of the trunk.
    """

    def __init__(self, settings: TrunkSettings) -> None:
        super().__init__()
        width, norm = settings.width, settings.norm
        self.inner = norm.weighted(nn.Linear(width, _FEED_FORWARD * width))
        self.activation = build_activation(settings.dials.activation)
        self.out = norm.weighted(nn.Linear(_FEED_FORWARD * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for x, (N, L, C)."""
        return self.out(self.activation(self.inner(x)))  # type: ignore[no-any-return]  # nn.Module calls are untyped


@final
class Residual(nn.Module):
    """A residual branch f: x + f(norm(x)) with the norm first (Xiong et al. 2020), otherwise norm(x + f(x)).

    Args:
        branch: f.
        settings: Those of the trunk.
        length: L, the most steps.
    """

    def __init__(self, branch: nn.Module, settings: TrunkSettings, length: int) -> None:
        super().__init__()
        self.norm_first = settings.norm_first
        self.norm = settings.make_norm(length)
        self.branch = branch
        self.dropout = optional_dropout(settings.dials.dropout, (length, settings.width))

    def forward(self, x: Tensor, valid: Tensor | None, *context: Tensor | None) -> Tensor:
        """Return the sum for x, (N, L, C), with what the branch takes besides."""
        y = self.norm(x, valid) if self.norm_first else x
        total: Tensor = x + self.dropout(self.branch(y, *context))
        return total if self.norm_first else self.norm(total, valid)


@final
class TransformerBlock(nn.Module):
    """Branches of attention, of attention to another sequence if it is `crossed`, and of a feed-forward layer.

    Args:
        settings: Those of the trunk.
        length: L, the most steps.
        crossed: Whether it attends to another sequence.
    """

    def __init__(self, settings: TrunkSettings, length: int, *, crossed: bool) -> None:
        super().__init__()

        def attention() -> Residual:
            return Residual(Attention(settings.width, settings.heads, settings.norm), settings, length)

        self.attention = attention()
        self.cross = attention() if crossed else None
        self.feed_forward = Residual(FeedForward(settings), settings, length)

    def forward(self, x: Tensor, valid: Tensor | None, mask: Tensor | None, *other: Tensor | None) -> Tensor:
        """Return the block of x, (N, L, C).

        Args:
            x: (N, L, C).
            valid: (N, L) bool, which steps are no padding; None if all are valid.
            mask: Which steps each step may see, as in `Attention`.
            *other: The mask for the other sequence and this sequence, (N, S, C), if the block is crossed.
        """
        x = self.attention(x, valid, mask)
        if self.cross is not None:
            x = self.cross(x, valid, *other)
        return self.feed_forward(x, valid)  # type: ignore[no-any-return]  # nn.Module calls are untyped


@final
class Trunk(nn.Module):
    """Embeddings of tokens or numbers, learnt positions, blocks and, with the norm first, a last norm.

    Args:
        settings: Its settings.
        shape: The sequences.
        crossed: Whether the blocks attend to another sequence.

    Shape:
        (N, L) tokens or (N, L, D) numbers to (N, L, C).
    """

    def __init__(self, settings: TrunkSettings, shape: SequenceShape, *, crossed: bool = False) -> None:
        super().__init__()
        width, length = settings.width, shape.length
        self.embedding = nn.Embedding(shape.vocabulary, width) if shape.vocabulary else nn.Linear(shape.features, width)
        self.positions = nn.Embedding(length, width)
        self.dropout = optional_dropout(settings.dials.dropout, (length, width))
        self.blocks = nn.ModuleList(TransformerBlock(settings, length, crossed=crossed) for _ in range(settings.depth))
        self.norm = settings.make_norm(length) if settings.norm_first else None

    def forward(self, sequence: Tensor, valid: Tensor | None, mask: Tensor | None, *other: Tensor | None) -> Tensor:
        """Return the last states of a sequence; see `TransformerBlock` for the arguments."""
        x: Tensor = self.dropout(self.embedding(sequence) + self.positions.weight[: sequence.shape[1]])
        for block in self.blocks:
            x = block(x, valid, mask, *other)
        return x if self.norm is None else self.norm(x, valid)


def trunk_initialization(model: nn.Module, dials: Dials) -> Initialization:
    """Return the initialisation of a model with trunks.

    The last weight of each residual branch is divided by the root of the number of branches in its trunk (GPT-2,
    Radford et al. 2019), whatever the norm: so the model also trains without one.

    Args:
        model: The model.
        dials: Its settings.
    """
    factors = {}
    for place, trunk in model.named_modules():
        if isinstance(trunk, Trunk):
            branches = [name for name, module in trunk.named_modules() if isinstance(module, Residual)]
            factors[f"{place}.positions.weight"] = _POSITIONS
            factors |= {f"{place}.{name}.branch.out.weight": len(branches) ** -0.5 for name in branches}
    return Initialization(dials.init, dials.activation, dials.init_scale, factors=factors)
