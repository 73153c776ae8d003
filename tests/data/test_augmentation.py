import pytest
import torch
from torch import Tensor

from normbench.data.augmentation import AUGMENTATIONS, Draws, apply, augment, draw, padding
from normbench.errors import DataError


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(64, 3, 16, 12, generator=stream(9))


def crops(batch_size: int, height: int, width: int, kind: str, generator: torch.Generator) -> Draws:
    draws = draw(batch_size, height, width, kind, generator)
    assert isinstance(draws, Draws)
    return draws


def slowly(image: Tensor, row: int, column: int, flip: bool) -> Tensor:
    """Crop and flip one image (C, H, W) by slicing: the reference."""
    channels, height, width = image.shape
    pad = padding(height)
    padded = torch.zeros(channels, height + 2 * pad, width + 2 * pad)
    padded[:, pad : pad + height, pad : pad + width] = image
    window = padded[:, row : row + height, column : column + width]
    return window.flip(2) if flip else window


@pytest.mark.parametrize("kind", [kind for kind in AUGMENTATIONS if "resized" not in kind])
def test_batches_equal_image_by_image(images: Tensor, kind: str) -> None:
    """Indexing a batch at once gives what slicing each image gives."""
    draws = crops(64, 16, 12, kind, stream())
    expected = [
        slowly(image, row, column, flip)
        for image, (row, column), flip in zip(images, draws.offsets.tolist(), draws.flips.tolist(), strict=True)
    ]
    assert torch.equal(apply(images, draws), torch.stack(expected))


def test_vmap_over_runs_equals_a_loop(images: Tensor) -> None:
    """Runs with draws of their own can be augmented together, bit for bit as one after another."""
    runs = images.view(4, 16, 3, 16, 12)
    draws = [crops(16, 16, 12, "crop_flip", stream(seed)) for seed in range(4)]
    stacked = Draws(torch.stack([one.offsets for one in draws]), torch.stack([one.flips for one in draws]))
    expected = torch.stack([apply(batch, one) for batch, one in zip(runs, draws, strict=True)])
    assert torch.equal(torch.vmap(apply)(runs, stacked), expected)


@pytest.mark.parametrize(("height", "pixels"), [(32, 4), (28, 3), (8, 1), (4, 1)])
def test_padding_is_an_eighth(height: int, pixels: int) -> None:
    """CIFAR's 4 pixels for 32, in proportion, and never a crop that does nothing."""
    assert padding(height) == pixels


def test_every_window_and_flip_is_drawn() -> None:
    """Offsets reach from one corner of the padded image to the other, and about half the images are mirrored."""
    draws = crops(4000, 32, 32, "crop_flip", stream())
    assert set(map(tuple, draws.offsets.tolist())) == {(row, column) for row in range(9) for column in range(9)}
    assert abs(draws.flips.float().mean().item() - 0.5) < 0.05


@pytest.mark.parametrize(("kind", "moves", "mirrors"), [("crop", True, False), ("flip", False, True)])
def test_each_kind_draws_only_its_own(kind: str, moves: bool, mirrors: bool) -> None:
    """A crop mirrors nothing and a flip moves nothing."""
    draws = crops(100, 32, 32, kind, stream())
    assert bool((draws.offsets != 4).any()) is moves
    assert bool(draws.flips.any()) is mirrors


def test_none_returns_the_images_and_draws_nothing(images: Tensor) -> None:
    """Without augmentation a batch is not copied and the generator stays where it was."""
    generator = stream()
    before = generator.get_state()
    assert augment(images, "none", generator) is images
    assert torch.equal(generator.get_state(), before)
    assert torch.equal(apply(images, crops(64, 16, 12, "none", generator)), images)


def test_augment_draws_then_applies(images: Tensor) -> None:
    """The one-step form equals drawing and applying with the same generator."""
    expected = apply(images, crops(64, 16, 12, "crop_flip", stream(5)))
    assert torch.equal(augment(images, "crop_flip", stream(5)), expected)


def test_unknown_kind_is_refused() -> None:
    """A misspelt kind is answered with the nearest one."""
    with pytest.raises(DataError, match=r"unknown data\.augment 'crop_flop'; did you mean 'crop_flip'\?"):
        draw(1, 8, 8, "crop_flop", stream())
