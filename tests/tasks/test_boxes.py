"""Which anchor finds which box, deltas and what is found, against loops over single boxes."""

import torch
from made_up_pictures import rectangles
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder, SSDMatcher
from torchvision.ops import box_iou, nms

from normbench.models.dense.ssd import square_anchors
from normbench.tasks.boxes import FOUND, MISSED, MOST, assign, decode, detections, encode

ANCHORS = square_anchors(4, 4, [4.0, 6.0, 8.0])


def test_anchors_find_what_torchvisions_matcher_gives_them() -> None:
    """Without ignored boxes it is SSD's rule: the most overlapping box, and each box its best anchor."""
    batch = rectangles().fetch(torch.arange(40))
    labels = batch["box_labels"]
    none = torch.zeros_like(batch["box_ignored"])
    found = assign(ANCHORS.expand(40, -1, -1), batch["boxes"], labels, none)
    for picture in range(40):
        own = labels[picture] >= 0
        if not own.any():
            assert (found.labels[picture] == -1).all() and found.counts[picture].all()
            continue
        overlap = box_iou(batch["boxes"][picture][own], ANCHORS)
        best = overlap.max(0).values
        wanted = SSDMatcher(FOUND)(overlap)
        assert torch.equal(found.labels[picture], torch.where(wanted >= 0, labels[picture][own][wanted], -1))
        assert torch.equal(found.boxes[picture][wanted >= 0], batch["boxes"][picture][own][wanted[wanted >= 0]])
        assert torch.equal(found.counts[picture], (wanted >= 0) | (best < MISSED))


def test_anchors_on_ignored_boxes_do_not_count() -> None:
    """Nothing finds such a box; other anchors are as if it were not there."""
    box = Tensor([[[2, 2, 10, 10], [0, 0, 0, 0]]])
    labels, anchors = torch.tensor([[0, -1]]), ANCHORS.unsqueeze(0)
    found = assign(anchors, box, labels, torch.tensor([[True, False]]))
    assert (found.labels == -1).all()
    assert torch.equal(found.counts, box_iou(anchors, box)[..., 0] < FOUND)
    assert not found.counts.all()


def test_deltas_give_back_their_boxes() -> None:
    """And those of a row without a box are finite."""
    boxes = ANCHORS + torch.rand(len(ANCHORS), 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(decode(ANCHORS, encode(ANCHORS, boxes)), boxes)
    assert encode(ANCHORS, torch.zeros_like(ANCHORS)).isfinite().all()
    assert decode(ANCHORS, torch.full_like(ANCHORS, 1e4)).isfinite().all()


def test_detections_are_those_of_each_class_after_suppression() -> None:
    """Sorted by score, clipped to the image, and -1 after the last."""
    outputs = torch.randn(len(ANCHORS), 4 + 4 + 2, generator=torch.Generator().manual_seed(0)) - 2
    outputs[:, :4] = ANCHORS
    found = detections(outputs, 16, 16)
    boxes = decode(ANCHORS, outputs[:, 4:8]).clamp(0, 16)
    rows = []
    for label in range(2):
        scores = outputs[:, 8 + label].sigmoid()
        kept = nms(boxes, scores, 0.5)
        rows += [(*boxes[one].tolist(), float(scores[one]), label) for one in kept if scores[one] > 0.05]
    rows.sort(key=lambda row: -row[4])
    assert found.shape == (MOST, 6)
    torch.testing.assert_close(found[: len(rows)], Tensor(rows))
    assert (found[len(rows) :] == -1).all()
    assert 5 < len(rows) < MOST


def test_a_box_that_is_no_number_is_not_found() -> None:
    """Compared with any other, it would fit."""
    outputs = torch.full((len(ANCHORS), 4 + 4 + 2), 2.0)
    outputs[:, :4] = ANCHORS
    outputs[:, 4] = torch.nan
    assert (detections(outputs, 16, 16) == -1).all()


def test_deltas_are_told_as_torchvision_tells_them() -> None:
    """In parts of those of its box coder."""
    boxes = ANCHORS + torch.rand(len(ANCHORS), 4, generator=torch.Generator().manual_seed(0))
    own = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
    torch.testing.assert_close(encode(ANCHORS, boxes), own.encode_single(boxes, ANCHORS))
