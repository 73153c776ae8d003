from typing import Any

import pytest
import torch

from normbench.config.rules import RULES
from normbench.data import Dataset, load, shift
from normbench.errors import DataError

ROWS = torch.tensor([41, 49, 40, 41])


def make(test_shift: str = "none", num_test: int = 10) -> Dataset:
    images = torch.randint(0, 256, (50, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Dataset("made", images, torch.arange(50) % 2, num_test, ("even", "odd"), "0" * 64, test_shift)


def test_the_config_knows_every_kind() -> None:
    """What may be asked for is what there is."""
    assert RULES["data.test_shift"].choices == shift.SHIFTS


@pytest.mark.parametrize("kind", shift.SHIFTS)
def test_what_is_no_test_keeps_its_images(kind: str) -> None:
    """Batches for training and validation, and how they are standardised, do not change."""
    assert torch.equal(make(kind).batch(torch.arange(50)), make().batch(torch.arange(50)))


def test_no_shift_is_the_plain_batch() -> None:
    """The test images are then the images."""
    made = make()
    assert torch.equal(made.test_batch(ROWS), made.batch(ROWS))


def test_less_contrast_draws_images_to_the_mean_of_the_set() -> None:
    """In the unit of the pixels: mean + 0.2 (pixel - mean), in every channel."""
    made = make("contrast")
    mean, std = made.mean.view(3, 1, 1), made.std.view(3, 1, 1)
    faded = mean + 0.2 * (made.images[ROWS] - mean)
    torch.testing.assert_close(made.test_batch(ROWS), (faded - mean) / std, atol=1e-6, rtol=1e-5)


def test_noise_is_standard_normal_but_for_its_size() -> None:
    """Over 120,000 values the moments are those of a normal distribution of deviation 0.8."""
    values = shift.noise(torch.arange(2000), (3, 4, 5)) / 0.8
    assert values.mean().item() == pytest.approx(0, abs=0.01)
    assert values.std().item() == pytest.approx(1, abs=0.01)
    assert values.pow(4).mean().item() == pytest.approx(3, abs=0.1)


def test_the_noise_of_an_image_is_its_own() -> None:
    """The same in any company, place and shape of a batch, and no other image's."""
    noise = shift.noise(torch.arange(50), (3, 4, 5))
    assert torch.equal(shift.noise(ROWS, (3, 4, 5)), noise[ROWS])
    assert len(set(noise[:, 0, 0, 0].tolist())) == 50
    made = make("noise")
    expected = made.batch(ROWS) + noise[ROWS]
    assert torch.equal(made.test_batch(ROWS), expected)
    assert torch.equal(made.test_batch(ROWS.view(2, 2)), expected.view(2, 2, 3, 4, 5))


def test_the_noise_is_the_same_on_every_machine() -> None:
    """Another stream would be other test images under the same run_id."""
    expected = torch.tensor([-0.4232655, -1.5589241, -0.9675952, 0.2610439])
    torch.testing.assert_close(shift.noise(torch.tensor([3]), (1, 2, 2)).flatten(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("num_test", [0, 10], ids=["drawn test part", "own test part"])
def test_large_sets_have_the_same_noise(num_test: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise that is too much to be kept is drawn batch by batch, bit for bit the same."""
    small = make("noise", num_test).test_batch(ROWS)
    monkeypatch.setattr("normbench.data.images.CACHED_BYTES", 0)
    large = make("noise", num_test)
    assert torch.equal(large.test_batch(ROWS), small)
    assert large._test_noise is None


def test_a_moved_set_keeps_its_shift() -> None:
    """Elsewhere the test images are the same."""
    made = make("noise")
    assert torch.equal(made.to("cpu:0").test_batch(ROWS), made.test_batch(ROWS))


def drawn(length: int) -> Dataset:
    images = torch.arange(length * 4, dtype=torch.float32).view(length, 1, 2, 2)
    return Dataset("drawn", images, torch.arange(length) % 2, 0, ("even", "odd"), "0" * 64)


@pytest.mark.parametrize(("name", "args", "loader"), [("digits", {}, None), ("mine", {"length": 8}, drawn)])
def test_any_set_can_be_loaded_with_a_shift(name: str, args: dict[str, Any], loader: Any) -> None:
    """It is the same data by its hash and shares its images; equal arguments load once."""
    plain = load(name, args, loader)
    found = {kind: load(name, {**args, "test_shift": kind}, loader) for kind in shift.SHIFTS}
    assert found["none"] is plain
    assert {kind: made.test_shift for kind, made in found.items()} == {kind: kind for kind in shift.SHIFTS}
    assert isinstance(plain, Dataset)
    assert all(
        isinstance(made, Dataset) and made.images is plain.images and made.content == plain.content
        for made in found.values()
    )
    assert load(name, {"test_shift": "noise", **args}, loader) is found["noise"]


def test_an_unknown_kind_is_refused() -> None:
    """A misspelt kind is answered with the nearest one."""
    with pytest.raises(DataError, match=r"unknown data\.test_shift 'nois'; did you mean 'noise'\?"):
        make("nois")
