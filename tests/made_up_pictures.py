"""Made-up pictures of bright and dark rectangles, with their boxes and masks."""

from dataclasses import dataclass

import torch
from torch import Tensor

from normbench.data import Fields

MOST = 3


@dataclass(frozen=True, eq=False)
class Rectangles(Fields):
    """Fields whose classes are those of boxes or pixels, not of whole samples."""

    @property
    def num_classes(self) -> int:
        return 0


def rectangles(count: int = 100, size: int = 16, *, masks: bool = False, seed: int = 0) -> Rectangles:
    """Return pictures in noise with up to three rectangles, bright (class 0) or dark (class 1).

    Every fifth picture is empty, and one box in eight is ignored. The last fifth is the test, the tenth before it
    the validation part.

    Args:
        count: N.
        size: Height and width in pixels.
        masks: Whether there are masks, `background` and the two classes, 255 where a box is ignored, and no boxes.
        seed: Of the generator.
    """
    stream = torch.Generator().manual_seed(seed)
    images = 0.2 * torch.randn(count, 1, size, size, dtype=torch.float32, generator=stream)
    boxes, labels = torch.zeros(count, MOST, 4, dtype=torch.float32), torch.full((count, MOST), -1)
    ignored, pixels = torch.zeros(count, MOST, dtype=torch.bool), torch.zeros(count, size, size, dtype=torch.int64)

    def drawn(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=stream))

    for picture in range(count):
        for place in range(drawn(1, MOST + 1) if picture % 5 else 0):
            width, height = drawn(size // 4, size // 2), drawn(size // 4, size // 2)
            x, y, label = drawn(0, size - width), drawn(0, size - height), drawn(0, 2)
            ignored[picture, place] = drawn(0, 8) == 0
            boxes[picture, place] = Tensor([x, y, x + width, y + height])
            labels[picture, place] = label
            images[picture, 0, y : y + height, x : x + width] += 1 - 2 * label
            pixels[picture, y : y + height, x : x + width] = 255 if ignored[picture, place] else label + 1
    names: tuple[str, ...] = ("bright", "dark")
    fields = {"images": images}
    if masks:
        fields["masks"], names = pixels, ("background", *names)
    else:
        fields |= {"boxes": boxes, "box_labels": labels, "box_ignored": ignored}
    return Rectangles("rectangles", fields, count // 5, count // 10, class_names=names)
