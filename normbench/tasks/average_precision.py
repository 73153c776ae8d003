"""Mean average precision by pycocotools."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

_ALL_SIZES = [0, 1e10]


def average_precision(found: Tensor, truth: Tensor, classes: int, most: int) -> dict[str, float]:
    """Return the mean average precision of detections, as COCO defines it.

    It is the mean over the classes that have a box; `map50` counts a detection from an overlap of .5 on, and `map` is
    the mean over overlaps of .5, .55, ..., .95. A detection on an ignored box is neither right nor wrong; such boxes
    are COCO's crowds, which several detections may match by the share of the detection inside.

    Args:
        found: (N, D, 6), detections: x1 y1 x2 y2, score and class, -1 without one.
        truth: (N, M, 6), boxes: x1 y1 x2 y2, class, -1 without one, and whether it is ignored.
        classes: K.
        most: Most detections of an image and class that count.

    Returns:
        `map50` and `map`; 0 if there is no box.
    """
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_boxes(truth, classes), _detections(found, classes), "bbox")
        evaluation.params.maxDets = [most]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [_ALL_SIZES], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    # (overlaps, recalls, classes, sizes, most), -1 for classes without a box.
    precision = evaluation.eval["precision"]
    return {"map50": _mean(precision[:1]), "map": _mean(precision)}


def _mean(precision: "np.ndarray[Any, np.dtype[np.float64]]") -> float:
    there = precision[precision > -1]
    return float(there.mean()) if there.size else 0.0


def _boxes(truth: Tensor, classes: int) -> Any:
    """Return the boxes of images as pycocotools has them."""
    return _coco(
        len(truth),
        classes,
        [
            {"image_id": image, "category_id": int(label), "bbox": corners, "iscrowd": int(ignored)}
            for image, rows in enumerate(truth.tolist())
            for *corners, label, ignored in rows
            if label >= 0
        ],
    )


def _detections(found: Tensor, classes: int) -> Any:
    """Return detections as pycocotools has them; its own reader fails without any."""
    return _coco(
        len(found),
        classes,
        [
            {"image_id": image, "category_id": int(label), "bbox": corners, "iscrowd": 0, "score": score}
            for image, rows in enumerate(found.tolist())
            for *corners, score, label in rows
            if label >= 0
        ],
    )


def _coco(images: int, classes: int, annotations: Sequence[dict[str, Any]]) -> Any:
    from pycocotools.coco import COCO

    # From 1 on: to pycocotools the id 0 means that nothing matched.
    for number, annotation in enumerate(annotations, start=1):
        left, top, right, bottom = annotation["bbox"]
        size = (right - left, bottom - top)
        annotation |= {"id": number, "bbox": [left, top, *size], "area": size[0] * size[1]}
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": label} for label in range(classes)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco
