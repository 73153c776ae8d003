"""A weight layer with its norm and activation, in either order."""

from collections.abc import Callable
from typing import final

from torch import Tensor, nn

from normbench.errors import ImpossibleRunError
from normbench.models.activations import build_activation
from normbench.models.dials import Dials
from normbench.norms.factory import NormFactory


@final
class NormedLayer(nn.Module):
    """A linear or convolutional layer, a norm and an activation.

    With the norm before the activation y = act(norm(layer(x))), with the norm after it y = norm(act(layer(x))).
    The layer has a bias unless a norm that removes each channel's mean follows directly. The submodules have the same
    names for every norm, so that arms with one seed share their weights.

    A norm that includes an activation gives y = norm(layer(x)), without its activation if `activated` is False. A norm
    that changes weights gets the layer to change.

    The initial bias in `dials` (Lu et al. 2019 study its effect on ReLUs) is set on `bias`.

    Args:
        layer: Called with ``bias=`` to make the layer.
        num_features: Output channels.
        norm: Makes the norm.
        dials: Determines the activation and the placement of the norm.
        activated: False leaves the activation out: y = norm(layer(x)).

    Raises:
        ImpossibleRunError: If the norm includes an activation, and the dials set another or place the norm after it.

    Shape:
        That of the layer.
    """

    def __init__(
        self,
        layer: Callable[..., nn.Module],
        num_features: int,
        norm: NormFactory,
        dials: Dials,
        *,
        activated: bool = True,
    ) -> None:
        super().__init__()
        if norm.includes_activation:
            _refuse_other_activation(dials)
        self.norm_first = dials.norm_first
        self.norm_follows = self.norm_first or not activated
        self.layer = norm.weighted(layer(bias=not (self.norm_follows and norm.removes_channel_mean)))
        self.norm = norm(num_features, activated=activated)
        separate = activated and not norm.includes_activation
        self.activation = build_activation(dials.activation) if separate else nn.Identity()

    @property
    def bias(self) -> nn.Parameter:
        """The last bias before the activation: the beta of a norm that follows directly, otherwise the layer's bias.

        The layer's bias cannot replace a beta that is switched off: batch, instance, group and layer norm remove what
        all channels share. For norms without beta it is the only shift, and few of them remove it.

        Raises:
            ImpossibleRunError: If there is no such parameter.
        """
        owner = self.norm if self.norm_follows and hasattr(self.norm, "bias") else self.layer
        bias = getattr(owner, "bias", None)
        if not isinstance(bias, nn.Parameter):
            raise ImpossibleRunError(
                f"model.bias_init sets the bias before each activation, and {owner} has none; use a norm "
                "with affine=true, norm_placement=after, or bias_init=0."
            )
        return bias

    def forward(self, x: Tensor) -> Tensor:
        """Return layer, norm and activation of x."""
        y = self.layer(x)
        out = self.activation(self.norm(y)) if self.norm_first else self.norm(self.activation(y))
        assert isinstance(out, Tensor)
        return out


def _refuse_other_activation(dials: Dials) -> None:
    if not dials.norm_first:
        raise ImpossibleRunError(
            "the norm includes an activation, so it cannot follow one; use norm_placement=before, or another norm."
        )
    if dials.activation != "relu":
        raise ImpossibleRunError(
            f"the norm includes its activation, so model.activation={dials.activation} would have no effect; "
            "use activation=relu, or another norm."
        )
