"""Where the norms of a recurrent cell are, and how they start."""

from dataclasses import dataclass

from torch import nn

from normbench.errors import ImpossibleRunError
from normbench.norms.factory import NormFactory
from normbench.norms.sequence import SequenceNorm

NORM_PLACES = ("input", "recurrent", "both")
BATCH_GAIN = 0.1
"""Initial gamma of norms with batch statistics: at 1, tanh saturates (Cooijmans et al. 2016)."""


@dataclass(frozen=True, slots=True)
class CellNorms:
    """The norms of a cell.

    Attributes:
        norm: Makes them.
        length: L, the most steps of a sequence.
        place: `input` normalises W_x x, `recurrent` W_h h, `both` these two and the state of an LSTM inside its tanh.
        over: As in `SequenceNorm`.
        time: As in `SequenceNorm`.
        gain: Initial gamma; None takes `BATCH_GAIN` for norms with batch statistics and leaves others as constructed.
    """

    norm: NormFactory
    length: int
    place: str = "recurrent"
    over: str = "tokens"
    time: str = "step"
    gain: float | None = None

    @property
    def on_input(self) -> bool:
        """Whether W_x x is normalised."""
        return self.place != "recurrent"

    @property
    def on_recurrent(self) -> bool:
        """Whether W_h h is normalised."""
        return self.place != "input"

    def linear(self, fan_in: int, units: int, *, normed: bool) -> nn.Module:
        """Return a linear layer without bias, as the norm after it needs it if `normed`."""
        layer = nn.Linear(fan_in, units, bias=False)
        return self.norm.weighted(layer) if normed else layer

    def make(self, num_features: int, *, shifts: bool = False) -> SequenceNorm:
        """Return a norm with the initial gamma.

        Args:
            num_features: Channels C.
            shifts: Whether its beta is trained; otherwise it stays at 0.

        Raises:
            ImpossibleRunError: If `gain` is set and the norm has no gamma.
        """
        made = SequenceNorm(self.norm, num_features, length=self.length, over=self.over, time=self.time)
        # Norms of single steps share these parameters.
        params = dict(made.norms[0].named_parameters(recurse=False))
        gain = BATCH_GAIN if self.gain is None and made.by_batch else self.gain
        if self.gain is not None and "weight" not in params:
            raise ImpossibleRunError(
                f"model.norm_gain={self.gain:g} sets the initial scale of norms, and {made.norms[0]} has none; "
                "use a norm with affine=true, or norm_gain=null."
            )
        if gain is not None and "weight" in params:
            nn.init.constant_(params["weight"], gain)
        if not shifts and "bias" in params:
            params["bias"].requires_grad_(False)
        return made
