"""Random crops and flips that move boxes and masks together with their pictures."""

import torch
from torch import Tensor

from normbench.data.augmentation import Draws, apply, draw_all, padding
from normbench.data.examples import Batch

KINDS = ("none", "crop", "flip", "crop_flip")

NO_BOX = -1
"""Label of a row without a box."""

IGNORED = 255
"""Mask value of pixels that count nowhere."""

LEAST_SHARE = 0.25
"""Share of a box's area that has to stay in the picture; a box of which less stays is no longer there."""


def move(batch: Batch, kind: str, *generators: torch.Generator) -> Batch:
    """Draw crops and flips as `augmentation.augment` does, and apply them to pictures, boxes and masks.

    Args:
        batch: Fields (R * B, ...): the concatenated batches of R runs; ``images``, and ``boxes`` with ``box_labels``,
            ``masks``, or both.
        kind: One of `KINDS`.
        generators: One CPU generator per run; each draws for its own batch, independently of the others.

    Returns:
        The fields, changed.
    """
    if kind == "none":
        return batch
    draws = draw_all(batch["images"], kind, *generators)
    assert isinstance(draws, Draws)
    moved = {**batch, "images": apply(batch["images"], draws)}
    if "boxes" in batch:
        height, width = batch["images"].shape[2:]
        moved |= move_boxes(batch["boxes"], batch["box_labels"], draws, height, width)
    if "masks" in batch:
        moved["masks"] = move_masks(batch["masks"], draws)
    return moved


def move_boxes(boxes: Tensor, labels: Tensor, draws: Draws, height: int, width: int) -> dict[str, Tensor]:
    """Move boxes as `apply` moves the pictures, and clip them to the picture. A pure function for `torch.vmap`.

    Args:
        boxes: (B, M, 4) x1 y1 x2 y2 in pixels.
        labels: (B, M) int64, `NO_BOX` where there is none.
        draws: The draws of the batch.
        height: Picture height in pixels.
        width: Picture width in pixels.

    Returns:
        ``boxes`` and ``box_labels``; a box of which less than `LEAST_SHARE` stays has label `NO_BOX`.
    """
    # Offsets are row and column, boxes begin with x.
    shift = padding(height) - draws.offsets.flip(1)
    x1, y1, x2, y2 = (boxes + shift.repeat(1, 2)[:, None]).unbind(-1)
    flips = draws.flips[:, None]
    x1, x2 = torch.where(flips, width - x2, x1), torch.where(flips, width - x1, x2)
    clipped = torch.stack((x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)), dim=-1)
    stays = _areas(clipped) >= LEAST_SHARE * _areas(boxes)
    kept = stays & (labels != NO_BOX)
    return {"boxes": clipped * kept[..., None], "box_labels": torch.where(kept, labels, NO_BOX)}


def move_masks(masks: Tensor, draws: Draws) -> Tensor:
    """Move masks (B, H, W) as `apply` moves the pictures; pixels from outside are `IGNORED`."""
    # `apply` pads with zeros.
    return apply((masks - IGNORED)[:, None], draws)[:, 0] + IGNORED


def _areas(boxes: Tensor) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x2 - x1) * (y2 - y1)
