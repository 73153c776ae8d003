"""What a data set is to a training: samples by number, each with named fields."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import prod
from typing import Self

import torch
from torch import Tensor

from normbench.errors import DataError

Batch = Mapping[str, Tensor]
"""Named fields of some samples, each (B, ...), or (R, B, ...) for R runs."""


class Examples(ABC):
    """Samples with named fields, the last of which are the set's own validation part and behind it its own test part.

    A subclass holds the fields and says how a batch of them is made. Most need no class of their own: `Dataset` holds
    labelled images, `Fields` any named tensors.

    Attributes:
        name: Name for messages and tables.
        num_val: Samples of the set's own validation part; 0 where `split` has to draw one.
        num_test: Samples of the set's own test part; 0 where `split` has to draw one.
        content: SHA-256 in hex of the data: the same data, the same hash everywhere.
        class_names: One name a class; empty where samples have no classes.
        label: Field that holds the class of each sample; None where there is none. A run's split holds this field
            itself, so that `fetch` leaves it out: label noise belongs to a run, not to the data set.
        test_shift: What `fetch_test` does to inputs; `none` where the test is like the training.
        notes: What a user should be told of the set, a line each.
    """

    name: str
    num_val: int
    num_test: int
    content: str
    class_names: tuple[str, ...]
    label: str | None
    test_shift: str
    notes: tuple[str, ...]

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples, those of the test part included."""

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample's first input, such as (C, H, W) of an image."""

    @property
    @abstractmethod
    def strata(self) -> Tensor:
        """(N,) int64 in [0, max(num_classes, 1)): parts of the data have these in equal proportion."""

    @abstractmethod
    def fetch(self, index: Tensor) -> dict[str, Tensor]:
        """Return the fields of samples as training and validation see them, without `label`.

        Args:
            index: int64 numbers of samples, on the device of the data, in any shape: (B,), or (R, B) for R runs.

        Returns:
            For each field (*index.shape, ...).
        """

    def fetch_test(self, index: Tensor) -> dict[str, Tensor]:
        """Return the fields of samples as the test sees them; see `fetch`."""
        return self.fetch(index)

    @abstractmethod
    def blank(self, count: int) -> dict[str, Tensor]:
        """Return a batch of `count` samples of zeros, every field included, to try a model on."""

    @abstractmethod
    def select(self, rows: Tensor, *, num_val: int, num_test: int) -> Self:
        """Return a set of some samples, with so many of them in its validation and its test part."""

    @abstractmethod
    def to(self, device: torch.device | str) -> Self:
        """Return the set with its tensors on `device`; itself where they are there already."""

    def check_augmentation(self, kind: str) -> None:
        """See that the set knows an augmentation, the value of `data.augment`.

        Raises:
            DataError: If not.
        """
        if kind != "none":
            raise DataError(f"data.augment: data set '{self.name}' has no augmentation, got {kind}, expected none")

    def augmented(self, batch: Batch, kind: str, *generators: torch.Generator) -> Batch:
        """Return the batches of one or several runs, augmented.

        Args:
            batch: Fields (R * B, ...): the batches of R runs one after another.
            kind: Value of `data.augment`.
            generators: A CPU generator for each run; each draws for its own batch, as if it were alone.
        """
        return batch

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 where samples have none."""
        return len(self.class_names)

    @property
    def num_pool(self) -> int:
        """Number of samples outside the set's own test part."""
        return len(self) - self.num_test

    @property
    def values(self) -> int:
        """Numbers in one sample's first input."""
        return prod(self.input_shape)
