"""A frozen VGG-like network whose feature maps say how alike two pictures are: drawn at random, or from a file."""

import itertools
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from normbench.errors import ConfigError
from normbench.randomness import generator

_WIDTHS = (16, 32, 64)
"""Channels of the stages of the random network, two convolutions each: those of `model=vgg`."""

_EPS = 1e-5
_STATISTICS = {"running_mean", "running_var"}
_OF_BATCH_NORM = {"weight", "bias", "num_batches_tracked", *_STATISTICS}

_IMAGENET = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
"""Mean and deviation of pixels in 0..1, by which torchvision's networks were trained."""


class Convolution(NamedTuple):
    """A 3x3 convolution, followed by a ReLU; a batch norm between them is part of it.

    Attributes:
        weight: (out, in, 3, 3).
        bias: (out,).
    """

    weight: Tensor
    bias: Tensor


class FeatureNet(NamedTuple):
    """Stages of convolutions, with max-pooling between them.

    Attributes:
        stages: Its convolutions.
        torchvision: Whether its inputs are standardised as in torchvision; otherwise by the data set.
    """

    stages: tuple[tuple[Convolution, ...], ...]
    torchvision: bool

    @property
    def channels(self) -> int:
        """Channels of its inputs."""
        return self.stages[0][0].weight.shape[1]

    @property
    def field(self) -> int:
        """Side of the square of pixels that a value of the last map sees."""
        field = 1
        for place, stage in enumerate(reversed(self.stages)):
            field = (2 * field if place else field) + 2 * len(stage)
        return field

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """Return the last map of each stage, (N, C_s, H_s, W_s).

        Args:
            pictures: (N, C, H, W), standardised.
        """
        found: list[Tensor] = []
        x = pictures
        for stage in self.stages:
            x = F.max_pool2d(x, 2) if found else x
            for layer in stage:
                x = F.conv2d(x, layer.weight, layer.bias, padding=1).relu()
            found.append(x)
        return found

    def standardised(self, pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Return pixels (..., C, H, W) in 0..255 as the network takes them, for a data set of `mean` and `std`."""
        if self.torchvision:
            mean, std = 255 * _IMAGENET.to(pixels.device)
        return (pixels - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)

    def to(self, device: torch.device) -> "FeatureNet":
        """Return the network on a device."""
        moved = (
            tuple(Convolution(*(values.to(device) for values in layer)) for layer in stage) for stage in self.stages
        )
        return self._replace(stages=tuple(moved))


def feature_net(file: str | None, stages: int) -> FeatureNet:
    """Return the first stages of a network.

    Args:
        file: Weights of torchvision's VGG, or kept weights of `model=vgg` with `norm=none` or `norm=batch`; both with
            ReLUs, and normbench's with norms before them. None for `random_net`.
        stages: How many.

    Raises:
        ConfigError: If the file cannot be read, or has another network or fewer stages.
    """
    net = random_net() if file is None else _of_file(file)
    if len(net.stages) < stages:
        name = "the random network" if file is None else f"the network of {file}"
        raise ConfigError(f"task.stages: got {stages}, but {name} has {len(net.stages)}.")
    return net._replace(stages=net.stages[:stages])


@lru_cache(maxsize=1)
def random_net() -> FeatureNet:
    """Return three stages of two convolutions with He et al.'s (2015) random weights, the same ones in every process.

    The Gram matrices of random filters, too, tell textures apart (Ustyuzhaninov et al. 2017; He, Wang & Hopcroft 2016).
    """
    stages, channels = [], 3
    for place, width in enumerate(_WIDTHS):
        stage = []
        for layer in range(2):
            weight = torch.empty(width, channels, 3, 3)
            weight.normal_(0, (2 / (9 * channels)) ** 0.5, generator=generator(0, "features", place, layer))
            stage.append(Convolution(weight, torch.zeros(width)))
            channels = width
        stages.append(tuple(stage))
    return FeatureNet(tuple(stages), torchvision=False)


def _of_file(file: str) -> FeatureNet:
    path = Path(file)
    try:
        state = path.stat()
    except OSError as error:
        raise ConfigError(f"task.features={file}: {error.strerror}.") from error
    return _read(str(path.absolute()), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _read(path: str, _changed: int, _size: int) -> FeatureNet:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle and zipfile each raise different errors
        raise ConfigError(
            f"task.features={path} cannot be read ({type(error).__name__}): expected a state dict from torch.save."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(values, Tensor) for values in state.values()):
        raise ConfigError(f"task.features={path} has no state dict: expected tensors by name.")
    try:
        if any(name.startswith("features.") for name in state):
            return FeatureNet(_torchvision_stages(state), torchvision=True)
        return FeatureNet(_own_stages(state), torchvision=False)
    except _OtherNetError as error:
        raise ConfigError(
            f"task.features={path} is another network ({error}): expected torchvision's VGG, or normbench's model=vgg "
            "with norm=none or norm=batch."
        ) from error


class _OtherNetError(Exception):
    """The entries are not those of a VGG; the message says which one."""


def _own_stages(state: Mapping[str, Tensor]) -> tuple[tuple[Convolution, ...], ...]:
    """Return the stages of normbench's `vgg`: blocks.<stage>.<place>.layer and blocks.<stage>.<place>.norm."""
    stages: list[list[Convolution]] = []
    for name in state:
        if name.startswith("head."):
            continue
        found = re.fullmatch(r"blocks\.(\d+)\.(\d+)\.(layer|norm)\.\w+", name)
        if found is None:
            raise _OtherNetError(name)
        stage, place = int(found[1]), int(found[2])
        if name.endswith("layer.weight"):
            if stage == len(stages):
                stages.append([])
            if (stage, place) != (len(stages) - 1, len(stages[-1])):
                raise _OtherNetError(name)
            stages[-1].append(_convolution(state, f"blocks.{stage}.{place}.layer", f"blocks.{stage}.{place}.norm"))
    return _connected(stages)


def _torchvision_stages(state: Mapping[str, Tensor]) -> tuple[tuple[Convolution, ...], ...]:
    """Return the stages of torchvision's VGG: features.<place>, where a pooling takes a place and has no entry."""
    places = []
    for name, values in state.items():
        if name.startswith("classifier."):
            continue
        if re.fullmatch(r"features\.\d+\.\w+", name) is None:
            raise _OtherNetError(name)
        if name.endswith(".weight") and values.dim() > 1:
            places.append(int(name.split(".")[1]))
    stages: list[list[Convolution]] = [[]]
    expected = 0
    for place in places:
        normed = f"features.{place + 1}.running_var" in state
        if place == expected + 1 and stages[-1]:
            stages.append([])
        elif place != expected:
            raise _OtherNetError(f"features.{place}")
        stages[-1].append(_convolution(state, f"features.{place}", f"features.{place + 1}" if normed else ""))
        expected = place + (3 if normed else 2)
    return _connected(stages)


def _convolution(state: Mapping[str, Tensor], layer: str, norm: str) -> Convolution:
    """Return a convolution with the batch norm that follows it, if there is one."""
    weight = state[f"{layer}.weight"].float()
    if weight.shape[2:] != (3, 3):
        raise _OtherNetError(f"{layer}.weight {tuple(weight.shape)}")
    bias = state.get(f"{layer}.bias", torch.zeros(len(weight))).float()
    entries = {name.removeprefix(f"{norm}.") for name in state if norm and name.startswith(f"{norm}.")}
    if not entries:
        return Convolution(weight, bias)
    if not _STATISTICS <= entries <= _OF_BATCH_NORM:
        raise _OtherNetError(f"{norm} with {', '.join(sorted(entries))}")
    mean, variance = (state[f"{norm}.{name}"].float() for name in ("running_mean", "running_var"))
    gamma = state.get(f"{norm}.weight", torch.ones(len(weight))) / (variance + _EPS).sqrt()
    beta = state.get(f"{norm}.bias", torch.zeros(len(weight)))
    return Convolution(gamma.view(-1, 1, 1, 1) * weight, beta + gamma * (bias - mean))


def _connected(stages: list[list[Convolution]]) -> tuple[tuple[Convolution, ...], ...]:
    """Return stages of which each convolution takes as many channels as the one before it gives."""
    layers = [layer for stage in stages for layer in stage]
    if not layers:
        raise _OtherNetError("no convolution")
    for before, after in itertools.pairwise(layers):
        if after.weight.shape[1] != before.weight.shape[0]:
            raise _OtherNetError(f"{after.weight.shape[1]} channels after {before.weight.shape[0]}")
    return tuple(tuple(stage) for stage in stages)
