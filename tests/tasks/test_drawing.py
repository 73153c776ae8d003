"""Pictures of images with boxes and classes."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normbench.data import load
from normbench.data.pictures import Pictures
from normbench.tasks.detection import Detection
from normbench.tasks.drawing import class_colors, enlarged, visible, with_classes
from normbench.tasks.segmentation import Segmentation

SCENES: dict[str, Any] = {
    "num_scenes": 20,
    "min_size": 16,
    "max_size": 28,
    "min_digits": 1,
    "max_digits": 4,
    "clutter": 2,
    "overlap": 0.1,
    "contrast": 0.5,
    "generator_seed": 0,
}


@pytest.fixture(scope="module")
def scenes() -> Pictures:
    """Return a few scenes."""
    data = load("picture_scenes", SCENES)
    assert isinstance(data, Pictures)
    return data


class Told(nn.Module):
    """A model that returns what it is told, whatever it is given."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs


def test_images_are_shown_as_they_were(scenes: Pictures) -> None:
    """Standardisation is undone to the bit, and each pixel is repeated three times."""
    seen = visible(scenes, scenes.fetch(torch.arange(3))["images"])
    assert seen.shape == (3, 3, 192, 192) and seen.dtype == torch.uint8
    assert torch.equal(seen[:, :, 1::3, 1::3], scenes.images[:3].expand(-1, 3, -1, -1))


def test_boxes_are_drawn_where_they_are(scenes: Pictures) -> None:
    """The truth in green; of two detections on one object the surer one alone, and none that is unsure."""
    task = Detection(scenes)
    batch = scenes.fetch(torch.tensor([0]))
    boxes = torch.tensor([[10.0, 12.0, 30.0, 40.0], [11.0, 12.0, 31.0, 40.0], [40.0, 40.0, 60.0, 60.0]])
    logits = torch.full((3, 10), -9.0)
    logits[0, 4], logits[1, 5], logits[2, 6] = 2.0, 1.0, -3.0
    outputs = torch.cat((boxes, torch.zeros(3, 4), logits), dim=1).unsqueeze(0)
    (drawn,) = task.drawn(Told(outputs), batch)
    assert torch.equal(drawn.given, visible(scenes, batch["images"])[0])
    orange, lime = torch.tensor([255, 165, 0]).view(3, 1, 1), torch.tensor([0, 255, 0]).view(3, 1, 1)
    made = (drawn.made == orange).all(0)
    assert made[60, 30] and made[60, 89] and made[36, 60] and made[119, 60]
    assert not made[130:].any() and not made[60, 93]
    wanted = (drawn.wanted == lime).all(0)
    x1, y1, x2, y2 = (3 * batch["boxes"][0, 0]).int().tolist()
    assert wanted[(y1 + y2) // 2, x1] and wanted[y1, (x1 + x2) // 2]
    assert not (drawn.given == lime).all(0).any()


def test_pictures_without_a_box_stay_as_they_are(scenes: Pictures) -> None:
    """Nothing found is drawn as nothing."""
    task = Detection(scenes)
    (drawn,) = task.drawn(Told(torch.full((1, 2, 18), -9.0)), scenes.fetch(torch.tensor([0])))
    assert torch.equal(drawn.made, drawn.given)


def test_classes_of_pixels_have_colours(scenes: Pictures) -> None:
    """Background and pixels that do not count stay grey; the picture of the truth is that of a perfect model."""
    task = Segmentation(scenes)
    batch = scenes.fetch(torch.tensor([0, 1]))
    perfect = nn.functional.one_hot(batch["masks"], task.num_outputs).permute(0, 3, 1, 2).float()
    for drawn, mask in zip(task.drawn(Told(perfect), batch), batch["masks"], strict=True):
        assert torch.equal(drawn.made, drawn.wanted)
        coloured = (drawn.made != drawn.made[:1]).any(0)
        assert torch.equal(coloured, enlarged(mask) > 0)
    picture = torch.full((3, 4, 4), 100, dtype=torch.uint8)
    assert torch.equal(with_classes(picture, torch.full((4, 4), 255), 3), picture)


@pytest.mark.parametrize("count", [1, 2, 10, 80])
def test_each_class_has_its_own_colour(count: int) -> None:
    """As far as 8 bits allow."""
    assert len(set(class_colors(count))) == count
