"""Tests of the statistics that evaluation may read: running, the batch's own, pooled."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from normbench.errors import ImpossibleRunError
from normbench.norms.batch import BatchNorm
from normbench.norms.layer import LayerNorm
from normbench.norms.statistics import has_batch_statistics, own_batch, pool_moments, pooling

C = 3


def _data(*shape: int, seed: int = 0) -> Tensor:
    return 4 + 3 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _trained(norm: BatchNorm, seed: int = 0) -> BatchNorm:
    norm = norm.double()
    norm(_data(6, norm.num_features, seed=seed))
    return norm.eval()


def _copied(norm: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in norm.named_buffers()}


@pytest.mark.parametrize("size", [None, 2, 6])
def test_own_batch_normalises_as_training_and_touches_no_buffer(size: int | None) -> None:
    """Inside own_batch an evaluating norm gives the training output; buffers and the mode afterwards are as before."""
    norm, x = _trained(BatchNorm(C)), _data(6, C, seed=1)
    before, running = _copied(norm), norm(x)
    with own_batch(norm, size):
        y = norm(x)
    wanted = torch.cat([F.batch_norm(part, None, None, training=True) for part in torch.split(x, size or 6)])
    torch.testing.assert_close(y, wanted)
    assert _copied(norm).keys() == before.keys()
    assert all(torch.equal(after, before[name]) for name, after in norm.named_buffers())
    assert torch.equal(norm(x), running)


def test_own_batch_overrides_the_norm_batch_size_of_training() -> None:
    """The size given to own_batch holds, whatever the norm was trained with."""
    norm, x = _trained(BatchNorm(C, norm_batch_size=2)), _data(6, C)
    with own_batch(norm, None):
        torch.testing.assert_close(norm(x), F.batch_norm(x, None, None, training=True))


def test_own_batch_refuses_one_value_a_channel() -> None:
    """A chunk of one sample has no statistics in evaluation either."""
    norm = _trained(BatchNorm(C))
    with own_batch(norm, 1), pytest.raises(ImpossibleRunError, match="only one value per channel"):
        norm(_data(6, C))


@pytest.mark.parametrize("rest", [(), (2, 2)], ids=["features", "maps"])
@pytest.mark.parametrize("sizes", [(12,), (4, 4, 4), (2, 7, 3)], ids=["one", "even", "ragged"])
def test_pooled_statistics_are_those_of_all_values(rest: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    """Running mean and variance after pooling equal NumPy's mean and unbiased variance of all values at once."""
    norm, x = _trained(BatchNorm(C)), _data(12, C, *rest)
    assert norm.num_batches_tracked is not None
    with pooling(norm):
        for part in torch.split(x, list(sizes)):
            torch.testing.assert_close(norm(part), F.batch_norm(part, None, None, training=True))
    values = x.transpose(0, 1).reshape(C, -1).numpy()
    torch.testing.assert_close(norm.running_mean, torch.from_numpy(values.mean(axis=1)))
    torch.testing.assert_close(norm.running_var, torch.from_numpy(values.var(axis=1, ddof=1)))
    assert norm.num_batches_tracked.item() == 1


def test_pooling_keeps_the_variance_between_chunks() -> None:
    """Two chunks with no spread of their own but different means have a spread together."""
    norm = _trained(BatchNorm(1))
    with pooling(norm):
        for value in (0.0, 10.0):
            norm(torch.full((2, 1), value, dtype=torch.float64))
    torch.testing.assert_close(norm.running_var, torch.tensor([np.var([0, 0, 10, 10], ddof=1)]))


def test_pooling_does_not_cancel() -> None:
    """In float32, a mean a million times the deviation leaves the variance right: E[x^2] - E[x]^2 would not."""
    norm = BatchNorm(1).eval()
    x = torch.tensor([[8388608.0], [8388610.0], [8388609.0], [8388611.0]])
    with pooling(norm):
        for part in torch.split(x, 2):
            norm(part)
    assert norm.running_var is not None
    wanted = float(np.var([0.0, 2.0, 1.0, 3.0], ddof=1))
    assert norm.running_var.item() == pytest.approx(wanted, rel=1e-6)
    assert (x.square().mean() - x.mean().square()).item() != pytest.approx(wanted, rel=0.1)


def test_each_pooling_starts_from_nothing() -> None:
    """A second with-block forgets the first."""
    norm, x = _trained(BatchNorm(C)), _data(8, C)
    with pooling(norm):
        norm(x[:4])
    with pooling(norm):
        norm(x[4:])
    torch.testing.assert_close(norm.running_mean, x[4:].mean(0))


def test_pooling_reaches_every_norm_of_a_model() -> None:
    """Later norms pool what earlier ones, normalised by their own batch, hand them."""
    model = nn.Sequential(BatchNorm(C), nn.Linear(C, 2), BatchNorm(2), LayerNorm(2)).double().eval()
    parts = torch.split(_data(12, C), 4)
    with pooling(model), torch.no_grad():
        for part in parts:
            model(part)
    hidden = torch.cat([model[1](F.batch_norm(part, None, None, training=True)) for part in parts])
    torch.testing.assert_close(model[2].running_mean, hidden.mean(0).detach())
    torch.testing.assert_close(model[2].running_var, hidden.var(0).detach())


def test_contexts_nest_and_end_on_errors() -> None:
    """The inner context holds inside, the outer one afterwards, and an error ends both."""
    norm, x = _trained(BatchNorm(C)), _data(4, C)
    running = norm(x)
    with pytest.raises(RuntimeError, match="stop"), own_batch(norm, None):
        with own_batch(norm, 2):
            inner = norm(x)
        outer = norm(x)
        raise RuntimeError("stop")
    torch.testing.assert_close(outer, F.batch_norm(x, None, None, training=True))
    assert not torch.allclose(inner, outer)
    assert torch.equal(norm(x), running)


def test_untracked_norms_have_nothing_to_pool() -> None:
    """Without running statistics pooling normalises by the batch's own, as ever."""
    norm, x = BatchNorm(C, track_running_stats=False).double().eval(), _data(4, C)
    with pooling(norm):
        torch.testing.assert_close(norm(x), F.batch_norm(x, None, None, training=True))


@pytest.mark.parametrize("size", [None, 2], ids=["whole", "ghost"])
def test_own_batch_under_vmap_equals_a_loop(size: int | None) -> None:
    """Stacked runs read their own batches, each its own, and their stacked buffers stay."""
    norms = [_trained(BatchNorm(C), seed=seed) for seed in range(2)]
    parameters, buffers = stack_module_state(norms)
    before = {name: buffer.clone() for name, buffer in buffers.items()}
    x = _data(2, 6, C)
    with own_batch(norms[0], size), own_batch(norms[1], size):
        stacked = torch.func.vmap(lambda p, b, x: functional_call(norms[0], (p, b), (x,)))(parameters, buffers, x)
        alone = torch.stack([norm(part) for norm, part in zip(norms, x, strict=True)])
    torch.testing.assert_close(stacked, alone)
    assert all(torch.equal(buffer, before[name]) for name, buffer in buffers.items())


def test_pooling_under_vmap_equals_a_loop() -> None:
    """Stacked runs pool into their stacked buffers what each would pool alone."""
    norms = [_trained(BatchNorm(C), seed=seed) for seed in range(2)]
    parameters, buffers = stack_module_state(norms)
    x = _data(2, 9, C)
    bounds = [0, 4, 9]
    with pooling(norms[0]):
        for low, high in pairwise(bounds):
            torch.func.vmap(lambda p, b, x: functional_call(norms[0], (p, b), (x,)))(
                parameters, buffers, x[:, low:high]
            )
    torch.testing.assert_close(buffers["running_mean"], x.mean(1))
    torch.testing.assert_close(buffers["running_var"], x.var(1))


def test_moments_join_in_any_order() -> None:
    """Joining a to b gives what joining b to a gives."""
    a, b = _data(5, C), _data(3, C, seed=1)
    results = []
    for first, second in ((a, b), (b, a)):
        mean, var = first.mean(0), first.var(0)
        pool_moments(mean, var, len(first), second.mean(0), second.var(0), count=len(second))
        results.append((mean, var))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize(("norm", "has"), [(BatchNorm(C), True), (LayerNorm(C), False)], ids=["batch", "layer"])
def test_knows_models_with_batch_statistics(norm: nn.Module, has: bool) -> None:
    """A model has batch statistics if any norm inside has."""
    assert has_batch_statistics(nn.Sequential(nn.Linear(1, C), norm)) is has
