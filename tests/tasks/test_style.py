"""Style transfer: losses written out in loops, the frozen network, and batch norm against instance norm."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from commands import Command
from PIL import Image
from torch import Tensor, nn

from normbench.data import Dataset, load
from normbench.errors import ConfigError, ImpossibleRunError
from normbench.shapes import PictureShape
from normbench.tasks import StyleTransfer
from normbench.tasks.style import gram


def pieces(count: int = 6, size: int = 32) -> Dataset:
    data = load("photo_pieces", {"size": size})
    assert isinstance(data, Dataset)
    return data.select(torch.arange(0, len(data), len(data) // count)[:count], num_val=0, num_test=0)


def pictures(count: int, seed: int = 0, size: int = 32) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def gram_in_loops(maps: Tensor) -> list[list[float]]:
    """Return the Gram matrix of one picture's maps (C, H, W), number by number."""
    channels, height, width = maps.shape
    values = maps.tolist()
    return [
        [
            sum(
                values[one][row][column] * values[other][row][column]
                for row in range(height)
                for column in range(width)
            )
            / (channels * height * width)
            for other in range(channels)
        ]
        for one in range(channels)
    ]


def test_gram_matrices_are_sums_of_products() -> None:
    """Of each two channels over all pixels, divided by the number of values."""
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gram(maps), torch.tensor([gram_in_loops(own) for own in maps], dtype=torch.float64))


def test_losses_are_those_written_out() -> None:
    """Squared differences of Gram matrices and of one stage's maps, picture by picture."""
    task = StyleTransfer(pieces(size=16), style_size=20, content_stage=1, style_weight=3.0, stages=2)
    made, given = pictures(2, size=16), pictures(2, seed=1, size=16)
    pixels = task._style_pixels
    assert pixels.shape == (3, 20, 20)
    style = (pixels - task.images.mean.view(-1, 1, 1)) / task.images.std.view(-1, 1, 1)
    wanted = [gram_in_loops(own[0]) for own in task.net.maps(style[None])]
    losses = task.losses(made, {"images": given})
    measured = task.measure(made, {"images": given})
    for place in range(2):
        style_loss, own_maps = 0.0, task.net.maps(made[place : place + 1])
        for maps, matrix in zip(own_maps, wanted, strict=True):
            own = gram_in_loops(maps[0])
            style_loss += sum((own[i][j] - matrix[i][j]) ** 2 for i, j in product(range(len(own)), repeat=2))
        content = (own_maps[0] - task.net.maps(given[place : place + 1])[0]).square().mean()
        assert float(measured["style_loss"][place]) == pytest.approx(style_loss, rel=1e-4)
        assert float(measured["content_loss"][place]) == pytest.approx(float(content), rel=1e-4)
        assert float(losses[place]) == pytest.approx(float(content) + 3 * style_loss, rel=1e-4)
    sums = {"count": torch.tensor(2.0), **{name: rows.double().sum() for name, rows in measured.items()}}
    assert task.scores(sums)["total_loss"] == pytest.approx(float(losses.double().mean()))
    assert task.scores(sums)["total_loss"] == pytest.approx(float(task.loss(made, {"images": given})))


def test_many_pictures_are_compared_in_parts() -> None:
    """The losses of 40 are those of each by itself; and under vmap those of each run."""
    task, made, given = StyleTransfer(pieces(), style_size=32), pictures(40), pictures(40, seed=1)
    whole = task.losses(made, {"images": given})
    torch.testing.assert_close(whole[37:38], task.losses(made[37:38], {"images": given[37:38]}))
    stacked = torch.vmap(task.losses)(made[:4].reshape(2, 2, 3, 32, 32), {"images": given[:4].reshape(2, 2, 3, 32, 32)})
    torch.testing.assert_close(stacked.flatten(), whole[:4])


def test_chance_is_the_unchanged_content() -> None:
    """Its style loss, weighted in the total; at changed contrast it is that of the pictures that the test shows."""
    data = pieces()
    task = StyleTransfer(data, style_size=32, style_weight=2.0)
    images = data.fetch(torch.arange(6))["images"]
    measured = task.measure(images, {"images": images})
    style = float(measured["style_loss"].double().mean())
    assert float(measured["content_loss"].abs().max()) == 0
    assert task.chance == pytest.approx({"total_loss": 2 * style, "style_loss": style})


def test_pictures_show_content_style_and_result() -> None:
    """A net that changes nothing gives the content back, enlarged; the style is the same for all."""
    data = pieces()
    drawn = StyleTransfer(data, style_size=32).drawn(nn.Identity(), data.fetch(torch.arange(2)))
    for place, one in enumerate(drawn):
        assert torch.equal(one.given[:, ::6, ::6], data.images[place]) and torch.equal(one.given, one.made)
        assert one.wanted.shape == one.given.shape == (3, 192, 192) and torch.equal(one.wanted, drawn[0].wanted)
    assert not torch.equal(drawn[0].given, drawn[0].wanted)


def test_a_style_picture_of_the_users_is_scaled(tmp_path: Path) -> None:
    """To the shorter side, whatever its shape."""
    file = tmp_path / "style.png"
    Image.new("RGB", (90, 60), (10, 20, 30)).save(file)
    task = StyleTransfer(pieces(), style=str(file), style_size=40)
    assert task._style_pixels.shape == (3, 40, 60)
    assert task._style_pixels.mean((1, 2)).tolist() == pytest.approx([10, 20, 30])
    assert task.input_shape == PictureShape(3, 32, 32)


def test_what_does_not_fit_is_refused() -> None:
    """Content smaller than what the network sees, grey images, floats, a stage beyond the last."""
    data = pieces()
    small = load("photo_pieces", {"size": 16})
    with pytest.raises(
        ImpossibleRunError, match=r"3 stages of the feature network see 32x32 pixels at once; got images"
    ):
        StyleTransfer(small)
    assert StyleTransfer(small, stages=2, style_size=32).net.field == 14
    with pytest.raises(ImpossibleRunError, match=r"images of 32x32 and task.style_size=31"):
        StyleTransfer(data, style_size=31)
    with pytest.raises(ImpossibleRunError, match="takes images of 3 channels, and data=digits has 1"):
        StyleTransfer(load("digits", {}))
    with pytest.raises(ImpossibleRunError, match="needs images of 8 bits, and data=photo_pieces has others"):
        StyleTransfer(replace(data, images=data.images.float()))
    with pytest.raises(ConfigError, match=r"task.content_stage: got 3, expected 1 to task.stages=2"):
        StyleTransfer(data, stages=2, content_stage=3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("task.style=text.png",), "task.style: cannot read image text.png: Pillow does not know its format."),
        (("task.style=nowhere.png",), "task.style: cannot read image nowhere.png: [Errno 2] No such file"),
        (("task.features=net.pt",), "task.features="),
        (("data.size=16",), "3 stages of the feature network see 32x32 pixels at once; got images of 16x16"),
        (("model=unet",), "model=unet takes images with a class for each pixel, and task=style gives pictures to"),
    ],
    ids=["no picture", "no file", "another network", "small content", "another model"],
)
def test_bad_input_is_named_before_anything_starts(
    normbench: Command, tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    """Exit code 2 and one line."""
    (tmp_path / "text.png").write_text("no picture")
    torch.save({"conv1.weight": torch.zeros(2, 3, 7, 7)}, tmp_path / "net.pt")
    result = normbench("train", "task=style", "steps=1", *overrides)
    assert result.code == 2 and message in " ".join(result.err.split()) and "Traceback" not in result.err
    assert not (tmp_path / "results").exists()
