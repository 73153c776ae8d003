"""A data set of labelled images in memory."""

import hashlib
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from normbench.data.augmentation import AUGMENTATIONS, augment
from normbench.data.examples import Batch
from normbench.data.images import Images, refuse_no_tensors
from normbench.errors import DataError, nearest


@dataclass(frozen=True, eq=False)
class Dataset(Images):
    """Labelled images: training images first, then the set's own validation part, then its own test part.

    Attributes:
        name: Name for messages and tables.
        images: (N, C, H, W), uint8 or float32, in any unit.
        labels: (N,) int64, in [0, num_classes).
        num_test: Images in the set's own test part; 0 if `split` has to draw one.
        class_names: One name per class.
        content: SHA-256 in hex of the data before `limit` and `resize`: the same data have the same hash everywhere.
        test_shift: The shift that `test_batch` applies, one of `shift.SHIFTS`; `images` are not shifted.
        num_val: Images in the set's own validation part; 0 if `split` has to draw one.
        notes: Notes for the user, one line each.
        groups: (N,) int64: images with the same number stay in the same part of a split, such as those of one patient;
            None if each may go anywhere.
    """

    name: str
    images: Tensor
    labels: Tensor
    num_test: int
    class_names: tuple[str, ...]
    content: str
    test_shift: str = "none"
    num_val: int = 0
    notes: tuple[str, ...] = ()
    groups: Tensor | None = None

    def __post_init__(self) -> None:
        self._check_images()
        refuse_no_tensors(labels=self.labels)
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != torch.int64:
            raise DataError(
                f"data set '{self.name}': labels must be ({len(self.images)},) in int64, "
                f"got {tuple(self.labels.shape)} in {self.labels.dtype}; labels.long() converts them"
            )
        if self.labels.min() < 0 or self.labels.max() >= self.num_classes:
            raise DataError(
                f"data set '{self.name}': labels must be in 0..{self.num_classes - 1} for its {self.num_classes} "
                f"class names, got {int(self.labels.min())}..{int(self.labels.max())}"
            )

    @property
    def label(self) -> str:  # type: ignore[override]  # always the same
        """Name of the field with the classes."""
        return "labels"

    @property
    def strata(self) -> Tensor:
        """(N,) int64: the labels."""
        return self.labels

    def blank(self, count: int) -> dict[str, Tensor]:
        """Return black images of the first class."""
        return {"images": torch.zeros(count, *self.input_shape), "labels": torch.zeros(count, dtype=torch.int64)}

    def select(self, rows: Tensor, *, num_val: int, num_test: int) -> Self:
        """Return a set of some images."""
        groups = None if self.groups is None else self.groups[rows]
        images, labels = self.images[rows], self.labels[rows]
        return replace(self, images=images, labels=labels, groups=groups, num_val=num_val, num_test=num_test)

    def resized(self, images: Tensor) -> Self:
        """Return the set with other images of the same labels."""
        return replace(self, images=images)

    def check_augmentation(self, kind: str) -> None:
        """Check that images support an augmentation.

        Raises:
            DataError: If not.
        """
        if kind not in AUGMENTATIONS:
            raise DataError(f"unknown data.augment '{kind}'{nearest(kind, AUGMENTATIONS)}")

    def augmented(self, batch: Batch, kind: str, *generators: torch.Generator) -> Batch:
        """Return batches with cropped and flipped images; see `augmentation.augment`."""
        return {**batch, "images": augment(batch["images"], kind, *generators)}

    def to(self, device: torch.device | str) -> Self:
        """Return the data set with its tensors on `device`; itself if they already are."""
        images, labels = self.images.to(device), self.labels.to(device)
        if images is self.images and labels is self.labels:
            return self
        return replace(self, images=images, labels=labels)


def content_hash(images: Tensor, labels: Tensor, num_test: int, num_val: int = 0, groups: Tensor | None = None) -> str:
    """Return the SHA-256 in hex of a data set's tensors, the same on every machine.

    Args:
        images: (N, C, H, W) uint8 or float32.
        labels: (N,) int64.
        num_test: Images in the set's own test part.
        num_val: Images in its own validation part.
        groups: (N,) int64, or None.

    Returns:
        64 hex digits.
    """
    refuse_no_tensors(images=images, labels=labels)
    own_val = f" {num_val}" if num_val else ""
    digest = hashlib.sha256(f"{images.dtype} {tuple(images.shape)} {num_test}{own_val}".encode())
    for tensor in (images, labels) if groups is None else (images, labels, groups):
        array = tensor.contiguous().numpy()
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
    return digest.hexdigest()
