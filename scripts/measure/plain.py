"""What normbench is compared with: a hand-written training loop that records and evaluates nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

WIDTH = 128
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "group": lambda features: nn.GroupNorm(features // 4, features),
    "none": lambda features: nn.Identity(),
}

Data = tuple[Tensor, Tensor]
"""Images (N, C, H, W), standardised, and labels (N,)."""


def digits() -> Data:
    """Return as many of scikit-learn's digits as normbench trains on by default."""
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float().unsqueeze(1)
    return ((images - images.mean()) / images.std())[:1258], torch.from_numpy(bunch.target)[:1258]


def image_folder(root: str, count: int) -> Data:
    """Return `count` images of `root`/train (one folder per class), equally many of each class."""
    from torchvision.datasets import ImageFolder
    from torchvision.transforms.functional import pil_to_tensor

    found = ImageFolder(str(Path(root) / "train"))
    pairs = [found[place * len(found) // count] for place in range(count)]
    images = torch.stack([pil_to_tensor(image) for image, _ in pairs]).float()
    mean, std = images.mean(dim=(0, 2, 3), keepdim=True), images.std(dim=(0, 2, 3), keepdim=True)
    return (images - mean) / std, torch.tensor([label for _, label in pairs])


def mlp(norm: str = "batch") -> nn.Module:
    """Return a perceptron of three hidden layers for digits."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs in (64, WIDTH, WIDTH):
        # A bias has no effect before a norm that removes each unit's mean.
        layers += [nn.Linear(inputs, WIDTH, bias=norm != "batch"), NORMS[norm](WIDTH), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


class Block(nn.Module):
    """Two convolutions and a shortcut without parameters (He et al. 2016, option A)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Halve height and width where the number of channels grows."""
        super().__init__()
        self.stride = 1 if inputs == outputs else 2
        self.more = outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        shortcut = x
        if self.more:
            shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.more))
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + shortcut)


def resnet8(channels: int) -> nn.Module:
    """Return the ResNet-8 of 16, 32 and 64 channels."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Block(16, 16),
        Block(16, 32),
        Block(32, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def train(model: Callable[[], nn.Module], data: Data, *, batch_size: int, steps: int, lr: float = 0.01) -> float:
    """Train once from scratch.

    Args:
        model: Makes the model.
        data: The training data; reshuffled every epoch, the incomplete last batch dropped.
        batch_size: Samples of a step.
        steps: Optimizer steps.
        lr: Learning rate.

    Returns:
        Seconds, including building model and optimizer.
    """
    images, labels = data
    whole = len(images) // batch_size * batch_size
    start = perf_counter()
    made = model()
    optimizer = torch.optim.SGD(made.parameters(), lr=lr, momentum=0.9)
    order: Sequence[Tensor] = ()
    for step in range(steps):
        place = step % (whole // batch_size)
        if place == 0:
            order = torch.split(torch.randperm(len(images))[:whole], batch_size)
        index = order[place]
        optimizer.zero_grad()
        loss = F.cross_entropy(made(images[index]), labels[index])
        torch.autograd.backward(loss)
        optimizer.step()
    return perf_counter() - start


SCRIPT = """
import time
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

bunch = load_digits()
images, labels = torch.from_numpy(bunch.data).float(), torch.from_numpy(bunch.target)
model = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
F.cross_entropy(model(images[:32]), labels[:32]).backward()
optimizer.step()
print(time.time())
"""
"""A plain script up to its first optimizer step; prints when that was."""
