"""Norms that would show a causal model what comes later, in evaluation too."""

from normbench.errors import ImpossibleRunError
from normbench.norms.factory import NormFactory
from normbench.shapes import SequenceShape


def refuse_pooling_later_steps(shape: SequenceShape, norm: NormFactory, over: str) -> None:
    """Raise if a norm of a causal model pools over the steps of a sequence.

    Batch statistics over samples and steps are allowed: they show later steps in training, and evaluation by running
    statistics shows none.

    Args:
        shape: The sequences.
        norm: Makes the norms.
        over: As in `SequenceNorm`.

    Raises:
        ImpossibleRunError: If so.
    """
    by_batch = bool(getattr(norm.norm, "batch_statistics", False))
    positions = bool(getattr(norm.norm, "needs_positions", False))
    if shape.every_step and (positions or (over == "time" and not by_batch)):
        what = "the norm averages over steps, so each" if positions else "with model.norm_over=time each"
        raise ImpossibleRunError(
            f"{what} output would depend on later steps, and the task wants outputs from earlier ones alone; "
            f"use {'another norm' if positions else 'norm_over=tokens'}."
        )
