import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms.functional import resized_crop

from normbench.data.augmentation import augment
from normbench.data.resized_crop import Windows, draw_windows, scale_windows

SIZES = [(32, 32), (16, 24), (28, 7), (8, 8)]


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some(height: int, width: int, count: int = 64) -> Tensor:
    return torch.randn(count, 3, height, width, generator=stream(9))


def by_torchvision(images: Tensor, windows: Windows, *, antialias: bool) -> Tensor:
    """Cut and scale image by image with torchvision's own function: the oracle."""
    size = list(images.shape[2:])
    scaled = [
        resized_crop(image, top, left, height, width, size, InterpolationMode.BILINEAR, antialias=antialias)
        for image, (top, left), (height, width) in zip(
            images, windows.corners.tolist(), windows.sizes.tolist(), strict=True
        )
    ]
    pairs = zip(scaled, windows.flips.tolist(), strict=True)
    return torch.stack([image.flip(2) if flip else image for image, flip in pairs])


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("flip", [False, True], ids=["unflipped", "flipped"])
@pytest.mark.parametrize("antialias", [False, True], ids=["plain", "antialias"])
def test_windows_are_scaled_as_by_torchvision(height: int, width: int, flip: bool, antialias: bool) -> None:
    """With and without antialias: a window is enlarged, where both are the same."""
    images = some(height, width)
    windows = draw_windows(64, height, width, flip, stream())
    expected = by_torchvision(images, windows, antialias=antialias)
    torch.testing.assert_close(scale_windows(images, windows), expected, atol=2e-5, rtol=1e-5)
    assert bool(windows.flips.any()) is flip


def test_the_whole_image_stays_as_it_is() -> None:
    """A window of all pixels changes none."""
    images = some(8, 8, 2)
    whole = Windows(torch.zeros(2, 2, dtype=torch.int64), torch.full((2, 2), 8), torch.tensor([False, True]))
    assert torch.equal(scale_windows(images, whole), torch.stack([images[0], images[1].flip(2)]))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_windows_are_distributed_as_those_of_torchvision(height: int, width: int) -> None:
    """Means and deviations of corner, height and width agree to within chance over 20,000 windows of either."""
    ours = draw_windows(20_000, height, width, False, stream())
    found = torch.cat([ours.corners, ours.sizes], dim=1).double()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = torch.empty(1, height, width)
        theirs = [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(20_000)]
    expected = torch.tensor(theirs, dtype=torch.float64)
    error = 5 * (2 / 20_000) ** 0.5 * expected.std(dim=0)
    assert ((found.mean(dim=0) - expected.mean(dim=0)).abs() <= error + 1e-9).all()
    torch.testing.assert_close(found.std(dim=0), expected.std(dim=0), rtol=0.05, atol=0.01)


@pytest.mark.parametrize(("height", "width"), [*SIZES, (1, 40), (40, 1)])
def test_windows_lie_in_the_image(height: int, width: int) -> None:
    """Also where none of ten tries fits, as in very long images: there it is the centre."""
    windows = draw_windows(5_000, height, width, False, stream())
    assert (windows.corners >= 0).all() and (windows.sizes >= 1).all()
    assert (windows.corners + windows.sizes <= torch.tensor([height, width])).all()


def test_the_centre_is_that_of_torchvision() -> None:
    """Where no window of a fitting ratio fits, it is as much of the centre as the ratio allows."""
    windows = draw_windows(1, 4, 400, False, stream())
    found = (*windows.corners[0].tolist(), *windows.sizes[0].tolist())
    assert found == RandomResizedCrop.get_params(torch.empty(1, 4, 400), [0.999, 1.0], [3 / 4, 4 / 3])


@pytest.mark.parametrize("kind", ["crop_flip", "random_resized_crop", "random_resized_crop_flip"])
def test_runs_together_equal_each_alone(kind: str) -> None:
    """Bit for bit, whatever the others draw: a run in a pack sees what it sees alone."""
    runs = some(9, 11, 3 * 7).view(3, 7, 3, 9, 11)
    together = augment(runs.flatten(0, 1), kind, *(stream(seed) for seed in range(3))).view(runs.shape)
    for seed, images in enumerate(runs):
        assert torch.equal(together[seed], augment(images, kind, stream(seed)))


def test_the_default_type_changes_nothing() -> None:
    """A user's float64 elsewhere neither draws other windows nor makes other images."""
    expected = augment(some(8, 8), "random_resized_crop", stream())
    images = some(8, 8)
    torch.set_default_dtype(torch.float64)
    try:
        found = augment(images, "random_resized_crop", stream())
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found, expected)


def test_vmap_over_runs_equals_a_loop() -> None:
    """It is a function of tensors alone."""
    runs = some(8, 8).view(4, 16, 3, 8, 8)
    drawn = [draw_windows(16, 8, 8, True, stream(seed)) for seed in range(4)]
    stacked = Windows(*(torch.stack(parts) for parts in zip(*drawn, strict=True)))
    expected = torch.stack([scale_windows(images, one) for images, one in zip(runs, drawn, strict=True)])
    assert torch.equal(torch.vmap(scale_windows)(runs, stacked), expected)
