"""What all sets of images have in common: one tensor in memory, standardised when a batch is taken, shifted tests."""

from abc import abstractmethod
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from normbench.data import shift
from normbench.data.examples import Examples
from normbench.errors import DataError

# Up to this size in float32, a set is standardised once and cached; in a larger set each batch is standardised.
CACHED_BYTES = 256 * 2**20
# Chunk size in values for passes over a whole set: fits the CPU cache, and a memory-mapped set stays on disk.
CHUNK_VALUES = 2**22


class Images(Examples):
    """Images with labels, boxes or masks; a subclass stores them.

    Attributes:
        images: (N, C, H, W), uint8 or float32, in any unit.
    """

    images: Tensor

    @abstractmethod
    def resized(self, images: Tensor) -> Self:
        """Return the set with its images scaled: `images` (N, C, H', W'), and what belongs to their pixels likewise."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

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
        """Return ``images``, those of `batch`, and `targets`."""
        return {"images": self.batch(index), **self.targets(index)}

    def fetch_test(self, index: Tensor) -> dict[str, Tensor]:
        """Return ``images``, those of `test_batch`, and `targets`."""
        return {"images": self.test_batch(index), **self.targets(index)}

    def targets(self, index: Tensor) -> dict[str, Tensor]:
        """Return the fields beside the images, (*index.shape, ...) each, without `label`."""
        return {}

    def _check_images(self) -> None:
        """Raise a DataError if the images, the sizes of the parts or the groups do not fit."""
        shift.refuse_unknown(self.test_shift)
        refuse_no_tensors(images=self.images)
        if self.images.ndim != 4 or self.images.dtype not in (torch.uint8, torch.float32):
            raise DataError(
                f"data set '{self.name}': images must be (N, C, H, W) in uint8 or float32, "
                f"got {tuple(self.images.shape)} in {self.images.dtype}; images.float() converts any range"
            )
        self._check_parts("images")
        if self.groups is not None:
            refuse_no_tensors(groups=self.groups)
            if self.groups.shape != self.images.shape[:1] or self.groups.dtype != torch.int64:
                raise DataError(
                    f"data set '{self.name}': groups must be ({len(self.images)},) in int64, "
                    f"got {tuple(self.groups.shape)} in {self.groups.dtype}"
                )

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


def refuse_no_tensors(**given: object) -> None:
    """Raise if an argument of a data set is no tensor.

    Raises:
        DataError: With the name of the argument and how to convert it.
    """
    for name, values in given.items():
        if not isinstance(values, Tensor):
            raise DataError(
                f"{name} of a data set must be a torch.Tensor, got {type(values).__name__}; "
                f"torch.as_tensor({name}) converts them"
            )
