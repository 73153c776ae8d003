"""Mean average precision against COCOeval fed from JSON, as its documentation does it."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from normbench.tasks.average_precision import average_precision

IMAGES, CLASSES = 12, 3


def drawn(*, ties: bool, ignored: float) -> tuple[Tensor, Tensor]:
    """Return 20 detections and up to 4 boxes of each image; every fourth image has no box, the last no detection."""
    stream = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=stream)

    corner = 40 * uniform(IMAGES, 4, 2)
    boxes = torch.cat((corner, corner + 5 + 20 * uniform(IMAGES, 4, 2)), dim=-1)
    labels = torch.randint(-1, CLASSES, (IMAGES, 4), generator=stream).float()
    labels[::4] = -1
    crowds = (uniform(IMAGES, 4) < ignored).float()
    # Near the boxes, some of them several times, or anywhere.
    near = boxes.repeat(1, 5, 1) + 6 * (uniform(IMAGES, 20, 4) - 0.5)
    near[:, 15:, :2] = 40 * uniform(IMAGES, 5, 2)
    near[:, 15:, 2:] = near[:, 15:, :2] + 5 + 20 * uniform(IMAGES, 5, 2)
    scores = uniform(IMAGES, 20)
    if ties:
        scores = (scores * 4).ceil() / 4
    classes = torch.where(uniform(IMAGES, 20) < 0.8, labels.repeat(1, 5).clamp(min=0), 1.0)
    classes[-1] = -1
    found = torch.cat((near, scores.unsqueeze(-1), classes.unsqueeze(-1)), dim=-1)
    return found, torch.cat((boxes, labels.unsqueeze(-1), crowds.unsqueeze(-1)), dim=-1)


def from_json(found: Tensor, truth: Tensor, folder: Path) -> dict[str, float]:
    """Return the first two numbers that COCOeval prints."""
    categories = [{"id": label + 1, "name": str(label)} for label in range(CLASSES)]

    def entry(image: int, corners: list[float], label: float) -> dict[str, Any]:
        x1, y1, x2, y2 = corners
        return {"image_id": image + 1, "category_id": int(label) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}

    annotations = [
        {
            **entry(image, corners, label),
            "area": (corners[2] - corners[0]) * (corners[3] - corners[1]),
            "iscrowd": int(i),
        }
        for image, rows in enumerate(truth.tolist())
        for *corners, label, i in rows
        if label >= 0
    ]
    annotations = [{**annotation, "id": number} for number, annotation in enumerate(annotations, 1)]
    images = [{"id": image + 1} for image in range(len(truth))]
    file = folder / "instances.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    results = [
        {**entry(image, corners, label), "score": score}
        for image, rows in enumerate(found.tolist())
        for *corners, score, label in rows
        if label >= 0
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        boxes = COCO(str(file))
        evaluation = COCOeval(boxes, boxes.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {"map50": float(evaluation.stats[1]), "map": float(evaluation.stats[0])}


@pytest.mark.parametrize("ties", [False, True], ids=["no ties", "ties"])
@pytest.mark.parametrize("ignored", [0.0, 0.4], ids=["all boxes count", "ignored boxes"])
def test_it_is_that_of_cocoeval_fed_directly(ties: bool, ignored: float, tmp_path: Path) -> None:
    """Bit for bit, with images without boxes and one without detections."""
    found, truth = drawn(ties=ties, ignored=ignored)
    ours, theirs = average_precision(found, truth, CLASSES, most=100), from_json(found, truth, tmp_path)
    assert ours == theirs
    assert 0 < ours["map"] < ours["map50"] < 1


def test_classes_without_a_box_are_left_out(tmp_path: Path) -> None:
    """They are neither 0 nor 1 in the mean."""
    found, truth = drawn(ties=False, ignored=0)
    truth[..., 4][truth[..., 4] == 2] = -1
    assert average_precision(found, truth, CLASSES, most=100) == from_json(found, truth, tmp_path)


def test_nothing_found_and_nothing_to_find_are_0() -> None:
    """Where pycocotools fails, or returns -1."""
    found, truth = drawn(ties=False, ignored=0)
    nothing = {"map50": 0.0, "map": 0.0}
    assert average_precision(torch.full_like(found, -1), truth, CLASSES, most=100) == nothing
    assert average_precision(found, torch.full_like(truth, -1), CLASSES, most=100) == nothing


def test_all_found_is_1() -> None:
    """Each box once, with its own class."""
    _, truth = drawn(ties=False, ignored=0)
    found = torch.cat((truth[..., :4], torch.ones_like(truth[..., :1]), truth[..., 4:5]), dim=-1)
    assert average_precision(found, truth, CLASSES, most=100) == pytest.approx({"map50": 1.0, "map": 1.0})
