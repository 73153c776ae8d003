"""Small folders of pictures with the same boxes as VOC and as COCO, for the tests of both readers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 30

BOXES: dict[str, list[tuple[str, tuple[int, int, int, int]]]] = {
    "a": [("dog", (2, 3, 20, 18)), ("cat", (0, 0, 40, 30))],
    "b": [("cat", (5, 5, 9, 9))],
    "c": [],
    "d": [("dog", (30, 10, 40, 30))],
    "e": [("dog", (1, 1, 39, 29))],
}
PARTS = {"train": ["a", "b", "c"], "val": ["d"], "test": ["e"]}

VOC: dict[str, Any] = {
    "images": "JPEGImages",
    "annotations": "Annotations",
    "split": "ImageSets/Main",
    "classes": None,
    "first_pixel": 0,
    "whole_pixels": True,
    "skip_bad": False,
    "size": None,
}
COCO: dict[str, Any] = {
    "annotations": "all.json",
    "annotations_val": None,
    "annotations_test": None,
    "images": "JPEGImages",
    "images_val": None,
    "images_test": None,
    "split": "ImageSets/Main",
    "whole_pixels": True,
    "skip_bad": False,
    "size": None,
}


def xml(boxes: list[tuple[str, tuple[float, ...]]], *, width: int = WIDTH, height: int = HEIGHT, more: str = "") -> str:
    """Return the XML of a picture."""
    corners = ("xmin", "ymin", "xmax", "ymax")
    objects = [
        f"<object><name>{name}</name>{more}<bndbox>"
        + "".join(f"<{key}>{value}</{key}>" for key, value in zip(corners, box, strict=True))
        + "</bndbox></object>"
        for name, box in boxes
    ]
    return f"<annotation><size><width>{width}</width><height>{height}</height></size>{''.join(objects)}</annotation>"


def coco_content(names: list[str]) -> dict[str, Any]:
    """Return the JSON of some pictures; ids are in another order than names."""
    categories = {"dog": 7, "cat": 9}
    images = [
        {"id": 100 - number, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT}
        for number, name in enumerate(names)
    ]
    annotations = [
        {"image_id": 100 - number, "category_id": categories[label], "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0}
        for number, name in enumerate(names)
        for label, (x1, y1, x2, y2) in BOXES[name]
    ]
    return {
        "images": images,
        "annotations": [{"id": number, **entry} for number, entry in enumerate(annotations)],
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
    }


def write(root: Path) -> Path:
    """Write all pictures with both kinds of annotations and lists of the parts; return the folder."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for number, (name, boxes) in enumerate(BOXES.items()):
        pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"JPEGImages/{name}.png")
        (root / f"Annotations/{name}.xml").write_text(xml(list(boxes)))
    for part, names in PARTS.items():
        (root / f"ImageSets/Main/{part}.txt").write_text("\n".join(reversed(names)) + "\n")
        (root / f"{part}.json").write_text(json.dumps(coco_content(names)))
    (root / "all.json").write_text(json.dumps(coco_content(list(BOXES))))
    return root
