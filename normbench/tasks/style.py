"""Style transfer: repaint pictures in the style of another one (Johnson et al. 2016; Ulyanov et al. 2017)."""

from collections.abc import Mapping
from functools import cached_property
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.data.examples import Batch, Examples
from normbench.data.images import Images
from normbench.data.mosaic import mosaic
from normbench.data.pixels import decode_file
from normbench.errors import ConfigError, DataError, ImpossibleRunError
from normbench.shapes import PictureShape
from normbench.tasks.drawing import scale, visible
from normbench.tasks.features import feature_net
from normbench.tasks.task import Drawn, Task, trained_and_judged

_AT_ONCE = 32
"""Pictures whose feature maps are in memory at once."""

_MOST_FOR_CHANCE = 512


@final
class StyleTransfer(Task):
    """Pictures repainted in the style of another one: content loss plus weighted style loss, by a frozen network.

    Let F_s(x), (C, H W), be the last feature map of stage s of the network, and G_s = F_s F_s^T / (C H W). Then

    - the style loss is the sum over stages of the squared differences of all entries of G_s, of the made picture and
      the style picture;
    - the content loss is the mean squared difference of F_s, of the made picture and the given one, at one stage;
    - the total loss, which is trained, is content loss + `style_weight` * style loss.

    Chance level is that of the unchanged content, without its content loss, which is 0 and thus the best there is.

    Args:
        data: With `images` (N, C, H, W) of 8 bits.
        style: The style picture, a file; None for an embedded mosaic.
        features: Weights of the network, a file; see `feature_net`. None for one with random weights.
        style_size: The style picture is scaled to a shorter side of this many pixels.
        stages: Stages of the network that are used.
        content_stage: Stage for the content loss, from 1.
        style_weight: Weight of the style loss.

    Shape:
        Outputs are pictures (B, C, H, W), standardised as the data set's.

    Raises:
        ImpossibleRunError: If the data are no such images, or smaller than what the network sees at once.
        ConfigError: If a file cannot be read, or an argument does not fit the network.
    """

    inputs = ("images",)
    targets = ("images",)
    metrics = ("total_loss", "style_loss", "content_loss")
    alone = "task=style: convolutions on maps take the time, so runs gain nothing from training together"
    draws = "The content, the picture whose style is wanted, stretched to its size, and the content repainted."

    def __init__(
        self,
        data: Examples,
        *,
        style: str | None = None,
        features: str | None = None,
        style_size: int = 128,
        stages: int = 3,
        content_stage: int = 2,
        style_weight: float = 2.0,
    ) -> None:
        super().__init__(data)
        if not isinstance(data, Images) or data.images.dtype != torch.uint8:
            raise ImpossibleRunError(f"task=style needs images of 8 bits, and data={data.name} has others.")
        if not 1 <= content_stage <= stages:
            raise ConfigError(f"task.content_stage: got {content_stage}, expected 1 to task.stages={stages}.")
        net = feature_net(features, stages)
        self.images = data
        self.style, self.style_size = style, style_size
        self.content_stage, self.style_weight = content_stage, style_weight
        channels, height, width = data.input_shape
        if channels != net.channels:
            raise ImpossibleRunError(
                f"task=style: the feature network takes images of {net.channels} channels, and data={data.name} has "
                f"{channels}; choose other data or task.features."
            )
        if min(height, width, style_size) < net.field:
            raise ImpossibleRunError(
                f"task=style: {stages} stages of the feature network see {net.field}x{net.field} pixels at once; got "
                f"images of {height}x{width} and task.style_size={style_size}. Use larger ones or fewer task.stages."
            )
        self.net = net.to(data.images.device)
        _ = self._style

    @property
    def input_shape(self) -> PictureShape:
        """The shape of the pictures."""
        return PictureShape(*self.images.input_shape)

    @property
    def num_outputs(self) -> int:
        """C."""
        return self.images.input_shape[0]

    def blank_outputs(self, count: int) -> Tensor:
        """Return zeros (count, C, H, W)."""
        return torch.zeros(1).expand(count, *self.images.input_shape)

    @property
    def sums(self) -> dict[str, tuple[int, ...]]:
        """Style loss and content loss, one number each."""
        return {"style_loss": (), "content_loss": ()}

    @property
    def key(self) -> str:
        """The settings, without tensors: such runs are never compiled."""
        return repr([self.images.input_shape, self.style_size, self.content_stage, self.style_weight])

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean total loss () of a batch."""
        return self.losses(outputs, batch).mean()

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the total loss of each picture, (B,)."""
        return self._total(self.measure(outputs, batch))

    def measure(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return style loss and content loss of each picture, (B,) each."""
        pairs = zip(torch.split(outputs, _AT_ONCE), torch.split(batch["images"], _AT_ONCE), strict=True)
        style, content = zip(*(self._distances(made, given) for made, given in pairs), strict=True)
        return {"style_loss": torch.cat(style), "content_loss": torch.cat(content)}

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the means of the three losses."""
        means = {name: sums[name] / sums["count"] for name in self.sums}
        return {name: float(value) for name, value in {"total_loss": self._total(means), **means}.items()}

    @torch.no_grad()
    def drawn(self, model: nn.Module, batch: Batch) -> list[Drawn]:
        """Return the content, the style picture and the content repainted."""
        given = visible(self.data, batch["images"])
        made = visible(self.data, self.call(model, batch))
        size = [side * scale(batch["images"]) for side in self.images.input_shape[1:]]
        style = F.interpolate(self._style_pixels[None], size, mode="bilinear", antialias=True)[0]
        wanted = style.round().clamp(0, 255).to(torch.uint8)
        return [Drawn(own, wanted, new) for own, new in zip(given, made, strict=True)]

    @property
    @torch.no_grad()
    def chance(self) -> dict[str, float]:
        """Total and style loss of the unchanged content, of at most 512 evenly spaced pictures of the test part."""
        _, judged = trained_and_judged(self.data)
        rows = torch.arange(len(self.data), device=self.images.images.device)[judged]
        images = self.data.fetch_test(rows[:: -(-len(rows) // _MOST_FOR_CHANCE)])["images"]
        style = float(self.measure(images, {"images": images})["style_loss"].double().mean())
        return {"total_loss": self.style_weight * style, "style_loss": style}

    def _total(self, losses: Mapping[str, Tensor]) -> Tensor:
        return losses["content_loss"] + self.style_weight * losses["style_loss"]

    def _distances(self, made: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Return style and content loss of each picture, (B,) both."""
        maps = self._maps(made)
        style = torch.stack(
            [(gram(own) - wanted).square().sum((1, 2)) for own, wanted in zip(maps, self._style, strict=True)]
        ).sum(0)
        with torch.no_grad():
            wanted = self._maps(given)[self.content_stage - 1]
        return style, (maps[self.content_stage - 1] - wanted).square().mean((1, 2, 3))

    def _maps(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of images as the data set gives them."""
        if self.net.torchvision:
            mean, std = self.images.mean, self.images.std
            pixels = images * std.view(-1, 1, 1) + mean.view(-1, 1, 1)
            images = self.net.standardised(pixels, mean, std)
        return self.net.maps(images)

    @cached_property
    @torch.no_grad()
    def _style(self) -> list[Tensor]:
        """The Gram matrix of the style picture at each stage, (C_s, C_s)."""
        picture = self.net.standardised(self._style_pixels, self.images.mean, self.images.std)
        return [gram(own)[0] for own in self.net.maps(picture[None])]

    @cached_property
    def _style_pixels(self) -> Tensor:
        """The style picture, scaled, (C, H, W) in 0..255."""
        pixels = _style_picture(self.style).to(self.images.images.device, torch.float32)
        factor = self.style_size / min(pixels.shape[1:])
        size = [round(factor * side) for side in pixels.shape[1:]]
        return F.interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]


def gram(maps: Tensor) -> Tensor:
    """Return F F^T / (C H W) of feature maps (N, C, H, W), (N, C, C): how strongly two channels go together."""
    rows = maps.flatten(2)
    return rows @ rows.mT / (rows.shape[1] * rows.shape[2])


def _style_picture(file: str | None) -> Tensor:
    if file is None:
        return mosaic()
    try:
        return torch.from_numpy(decode_file(file, None).pixels.copy())
    except DataError as error:
        raise ConfigError(f"task.style: {error}.") from error
