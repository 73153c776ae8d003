"""Recurrent networks."""

from collections.abc import Callable
from functools import partial
from typing import final

import torch
from torch import Tensor, nn

from normbench.errors import ConfigError, ImpossibleRunError, nearest
from normbench.models.dials import Dials
from normbench.models.dropout import optional_dropout
from normbench.models.initialization import Initialization
from normbench.models.sequences.causality import refuse_pooling_later_steps
from normbench.models.sequences.cell_norms import NORM_PLACES, CellNorms
from normbench.models.sequences.cells import CELLS, RecurrentCell, RNNCell
from normbench.models.sequences.steps import reversed_steps, valid_steps
from normbench.norms.factory import NormFactory
from normbench.shapes import SequenceShape


@final
class RNN(nn.Module):
    """Recurrent layers on numbers or embedded tokens, each with dropout after it, and a head.

    The head reads the states after the last valid step, those of both directions, or the state at every step.

    Args:
        shape: The sequences.
        num_outputs: K.
        make_cell: Makes a layer for so many numbers at each step.
        depth: Layers.
        width: H, units of a layer and direction; also the size of embeddings.
        bidirectional: Whether each layer also reads backwards, from the last valid step.
        dropout: Probability that a unit is zeroed.
        init: The initialisation.

    Shape:
        (N, L) tokens or (N, L, D) numbers, and lengths (N,) if sequences differ in length, to (N, K) or (N, L, K).
    """

    def __init__(
        self,
        shape: SequenceShape,
        num_outputs: int,
        make_cell: Callable[[int], RecurrentCell],
        *,
        depth: int,
        width: int,
        bidirectional: bool,
        dropout: float,
        init: Initialization,
    ) -> None:
        super().__init__()
        self.every_step = shape.every_step
        self.embedding = nn.Embedding(shape.vocabulary, width) if shape.vocabulary else nn.Identity()
        units = 2 * width if bidirectional else width
        sizes = [width if shape.vocabulary else shape.features, *[units] * (depth - 1)]
        self.layers = nn.ModuleList(make_cell(size) for size in sizes)
        self.backward_layers = nn.ModuleList(make_cell(size) for size in sizes) if bidirectional else None
        read = (shape.length, units) if shape.every_step else (units,)
        shapes = [*[(shape.length, units)] * (depth - 1), read]
        self.dropouts = nn.ModuleList(optional_dropout(dropout, one) for one in shapes)
        self.head = nn.Linear(units, num_outputs)
        self.init = init
        self.uncompiled = "a recurrence takes minutes to compile"

    def forward(self, sequence: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the outputs of sequences, with their lengths if they differ."""
        valid = valid_steps(sequence, lengths)
        x = self.embedding(sequence)
        for place, dropout in enumerate(self.dropouts):
            states, last = self._layer(place, x, valid, lengths)
            top = place == len(self.layers) - 1
            x = dropout(last if top and not self.every_step else states)
        return self.head(x)  # type: ignore[no-any-return]  # nn.Module calls are untyped

    def _layer(self, place: int, x: Tensor, valid: Tensor | None, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the states of a layer at all steps, and after the last valid one."""
        states = self.layers[place](x, valid)
        if self.backward_layers is None:
            return states, states[:, -1]
        back = self.backward_layers[place](reversed_steps(x, lengths), valid)
        return (
            torch.cat([states, reversed_steps(back, lengths)], dim=2),
            torch.cat([states[:, -1], back[:, -1]], dim=1),
        )


def rnn(
    input_shape: SequenceShape,
    num_outputs: int,
    norm: NormFactory,
    *,
    cell: str = "lstm",
    depth: int = 1,
    width: int = 32,
    bidirectional: bool = False,
    activation: str = "tanh",
    norm_place: str = "both",
    norm_time: str = "step",
    norm_over: str = "tokens",
    norm_gain: float | None = None,
    init: str = "xavier",
    init_scale: float = 1.0,
    dropout: float = 0.0,
) -> RNN:
    """Return a recurrent network.

    Args:
        input_shape: The sequences.
        num_outputs: K.
        norm: Makes the norms in the cells.
        cell: A key of `CELLS`.
        depth: Layers.
        width: Units of a layer and direction.
        bidirectional: Whether each layer also reads backwards.
        activation: A key of `ACTIVATIONS`, for `cell` = `rnn`.
        norm_place: Where norms are: `input`, `recurrent` or `both`, see `CellNorms`.
        norm_time: As in `SequenceNorm`.
        norm_over: As in `SequenceNorm`.
        norm_gain: Initial gamma, see `CellNorms`.
        init: As in `Dials`.
        init_scale: As in `Dials`.
        dropout: As in `Dials`.

    Raises:
        ConfigError: If a name is unknown or a number out of range.
        ImpossibleRunError: If settings are incompatible.
    """
    for key, value, known in (("cell", cell, tuple(CELLS)), ("norm_place", norm_place, NORM_PLACES)):
        if value not in known:
            raise ConfigError(f"model.{key}: unknown value {value!r}{nearest(value, known)}")
    if width < 1 or depth < 1:
        raise ConfigError(f"model=rnn: got width={width} and depth={depth}, expected integers of at least 1.")
    dials = Dials(activation=activation, init=init, init_scale=init_scale, dropout=dropout)
    dials.refuse_residual_init("rnn")
    refuse_pooling_later_steps(input_shape, norm, norm_over)
    if bidirectional and input_shape.every_step:
        raise ImpossibleRunError(
            "model.bidirectional=true reads later steps, and the task wants outputs from earlier ones alone; "
            "use bidirectional=false."
        )
    if norm_over == "time" and norm_place != "input":
        raise ImpossibleRunError(
            f"model.norm_over=time needs all steps at once, and norm_place={norm_place} normalises step by step; "
            "use norm_place=input, or norm_over=tokens."
        )
    norms = CellNorms(norm, input_shape.length, norm_place, norm_over, norm_time, norm_gain)
    if cell != "rnn" and activation != "tanh":
        raise ImpossibleRunError(
            f"model.activation={activation} would have no effect on cell={cell}; use activation=tanh, or cell=rnn."
        )
    make_cell = partial(RNNCell, activation=activation) if cell == "rnn" else CELLS[cell]
    return RNN(
        input_shape,
        num_outputs,
        lambda features: make_cell(features, width, norms),
        depth=depth,
        width=width,
        bidirectional=bidirectional,
        dropout=dropout,
        init=Initialization(init, activation, init_scale),
    )
