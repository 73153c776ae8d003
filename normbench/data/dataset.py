"""A data set in memory: all images in one tensor, standardised when a batch is taken."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from normbench.data import shift
from normbench.data.augmentation import AUGMENTATIONS, augment
from normbench.data.examples import Batch, Examples
from normbench.errors import DataError, nearest

# Up to this size in float32, a set is standardised once and cached; in a larger set each batch is standardised.
CACHED_BYTES = 256 * 2**20
# Chunk size in values for passes over a whole set: fits the CPU cache, and a memory-mapped set stays on disk.
CHUNK_VALUES = 2**22


@dataclass(frozen=True, eq=False)
class Dataset(Examples):
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
        shift.refuse_unknown(self.test_shift)
        _refuse_no_tensors(images=self.images, labels=self.labels)
        if self.images.ndim != 4 or self.images.dtype not in (torch.uint8, torch.float32):
            raise DataError(
                f"data set '{self.name}': images must be (N, C, H, W) in uint8 or float32, "
                f"got {tuple(self.images.shape)} in {self.images.dtype}; images.float() converts any range"
            )
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != torch.int64:
            raise DataError(
                f"data set '{self.name}': labels must be ({len(self.images)},) in int64, "
                f"got {tuple(self.labels.shape)} in {self.labels.dtype}; labels.long() converts them"
            )
        if not 0 <= self.num_test < len(self.images):
            raise DataError(
                f"data set '{self.name}': num_test is {self.num_test}, expected 0 or more, below {len(self.images)}"
            )
        if not 0 <= self.num_val < self.num_pool:
            raise DataError(
                f"data set '{self.name}': num_val is {self.num_val}, expected 0 or more, below {self.num_pool} "
                "(images without the test part)"
            )
        if self.groups is not None:
            _refuse_no_tensors(groups=self.groups)
            if self.groups.shape != self.labels.shape or self.groups.dtype != torch.int64:
                raise DataError(
                    f"data set '{self.name}': groups must be ({len(self.images)},) in int64, "
                    f"got {tuple(self.groups.shape)} in {self.groups.dtype}"
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

    def __len__(self) -> int:
        return len(self.images)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def strata(self) -> Tensor:
        """(N,) int64: the labels."""
        return self.labels

    @property
    def mean(self) -> Tensor:
        """(C,) float32: mean of each channel over the images outside the set's own test part."""
        return self._moments[0]

    @property
    def std(self) -> Tensor:
        """(C,) float32: biased standard deviation of each channel over the same images, at least 1e-6."""
        return self._moments[1]

    def batch(self, index: Tensor) -> Tensor:
        """Return images, each channel shifted by `mean` and divided by `std`.

        Args:
            index: int64 rows of `images`, on the same device, in any shape: (B,), or (R, B) for R runs.

        Returns:
            (*index.shape, C, H, W) float32.
        """
        rows = index.reshape(-1)
        if self._standardised is not None:
            images = self._standardised.index_select(0, rows)
        else:
            images = self._standardise(self.images.index_select(0, rows))
        return images.reshape(*index.shape, *self.input_shape)

    def test_batch(self, index: Tensor) -> Tensor:
        """Return images for the test: those of `batch`, shifted by `test_shift`.

        `contrast` reduces the contrast, x -> a x with a = `shift.CONTRAST`; `noise` adds noise, x -> x + `shift.noise`.

        Args:
            index: As for `batch`.

        Returns:
            (*index.shape, C, H, W) float32.
        """
        images = self.batch(index)
        if self.test_shift == "contrast":
            return images * shift.CONTRAST
        if self.test_shift == "noise":
            return images + self._noise_of(index.reshape(-1)).view_as(images)
        return images

    def fetch(self, index: Tensor) -> dict[str, Tensor]:
        """Return ``images``, those of `batch`."""
        return {"images": self.batch(index)}

    def fetch_test(self, index: Tensor) -> dict[str, Tensor]:
        """Return ``images``, those of `test_batch`."""
        return {"images": self.test_batch(index)}

    def blank(self, count: int) -> dict[str, Tensor]:
        """Return black images of the first class."""
        return {"images": torch.zeros(count, *self.input_shape), "labels": torch.zeros(count, dtype=torch.int64)}

    def select(self, rows: Tensor, *, num_val: int, num_test: int) -> Self:
        """Return a set of some images."""
        groups = None if self.groups is None else self.groups[rows]
        images, labels = self.images[rows], self.labels[rows]
        return replace(self, images=images, labels=labels, groups=groups, num_val=num_val, num_test=num_test)

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

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        # Float64 on the CPU sums uint8 exactly: every machine and device standardises the same way.
        pool = self.images[: self.num_pool]
        total = torch.zeros(self.images.shape[1], dtype=torch.float64)
        squares = torch.zeros_like(total)
        step = chunk_length(pool)
        for start in range(0, len(pool), step):
            values = pool[start : start + step].cpu().double()
            total += values.sum(dim=(0, 2, 3))
            squares += values.square_().sum(dim=(0, 2, 3))
        count = pool.numel() // pool.shape[1]
        mean = total / count
        std = (squares / count - mean.square()).clamp_min(0).sqrt().clamp_min(1e-6)
        return mean.float().to(self.images.device), std.float().to(self.images.device)

    @cached_property
    def _standardised(self) -> Tensor | None:
        if 4 * self.images.numel() > CACHED_BYTES:
            return None
        return self._standardise(self.images)

    def _noise_of(self, rows: Tensor) -> Tensor:
        if self._test_noise is not None:
            return self._test_noise.index_select(0, rows - self._first_test_row)
        return shift.noise(rows, self.input_shape).to(self.images.device)

    @cached_property
    def _test_noise(self) -> Tensor | None:
        rows = torch.arange(self._first_test_row, len(self.images))
        if 4 * len(rows) * self.images[0].numel() > CACHED_BYTES:
            return None
        return shift.noise(rows, self.input_shape).to(self.images.device)

    @property
    def _first_test_row(self) -> int:
        # If the set has no test part of its own, any image may be in a run's test part.
        return self.num_pool if self.num_test else 0

    def _standardise(self, images: Tensor) -> Tensor:
        return images.float().sub_(self.mean.view(-1, 1, 1)).div_(self.std.view(-1, 1, 1))


def chunk_length(images: Tensor) -> int:
    """Return how many images (N, C, H, W) fit into `CHUNK_VALUES`, at least one."""
    return max(1, CHUNK_VALUES // images[0].numel())


def _refuse_no_tensors(**given: object) -> None:
    for name, values in given.items():
        if not isinstance(values, Tensor):
            raise DataError(
                f"{name} of a data set must be a torch.Tensor, got {type(values).__name__}; "
                f"torch.as_tensor({name}) converts them"
            )


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
    _refuse_no_tensors(images=images, labels=labels)
    own_val = f" {num_val}" if num_val else ""
    digest = hashlib.sha256(f"{images.dtype} {tuple(images.shape)} {num_test}{own_val}".encode())
    for tensor in (images, labels) if groups is None else (images, labels, groups):
        array = tensor.contiguous().numpy()
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
    return digest.hexdigest()
