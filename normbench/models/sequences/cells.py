"""Recurrent layers, step by step and with norms inside: torch's fused ones take none."""

from abc import ABC, abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from normbench.models.activations import build_activation
from normbench.models.sequences.cell_norms import CellNorms


class RecurrentCell(nn.Module, ABC):
    r"""A recurrent layer: subclasses define its step.

    $$x'_t = N_x(W_x x_t) + b, \quad h'_t = N_h(W_h h_{t-1})$$

    The step combines both. With `CellNorms.place` = `input` there is no N_h (Laurent et al. 2015), with `recurrent` no
    N_x. The norms have statistics and gamma of their own. Their betas stay at 0: b is the shift, for every norm alike,
    as in Cooijmans et al. (2016). Without a norm this is torch's layer, with the sum of its two biases as b.

    After its last valid step a sequence keeps its state.

    A step takes sigmoids of parts of wider rows: torch rounds the last values of a contiguous tensor otherwise, so that
    the bits of a stacked run would depend on its neighbours.

    Args:
        features: D, numbers at each step.
        width: H, units.
        norms: Its norms.

    Shape:
        (N, L, D) to the states h of all steps, (N, L, H).
    """

    gates: ClassVar[int]
    states: ClassVar[int] = 1

    def __init__(self, features: int, width: int, norms: CellNorms) -> None:
        super().__init__()
        self.width = width
        units = self.gates * width
        self.input = norms.linear(features, units, normed=norms.on_input)
        self.recurrent = norms.linear(width, units, normed=norms.on_recurrent)
        self.bias = nn.Parameter(torch.zeros(units))
        self.input_norm = norms.make(units) if norms.on_input else None
        self.recurrent_norm = norms.make(units) if norms.on_recurrent else None

    @abstractmethod
    def step(self, now: Tensor, state: tuple[Tensor, ...], step: int, valid: Tensor | None) -> tuple[Tensor, ...]:
        """Return the next state, h first.

        Args:
            now: x'_t, (N, gates H).
            state: The state before, (N, H) each.
            step: t, from 0.
            valid: (N,) bool, which sequences have this step; None if all have.
        """

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return h at all steps of x, (N, L, D), where `valid` (N, L) tells which are no padding."""
        now = self.input(x)
        if self.input_norm is not None:
            now = self.input_norm(now, valid)
        now = now + self.bias
        state = tuple(now.new_zeros(len(x), self.width) for _ in range(self.states))
        outputs = []
        # Indexing the steps would make the backward pass quadratic in L.
        steps = now.unbind(1)
        masks = [None] * len(steps) if valid is None else valid.unbind(1)
        for step, (one, mask) in enumerate(zip(steps, masks, strict=True)):
            after = self.step(one, state, step, mask)
            state = after if mask is None else _kept(mask, after, state)
            outputs.append(state[0])
        return torch.stack(outputs, 1)

    def hidden(self, h: Tensor, step: int, valid: Tensor | None) -> Tensor:
        """Return h'_t, (N, gates H)."""
        y: Tensor = self.recurrent(h)
        return y if self.recurrent_norm is None else self.recurrent_norm.step(y, step, valid)


def _kept(valid: Tensor, after: tuple[Tensor, ...], before: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    mask = valid.unsqueeze(1)
    return tuple(torch.where(mask, new, old) for new, old in zip(after, before, strict=True))


@final
class RNNCell(RecurrentCell):
    r"""The simple recurrent layer: $h_t = \phi(x'_t + h'_t)$.

    Args:
        features: D, numbers at each step.
        width: H, units.
        norms: Its norms.
        activation: phi, a key of `ACTIVATIONS`.
    """

    gates: ClassVar[int] = 1

    def __init__(self, features: int, width: int, norms: CellNorms, activation: str = "tanh") -> None:
        super().__init__(features, width, norms)
        self.activation = build_activation(activation)

    def step(self, now: Tensor, state: tuple[Tensor, ...], step: int, valid: Tensor | None) -> tuple[Tensor, ...]:
        """Return the next h."""
        return (self.activation(now + self.hidden(state[0], step, valid)),)


@final
class LSTMCell(RecurrentCell):
    r"""Long short-term memory (Hochreiter & Schmidhuber 1997; norms as in Ba et al. and Cooijmans et al. 2016).

    $$(i, f, g, o) = x'_t + h'_t, \quad c_t = \sigma(f) c_{t-1} + \sigma(i) \tanh(g), \quad
    h_t = \sigma(o) \tanh(N_c(c_t))$$

    N_c is there if both other norms are. It has a beta, and c itself stays unnormalised. The bias of the forget gate is
    1 at first (Jozefowicz et al. 2015).
    """

    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def __init__(self, features: int, width: int, norms: CellNorms) -> None:
        super().__init__(features, width, norms)
        both = norms.on_input and norms.on_recurrent
        self.cell_norm = norms.make(width, shifts=True) if both else None
        with torch.no_grad():
            self.bias[width : 2 * width] = 1

    def step(self, now: Tensor, state: tuple[Tensor, ...], step: int, valid: Tensor | None) -> tuple[Tensor, ...]:
        """Return the next h and c."""
        h, c = state
        i, f, g, o = (now + self.hidden(h, step, valid)).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        inner = c if self.cell_norm is None else self.cell_norm.step(c, step, valid)
        return o.sigmoid() * inner.tanh(), c


@final
class GRUCell(RecurrentCell):
    r"""The gated recurrent unit (Cho et al. 2014) in the form of cuDNN and torch.

    $$r, z = \sigma(x'_t + h'_t), \quad n = \tanh(x'_t + r (h'_t + b_n)), \quad h_t = (1 - z) n + z h_{t-1}$$

    each with its own part of x' and h'. A norm takes the parts of r, z and n together, as in an LSTM; for norms that
    take each channel by itself this is the form of Ba et al. (2016), who normalise n apart.
    """

    gates: ClassVar[int] = 3

    def __init__(self, features: int, width: int, norms: CellNorms) -> None:
        super().__init__(features, width, norms)
        self.inner_bias = nn.Parameter(torch.zeros(width))

    def step(self, now: Tensor, state: tuple[Tensor, ...], step: int, valid: Tensor | None) -> tuple[Tensor, ...]:
        """Return the next h."""
        (h,) = state
        hidden = self.hidden(h, step, valid)
        r, z, _ = (now + hidden).chunk(3, dim=1)
        n = now[:, -self.width :] + r.sigmoid() * (hidden[:, -self.width :] + self.inner_bias)
        z = z.sigmoid()
        return ((1 - z) * n.tanh() + z * h,)


CELLS: dict[str, type[RecurrentCell]] = {"rnn": RNNCell, "lstm": LSTMCell, "gru": GRUCell}
