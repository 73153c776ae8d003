"""The interface of a data set to the training: indexed samples with named fields."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import Self

import torch
from torch import Tensor

from normbench.data.vocabulary import Vocabulary
from normbench.errors import DataError

Batch = Mapping[str, Tensor]
"""Named fields of some samples, each (B, ...), or (R, B, ...) for R runs."""


class Examples(ABC):
    """Samples with named fields: training samples first, then the set's own validation part, then its own test part.

    A subclass stores the fields and defines how to make a batch. Most data need no new subclass: `Dataset` is for
    labelled images, `Pictures` for images with boxes or masks, `Fields` for any named tensors.

    Attributes:
        name: Name for messages and tables.
        num_val: Samples in the set's own validation part; 0 if `split` has to draw one.
        num_test: Samples in the set's own test part; 0 if `split` has to draw one.
        content: SHA-256 in hex of the data: the same data have the same hash everywhere.
        class_names: One name per class; empty if samples have no classes.
        label: Name of the field with the class of each sample; None if there is none. A run's split stores this field,
            and `fetch` leaves it out, because label noise belongs to a run and not to the data set.
        test_shift: The shift that `fetch_test` applies to inputs; `none` if test inputs are like training inputs.
        notes: Notes for the user, one line each.
        vocabularies: By the name of a field of tokens, what its numbers stand for.
    """

    name: str
    num_val: int
    num_test: int
    content: str
    class_names: tuple[str, ...]
    label: str | None
    test_shift: str
    notes: tuple[str, ...]
    vocabularies: Mapping[str, Vocabulary] = MappingProxyType({})

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples, including the test part."""

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample's first input, such as (C, H, W) of an image."""

    @property
    @abstractmethod
    def strata(self) -> Tensor:
        """(N,) int64 in [0, max(num_classes, 1)): the strata; all parts of a split have them in equal proportion."""

    @property
    def groups(self) -> Tensor | None:
        """(N,) int64: samples with the same number stay in the same part of a split; None if each may go anywhere."""
        return None

    @abstractmethod
    def fetch(self, index: Tensor) -> dict[str, Tensor]:
        """Return the fields of samples as training and validation see them, without `label`.

        Args:
            index: int64 sample indices, on the device of the data, in any shape: (B,), or (R, B) for R runs.

        Returns:
            For each field (*index.shape, ...).
        """

    def fetch_test(self, index: Tensor) -> dict[str, Tensor]:
        """Return the fields of samples as the test sees them; see `fetch`."""
        return self.fetch(index)

    @abstractmethod
    def blank(self, count: int) -> dict[str, Tensor]:
        """Return a batch of `count` samples of zeros with all fields, to try a model on."""

    @abstractmethod
    def select(self, rows: Tensor, *, num_val: int, num_test: int) -> Self:
        """Return a set of the samples `rows`, the last of which are its validation and test part."""

    @abstractmethod
    def to(self, device: torch.device | str) -> Self:
        """Return the set with its tensors on `device`; itself if they already are."""

    def check_augmentation(self, kind: str) -> None:
        """Check that the set supports an augmentation, the value of `data.augment`.

        Raises:
            DataError: If not.
        """
        if kind != "none":
            raise DataError(f"data.augment: data set '{self.name}' has no augmentation, got {kind}, expected none")

    def augmented(self, batch: Batch, kind: str, *generators: torch.Generator) -> Batch:
        """Return the batches of one or several runs, augmented.

        Args:
            batch: Fields (R * B, ...): the concatenated batches of R runs.
            kind: Value of `data.augment`.
            generators: One CPU generator per run; each draws for its own batch, independently of the others.
        """
        return batch

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 if samples have none."""
        return len(self.class_names)

    @property
    def num_pool(self) -> int:
        """Number of samples outside the set's own test part."""
        return len(self) - self.num_test

    @property
    def values(self) -> int:
        """Number of values in one sample's first input."""
        return prod(self.input_shape)

    def _check_parts(self, samples: str) -> None:
        """Raise a DataError if the set's own parts are larger than the set; `samples` says what it consists of."""
        if not 0 <= self.num_test < len(self):
            raise DataError(
                f"data set '{self.name}': num_test is {self.num_test}, expected 0 or more, below {len(self)}"
            )
        if not 0 <= self.num_val < self.num_pool:
            raise DataError(
                f"data set '{self.name}': num_val is {self.num_val}, expected 0 or more, below {self.num_pool} "
                f"({samples} without the test part)"
            )
