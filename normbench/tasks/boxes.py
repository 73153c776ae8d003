"""Boxes of a detector: which anchor is to find which box, how a box is told from its anchor, and what is found."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from normbench.shapes import BOX_SCALES

FOUND, MISSED = 0.5, 0.4
"""From this overlap an anchor is to find a box, and below the other one it is background; others do not count."""

_CENTRE, _SIZE = BOX_SCALES

_LARGEST = math.log(1000 / 16)
"""Largest logarithm of a box's size over its anchor's, so that its exponential is finite."""

_SURE, _CANDIDATES, _SAME = 0.05, 1000, 0.5
"""Lowest score of a detection, most detections before suppression, and the overlap from which two are one."""

MOST = 100
"""Most detections of an image."""


class Assigned(NamedTuple):
    """What each anchor is to find.

    Attributes:
        labels: The class of its box, -1 for background, (B, A).
        counts: Whether it counts as either, (B, A).
        boxes: Its box, (B, A, 4); any for background.
    """

    labels: Tensor
    counts: Tensor
    boxes: Tensor


def assign(anchors: Tensor, boxes: Tensor, labels: Tensor, ignored: Tensor) -> Assigned:
    """Return which box each anchor is to find: the one that it overlaps most, from an overlap of `FOUND` on.

    Each box also gets the anchor that overlaps it most, whatever the overlap; the last box, if it is that of several.
    Anchors on an ignored box do not count.

    Args:
        anchors: (B, A, 4), x1 y1 x2 y2.
        boxes: (B, M, 4).
        labels: (B, M), -1 where there is no box.
        ignored: (B, M) bool.
    """
    # Torchvision takes seconds to import; most runs do without.
    from torchvision.ops import box_iou

    overlap = box_iou(anchors, boxes)
    there = (labels >= 0) & ~ignored
    own = torch.where(there.unsqueeze(-2), overlap, -1.0)
    best, which = own.max(dim=-1)
    places = torch.arange(anchors.shape[-2], device=anchors.device).unsqueeze(-1)
    chosen = (own.argmax(dim=-2).unsqueeze(-2) == places) & there.unsqueeze(-2)
    first = chosen.any(dim=-1)
    rows = torch.arange(boxes.shape[-2], device=boxes.device)
    which = torch.where(first, (chosen * rows).argmax(dim=-1), which)
    finds = first | (best >= FOUND)
    beside = torch.where((ignored & (labels >= 0)).unsqueeze(-2), overlap, -1.0).amax(dim=-1) >= FOUND
    return Assigned(
        torch.where(finds, labels.gather(-1, which), -1),
        finds | ((best < MISSED) & ~beside),
        boxes.gather(-2, which.unsqueeze(-1).expand(*which.shape, 4)),
    )


def encode(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Return the deltas of boxes from anchors, (..., 4) each: centre over size, and the logarithm of the size."""
    centres, sizes = _centres(anchors)
    own_centres, own_sizes = _centres(boxes)
    # A row without a box has no size; its deltas enter nothing but must be finite.
    logs = (own_sizes.clamp(min=1e-3) / sizes).log()
    return torch.cat(((own_centres - centres) / sizes / _CENTRE, logs / _SIZE), dim=-1)


def decode(anchors: Tensor, deltas: Tensor) -> Tensor:
    """Return the boxes of which `encode` gives these deltas."""
    centres, sizes = _centres(anchors)
    moved = centres + deltas[..., :2] * _CENTRE * sizes
    half = (deltas[..., 2:] * _SIZE).clamp(max=_LARGEST).exp() * sizes / 2
    return torch.cat((moved - half, moved + half), dim=-1)


def detections(outputs: Tensor, height: int, width: int) -> Tensor:
    """Return what a detector finds in one image, the surest first.

    Args:
        outputs: (A, 4 + 4 + K): anchor, deltas and class logits.
        height: H of the image, in pixels; boxes are clipped to it.
        width: W.

    Returns:
        (`MOST`, 6): x1 y1 x2 y2, score and class; -1 in rows without a detection.
    """
    from torchvision.ops import batched_nms, clip_boxes_to_image

    anchors, deltas, logits = torch.split(outputs, [4, 4, outputs.shape[-1] - 8], dim=-1)
    scores, place = logits.sigmoid().flatten().sort(descending=True, stable=True)
    sure = scores[:_CANDIDATES] > _SURE
    scores, place = scores[:_CANDIDATES][sure], place[:_CANDIDATES][sure]
    anchor, label = place // logits.shape[-1], place % logits.shape[-1]
    boxes = clip_boxes_to_image(decode(anchors[anchor], deltas[anchor]), (height, width))
    # In comparisons of overlaps, a corner that is no number would fit any box.
    finite = boxes.isfinite().all(dim=-1)
    boxes, scores, label = boxes[finite], scores[finite], label[finite]
    kept = batched_nms(boxes, scores, label, _SAME)[:MOST]
    found = outputs.new_full((MOST, 6), -1.0)
    found[: len(kept)] = torch.cat((boxes[kept], scores[kept, None], label[kept, None].to(boxes)), dim=-1)
    return found


def _centres(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, high - low
