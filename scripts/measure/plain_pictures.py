"""A network that classifies each pixel, as one writes it with torch, and pictures to train it on."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from measure.plain import Block, Data

CLASSES, SIZE, WIDTH = 11, 64, 8


class FCN(nn.Module):
    """A residual network of three stages, and a sum of scores of each stage (Long et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU())
        self.stages = nn.ModuleList((Block(WIDTH, WIDTH), Block(WIDTH, 2 * WIDTH), Block(2 * WIDTH, 4 * WIDTH)))
        last = nn.Conv2d(4 * WIDTH, 4 * WIDTH, 3, padding=1, bias=False)
        self.layer = nn.Sequential(last, nn.BatchNorm2d(4 * WIDTH), nn.ReLU())
        self.scores = nn.ModuleList(nn.Conv2d(WIDTH * 2**stage, CLASSES, 1) for stage in range(3))

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 1, 64, 64) to logits (B, 11, 64, 64)."""
        maps = [self.stem(images)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        scores: Tensor = self.scores[2](self.layer(maps[3]))
        for place in (1, 0):
            up = F.interpolate(scores, scale_factor=2, mode="bilinear", align_corners=False)
            scores = up + self.scores[place](maps[place + 1])
        return scores


def noise(count: int) -> Data:
    """Return as many images and masks as asked for: what they show costs no time."""
    return torch.randn(count, 1, SIZE, SIZE), torch.randint(CLASSES, (count, SIZE, SIZE))
