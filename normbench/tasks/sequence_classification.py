"""Classification of sequences into K classes."""

from typing import final

from normbench.data.examples import Examples
from normbench.shapes import SequenceShape
from normbench.tasks.classification import Classification
from normbench.tasks.sequences import sequence_shape


@final
class SequenceClassification(Classification):
    """Sequences with one label each: cross-entropy in nats, accuracy, and balanced accuracy for uneven classes.

    Args:
        data: With `sequence`, (N, L) tokens or (N, L, D) numbers, `labels` (N,), and `lengths` (N,) if sequences
            differ in length.

    Shape:
        Outputs are logits (B, K).

    Raises:
        ImpossibleRunError: If the data set lacks a field or classes.
    """

    inputs: tuple[str, ...] = ("sequence",)

    def __init__(self, data: Examples) -> None:
        if "lengths" in data.blank(1):
            self.inputs = ("sequence", "lengths")
        super().__init__(data)

    @property
    def input_shape(self) -> SequenceShape:
        """The shape of the sequences."""
        return sequence_shape(self.data, "sequence", padded="lengths" in self.inputs, every_step=False)
