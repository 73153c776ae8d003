"""Pictures with boxes around objects, with a class for each pixel, or with both."""

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from normbench.data.boxes import scaled_boxes
from normbench.data.exact import nearest_pixels
from normbench.data.examples import Batch
from normbench.data.images import Images, refuse_no_tensors
from normbench.data.moved import IGNORED, KINDS, NO_BOX, move
from normbench.errors import DataError

_TYPES = {"boxes": torch.float32, "box_labels": torch.int64, "box_ignored": torch.bool, "masks": torch.uint8}


@dataclass(frozen=True, eq=False)
class Pictures(Images):
    """Pictures: those for training first, then the set's own validation part, then its own test part.

    `fetch` returns ``images``, and ``boxes``, ``box_labels`` and ``box_ignored``, or ``masks`` (int64), or all of them.

    Attributes:
        name: Name for messages and tables.
        images: (N, C, H, W), uint8 or float32, in any unit.
        num_test: Pictures in the set's own test part; 0 if `split` has to draw one.
        content: SHA-256 in hex of the data before `limit` and `resize`: the same data have the same hash everywhere.
        boxes: (N, M, 4) float32, x1 y1 x2 y2 in pixels; x2 and y2 are where the box ends. None without boxes.
        box_labels: (N, M) int64, the class of each box, -1 in rows without a box; a picture's boxes come first.
        box_ignored: (N, M) bool: boxes that are neither to be found nor wrong if found, such as crowds.
        masks: (N, H, W) uint8, the class of each pixel; 255 for pixels that count nowhere. None without masks.
        class_names: One name per class of the boxes.
        mask_names: One name per class of the pixels; the first is ``background``.
        test_shift: The shift that `test_batch` applies, one of `shift.SHIFTS`; `images` are not shifted.
        num_val: Pictures in the set's own validation part; 0 if `split` has to draw one.
        notes: Notes for the user, one line each.
        groups: (N,) int64: pictures with the same number stay in the same part of a split; None if each may go
            anywhere.
    """

    name: str
    images: Tensor
    num_test: int
    content: str
    boxes: Tensor | None = None
    box_labels: Tensor | None = None
    box_ignored: Tensor | None = None
    masks: Tensor | None = None
    class_names: tuple[str, ...] = ()
    mask_names: tuple[str, ...] = ()
    test_shift: str = "none"
    num_val: int = 0
    notes: tuple[str, ...] = ()
    groups: Tensor | None = None

    def __post_init__(self) -> None:
        self._check_images()
        count, _, height, width = self.images.shape
        if self.boxes is None and self.masks is None:
            raise DataError(f"data set '{self.name}': pictures need boxes or masks, got neither")
        if self.boxes is not None:
            refuse_no_tensors(boxes=self.boxes, box_labels=self.box_labels, box_ignored=self.box_ignored)
        if self.masks is not None:
            refuse_no_tensors(masks=self.masks)
        most = -1 if self.boxes is None else self.boxes.shape[1]
        shapes = {"boxes": (most, 4), "box_labels": (most,), "box_ignored": (most,), "masks": (height, width)}
        for field, values in self._targets.items():
            shape, dtype = (count, *shapes[field]), _TYPES[field]
            if values.shape != shape or values.dtype != dtype:
                raise DataError(
                    f"data set '{self.name}': {field} must be {shape} in {dtype}, "
                    f"got {tuple(values.shape)} in {values.dtype}"
                )
        self._check_boxes()
        self._check_masks()

    @property
    def label(self) -> None:  # type: ignore[override]  # a picture has no class
        """None."""
        return None

    @property
    def strata(self) -> Tensor:
        """(N,) int64: zeros."""
        return torch.zeros(len(self), dtype=torch.int64)

    def targets(self, index: Tensor) -> dict[str, Tensor]:
        """Return boxes and masks; see `Images.targets`."""
        rows = index.reshape(-1)
        taken = {
            field: values.index_select(0, rows).reshape(*index.shape, *values.shape[1:])
            for field, values in self._targets.items()
        }
        return {field: values.long() if field == "masks" else values for field, values in taken.items()}

    def blank(self, count: int) -> dict[str, Tensor]:
        """Return black pictures without a box, all background."""
        first = torch.zeros(count, dtype=torch.int64, device=self.images.device)
        blank = {field: torch.zeros_like(values) for field, values in self.targets(first).items()}
        if self.boxes is not None:
            blank["box_labels"] -= 1
        return {"images": torch.zeros(count, *self.input_shape, device=self.images.device), **blank}

    def select(self, rows: Tensor, *, num_val: int, num_test: int) -> Self:
        """Return a set of some pictures."""
        groups = None if self.groups is None else self.groups[rows]
        chosen: dict[str, Any] = {field: values[rows] for field, values in self._targets.items()}
        return replace(self, images=self.images[rows], groups=groups, num_val=num_val, num_test=num_test, **chosen)

    def resized(self, images: Tensor) -> Self:
        """Return the set with scaled pictures; boxes follow, and mask pixels are the nearest ones."""
        scaled: dict[str, Any] = {"images": images}
        (old_height, old_width), (height, width) = self.images.shape[2:], images.shape[2:]
        if self.boxes is not None:
            scaled["boxes"] = scaled_boxes(
                self.boxes, torch.tensor((old_width, old_height)), torch.tensor((width, height))
            )
        if self.masks is not None:
            sides = ((old_height, height), (old_width, width))
            rows, columns = (torch.from_numpy(nearest_pixels(old, new)) for old, new in sides)
            scaled["masks"] = self.masks[:, rows][:, :, columns]
        return replace(self, **scaled)

    def check_augmentation(self, kind: str) -> None:
        """Check that boxes and masks can follow an augmentation.

        Raises:
            DataError: If not.
        """
        if kind not in KINDS:
            raise DataError(
                f"data.augment: data set '{self.name}' has boxes or masks, got {kind}, expected {' | '.join(KINDS)}"
            )

    def augmented(self, batch: Batch, kind: str, *generators: torch.Generator) -> Batch:
        """Return batches with cropped and flipped pictures, boxes and masks; see `moved.move`."""
        return move(batch, kind, *generators)

    def to(self, device: torch.device | str) -> Self:
        """Return the data set with its tensors on `device`; itself if they already are."""
        tensors = {"images": self.images, **self._targets}
        moved: dict[str, Any] = {field: values.to(device) for field, values in tensors.items()}
        same = all(moved[field] is values for field, values in tensors.items())
        return self if same else replace(self, **moved)

    @property
    def _targets(self) -> dict[str, Tensor]:
        fields = {field: getattr(self, field) for field in _TYPES}
        return {field: values for field, values in fields.items() if values is not None}

    def _check_boxes(self) -> None:
        if self.boxes is None or self.box_labels is None:
            return
        present = self.box_labels != NO_BOX
        labels, boxes = self.box_labels[present], self.boxes[present]
        if len(labels) and (labels.min() < 0 or labels.max() >= self.num_classes):
            raise DataError(
                f"data set '{self.name}': box_labels must be in 0..{self.num_classes - 1} or -1, "
                f"got {int(labels.min())}..{int(labels.max())}"
            )
        height, width = self.images.shape[2:]
        low, high = boxes[:, :2], boxes[:, 2:]
        # A negated comparison also finds nan.
        good = (low >= 0) & (low < high) & (high <= torch.tensor([width, height], device=boxes.device))
        if not good.all():
            wrong = boxes[int((~good.all(dim=1)).nonzero()[0])]
            raise DataError(
                f"data set '{self.name}': boxes must be x1 < x2, y1 < y2 inside {width} x {height} pixels, "
                f"got {wrong.tolist()}"
            )

    def _check_masks(self) -> None:
        if self.masks is None:
            return
        beyond = (self.masks >= len(self.mask_names)) & (self.masks != IGNORED)
        if beyond.any():
            raise DataError(
                f"data set '{self.name}': masks must be in 0..{len(self.mask_names) - 1} or {IGNORED}, "
                f"got {int(self.masks[beyond][0])}"
            )
