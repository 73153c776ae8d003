import numpy as np
import torch

from normbench.data.exact import draw_below, draw_stratified, enlarge, shuffled


def test_draws_are_uniform_and_stay_below() -> None:
    """Each value has its share, also where every place has a limit of its own."""
    drawn = draw_below(np.random.PCG64(0), np.array([[3], [5]]), 2, 30_000)
    for row, high in zip(drawn, (3, 5), strict=True):
        counts = np.bincount(row, minlength=high)
        assert len(counts) == high
        assert (abs(counts - 30_000 / high) < 5 * (30_000 / high) ** 0.5).all()


def test_draws_are_the_same_on_every_machine() -> None:
    """They are the remainders of PCG64's raw bits."""
    bits = np.random.PCG64(3)
    assert draw_below(np.random.PCG64(3), 10, 4).tolist() == [int(bits.random_raw()) % 10 for _ in range(4)]


def test_shuffled_is_a_permutation() -> None:
    """Each integer once, in an order of the generator's."""
    order = shuffled(np.random.PCG64(0), 100)
    assert sorted(order.tolist()) == list(range(100))
    assert order.tolist() != sorted(order.tolist())


def test_enlarge_is_bilinear() -> None:
    """As torch does it with aligned corners, rounded down."""
    grids = np.random.default_rng(0).integers(0, 256, (5, 8, 8))
    images = torch.from_numpy(grids).double().unsqueeze(1)
    for size in (8, 13, 20):
        expected = torch.nn.functional.interpolate(images, (size, size), mode="bilinear", align_corners=True)
        found = torch.from_numpy(enlarge(grids, size))
        assert ((expected[:, 0] - found) > -1e-9).all() and ((expected[:, 0] - found) < 1).all()


def test_a_stratified_draw_is_exact() -> None:
    """As many rows as asked for, of each class its share rounded up or down, each row with the same chance."""
    classes = np.array([0] * 10 + [1] * 5 + [2] * 1 + [3] * 4)
    rows = np.arange(1, 20)
    counts = np.zeros(20)
    for seed in range(500):
        drawn = draw_stratified(np.random.PCG64(seed), classes, rows, 7)
        assert len(set(drawn.tolist())) == 7
        assert (np.diff(drawn) > 0).all()
        share = np.bincount(classes[rows]) * 7 / 19
        assert (abs(np.bincount(classes[drawn], minlength=4) - share) < 1).all()
        counts[drawn] += 1
    assert counts[0] == 0
    assert (abs(counts[1:10] - counts[1:10].mean()) < 60).all()
    assert draw_stratified(np.random.PCG64(0), classes, rows, 0).tolist() == []
    assert draw_stratified(np.random.PCG64(0), classes, rows, 19).tolist() == rows.tolist()
