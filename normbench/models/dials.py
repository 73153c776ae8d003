"""The settings that the models share; importing this module does not import torch."""

from dataclasses import dataclass

from normbench.errors import ConfigError, ImpossibleRunError, nearest
from normbench.models.activations import ACTIVATIONS

NORM_PLACEMENTS = ("before", "after")
PLAIN_INITS = ("he", "xavier")
RESIDUAL_INITS = ("skipinit", "fixup")
INITS = (*PLAIN_INITS, *RESIDUAL_INITS)


@dataclass(frozen=True, slots=True)
class Dials:
    """Settings that ablations vary, shared by all models.

    Attributes:
        activation: A key of `ACTIVATIONS`.
        norm_placement: The norm is `before` the activation (Ioffe & Szegedy 2015) or `after` it.
        init: `he` or `xavier`; for residual networks also `skipinit` or `fixup`.
        init_scale: Multiplies every weight that the initialisation draws.
        bias_init: Initial bias of every hidden layer, see `NormedLayer`; 0 keeps a norm's beta as constructed.
        dropout: Probability that a unit is zeroed; 0 builds no dropout layer.

    Raises:
        ConfigError: If a name is unknown or a number out of range.
    """

    activation: str = "relu"
    norm_placement: str = "before"
    init: str = "he"
    init_scale: float = 1.0
    bias_init: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        choices = (
            ("activation", self.activation, tuple(ACTIVATIONS)),
            ("norm_placement", self.norm_placement, NORM_PLACEMENTS),
            ("init", self.init, INITS),
        )
        for key, value, known in choices:
            if value not in known:
                raise ConfigError(f"model.{key}: unknown value {value!r}{nearest(value, known)}")
        if self.init_scale <= 0:
            raise ConfigError(f"model.init_scale: got {self.init_scale}, expected a number above 0.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"model.dropout: got {self.dropout}, expected a number of at least 0 and below 1.")

    @property
    def norm_first(self) -> bool:
        """Whether the norm comes before the activation."""
        return self.norm_placement == "before"

    def refuse_residual_init(self, model: str) -> None:
        """Raise if `init` needs residual branches, which `model` does not have.

        Raises:
            ImpossibleRunError: If `init` is `skipinit` or `fixup`.
        """
        if self.init in RESIDUAL_INITS:
            raise ImpossibleRunError(
                f"model.init={self.init} needs residual branches, and model={model} has none that it can use; "
                f"choose {' or '.join(PLAIN_INITS)}, or model=resnet."
            )
