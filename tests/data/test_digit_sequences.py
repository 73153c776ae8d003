"""Scikit-learn's digits as sequences."""

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Command
from sklearn.datasets import load_digits

from normbench.data.digit_sequences import digit_pixels, digit_rows
from normbench.data.fields import Fields
from normbench.errors import DataError

IMAGES = load_digits().images
SCALED = (IMAGES - IMAGES.mean()) / IMAGES.std()


def steps(data: Fields) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = data.fields["sequence"].numpy()
    assert values.dtype == np.float32
    return values


def test_rows_from_top_to_bottom() -> None:
    """A step is a row of the picture; all numbers have one mean and one deviation."""
    data = digit_rows("full")
    np.testing.assert_allclose(steps(data), SCALED, rtol=1e-6)
    assert data.fields["labels"].tolist() == load_digits().target.tolist()
    assert set(data.fields) == {"sequence", "labels"}
    assert (data.num_classes, data.num_test, data.label) == (10, 0, "labels")


def test_rows_of_varied_length() -> None:
    """3 to 8, each as often as others; what is behind is zeros; the same each time."""
    data = digit_rows("varied")
    lengths = data.fields["lengths"].numpy()
    shown = np.arange(8) < lengths[:, None]
    np.testing.assert_allclose(steps(data), SCALED * shown[..., None], rtol=1e-6)
    counts = np.bincount(lengths)
    assert counts[:3].tolist() == [0, 0, 0]
    assert (abs(counts[3:] - 1797 / 6) < 60).all()
    assert lengths[:8].tolist() == [8, 4, 5, 8, 6, 7, 6, 4]
    assert digit_rows("varied").content == data.content != digit_rows("full").content


def test_pixels_one_after_another() -> None:
    """Or several at a time."""
    flat = SCALED.reshape(-1, 64)
    np.testing.assert_allclose(steps(digit_pixels(1, False, False)), flat[..., None], rtol=1e-6)
    np.testing.assert_allclose(steps(digit_pixels(4, False, False)), flat.reshape(-1, 16, 4), rtol=1e-6)


def test_permuted_pixels() -> None:
    """One order for all samples."""
    shuffled = steps(digit_pixels(1, True, False))[..., 0]
    plain = steps(digit_pixels(1, False, False))[..., 0]
    places = [np.flatnonzero((plain == column[:, None]).all(axis=0)) for column in shuffled.T]
    found = np.concatenate([place[:1] for place in places])
    # Three pixels are always 0, which makes them equal.
    assert len(set(found.tolist())) == 62
    assert (found != np.arange(64)).any()


def test_pixels_that_are_almost_constant_are_left_out() -> None:
    """No step is left in which nine of ten samples are alike; the others have their own mean and deviation."""
    values = steps(digit_pixels(1, False, True))[..., 0]
    most = [np.unique(column, return_counts=True)[1].max() for column in IMAGES.reshape(-1, 64).T]
    kept = IMAGES.reshape(-1, 64)[:, np.array(most) < 0.9 * 1797]
    assert values.shape == (1797, 48)
    np.testing.assert_allclose(values, (kept - kept.mean()) / kept.std(), rtol=1e-6)


def test_pixels_of_a_step_divide_their_number() -> None:
    """48 are left of 64."""
    assert digit_pixels(64, False, False).input_shape == (1, 64)
    with pytest.raises(DataError, match=r"data\.per_step: got 5, expected a number that divides the 48 pixels"):
        digit_pixels(5, False, True)


def test_unknown_lengths_are_refused() -> None:
    """The nearest is named."""
    with pytest.raises(DataError, match=r"data\.lengths: unknown value 'vary'; did you mean 'varied'"):
        digit_rows("vary")


def test_a_run_needs_no_keys_of_images(tmp_path: Path, normbench: Command) -> None:
    """There is nothing to crop, and labels without noise are the default."""
    (tmp_path / "rows_task.py").write_text(
        "from normbench.tasks.classification import Classification\n"
        "class Rows(Classification):\n    inputs = ('sequence',)\n"
    )
    rows = ("task._target_=rows_task.Rows", "task.name=rows", "data=digit_rows", "data.limit=200", "epochs=1")
    assert normbench("train", *rows).code == 0
    assert "unknown key 'data.augment'" in normbench("train", *rows, "data.augment=flip").err


def test_a_run_divides_them_by_its_seed() -> None:
    """They have no parts of their own."""
    data = digit_rows("full")
    assert data.strata is data.fields["labels"]
    assert not (data.num_val or data.num_test)
    assert torch.isfinite(data.fields["sequence"]).all()
