"""Tests of batch norm beyond torch's own: ghost batches, and what is impossible."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.norms.batch import BatchNorm

C = 3
SHAPES = pytest.mark.parametrize("shape", [(6, C), (6, C, 2, 2), (6, C, 1, 1)], ids=["features", "maps", "1x1"])


def _inputs(shape: tuple[int, ...], steps: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [5 + 2 * torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(steps)]


def _norm(norm_batch_size: int | None, momentum: float | None = 0.1) -> BatchNorm:
    norm = BatchNorm(C, norm_batch_size=norm_batch_size, momentum=momentum).double()
    assert norm.weight is not None and norm.bias is not None
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2.0, 0.5]))
        norm.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
    return norm


@SHAPES
@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.9, 1.0])
@pytest.mark.parametrize("size", [2, 3, 6])
def test_ghost_batches_equal_a_loop_over_chunks(shape: tuple[int, ...], momentum: float, size: int) -> None:
    """Output, gradient and running statistics equal F.batch_norm on consecutive chunks, in order, over four steps."""
    norm = _norm(size, momentum)
    mean, var = torch.zeros(C, dtype=torch.float64), torch.ones(C, dtype=torch.float64)
    for x in _inputs(shape):
        ours, reference = x.clone().requires_grad_(), x.clone().requires_grad_()
        y = norm(ours)
        wanted = torch.cat(
            [
                F.batch_norm(chunk, mean, var, norm.weight, norm.bias, True, momentum, norm.eps)
                for chunk in torch.split(reference, size)
            ]
        )
        torch.testing.assert_close(y, wanted)
        parameters = list(norm.parameters())
        torch.testing.assert_close(
            torch.autograd.grad(y.pow(3).sum(), [ours, *parameters]),
            torch.autograd.grad(wanted.pow(3).sum(), [reference, *parameters]),
        )
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, var)


@pytest.mark.parametrize("size", [2, 6])
def test_cumulative_ghost_statistics_average_all_chunks(size: int) -> None:
    """With momentum None the running statistics are the plain average over every chunk of every step."""
    norm = _norm(size, momentum=None)
    steps = _inputs((6, C))
    for x in steps:
        norm(x)
    chunks = [chunk for x in steps for chunk in torch.split(x, size)]
    wanted = [torch.stack(values).mean(0) for values in ([c.mean(0) for c in chunks], [c.var(0) for c in chunks])]
    torch.testing.assert_close([norm.running_mean, norm.running_var], wanted, rtol=1e-12, atol=1e-12)
    assert norm.num_batches_tracked is not None
    assert norm.num_batches_tracked.item() == len(chunks)


@SHAPES
def test_one_chunk_is_bitwise_the_plain_path(shape: tuple[int, ...]) -> None:
    """norm_batch_size equal to the batch gives the very bits of norm_batch_size None."""
    whole, plain = _norm(6), _norm(None)
    for x in _inputs(shape):
        assert torch.equal(whole(x), plain(x))
    assert whole.running_mean is not None and whole.running_var is not None
    assert plain.running_mean is not None and plain.running_var is not None
    assert torch.equal(whole.running_mean, plain.running_mean)
    assert torch.equal(whole.running_var, plain.running_var)


def test_running_variance_is_unbiased_and_normalising_variance_biased() -> None:
    """Torch's convention, the opposite of Keras's and Flax's: the newest statistics weigh `momentum`."""
    norm = BatchNorm(1, momentum=0.25, eps=1e-12).double()
    y = norm(torch.tensor([[0.0], [2.0]], dtype=torch.float64))
    torch.testing.assert_close(y.detach(), torch.tensor([[-1.0], [1.0]], dtype=torch.float64))
    torch.testing.assert_close(norm.running_mean, torch.tensor([0.25], dtype=torch.float64))
    torch.testing.assert_close(norm.running_var, torch.tensor([0.75 * 1 + 0.25 * 2], dtype=torch.float64))


def test_ghost_chunks_are_consecutive_samples() -> None:
    """Samples 0 and 1 share statistics, not 0 and 2: a view would interleave them."""
    x = torch.tensor([[0.0], [2.0], [100.0], [106.0]], dtype=torch.float64)
    y = BatchNorm(1, eps=1e-12, norm_batch_size=2).double()(x)
    torch.testing.assert_close(y.detach().flatten(), torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=torch.float64))


def test_half_precision_input_keeps_float32_statistics() -> None:
    """Ghost batches of bfloat16 activations update float32 running statistics, as the plain path does."""
    norm = BatchNorm(C, norm_batch_size=2)
    y = norm(torch.randn(6, C, 2, 2).bfloat16())
    assert y.dtype == torch.bfloat16
    assert norm.running_mean is not None
    assert norm.running_mean.dtype == torch.float32


def test_evaluation_ignores_norm_batch_size() -> None:
    """A ragged batch is no obstacle in evaluation, with running statistics or without."""
    x = _inputs((5, C))[0]
    assert _norm(2).eval()(x).shape == x.shape
    untracked = BatchNorm(C, norm_batch_size=2, track_running_stats=False).double().eval()
    torch.testing.assert_close(untracked(x), F.batch_norm(x, None, None, training=True))


@pytest.mark.parametrize(
    ("size", "shape"),
    [(None, (1, C)), (None, (1, C, 1, 1)), (1, (4, C)), (1, (4, C, 1, 1))],
    ids=["one-sample", "one-sample-1x1", "ghost-of-one", "ghost-of-one-1x1"],
)
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_one_value_a_channel_is_impossible(
    size: int | None, shape: tuple[int, ...], momentum: float | None, device: str
) -> None:
    """Training on a single value a channel raises, on real data as in a dry run, and leaves the buffers alone."""
    norm = BatchNorm(C, norm_batch_size=size, momentum=momentum).to(device)
    with pytest.raises(ImpossibleRunError, match="only one value per channel"):
        norm(torch.zeros(shape, device=device))
    if device == "cpu":
        assert norm.num_batches_tracked is not None
        assert norm.num_batches_tracked.item() == 0


def test_one_sample_of_maps_is_possible() -> None:
    """A batch of one is enough where a map has several positions."""
    assert BatchNorm(C)(torch.zeros(1, C, 2, 2)).shape == (1, C, 2, 2)


@pytest.mark.parametrize("size", [4, 12], ids=["ragged", "larger-than-the-batch"])
def test_chunks_must_fill_the_batch(size: int) -> None:
    """A norm_batch_size that does not divide the batch raises and names both."""
    with pytest.raises(ImpossibleRunError, match=f"norm_batch_size={size} does not divide a batch of 6"):
        _norm(size)(torch.zeros(6, C, dtype=torch.float64))


def test_eps_must_be_positive() -> None:
    """An eps of 0, which torch refuses in training, is refused when the norm is built."""
    with pytest.raises(ConfigError, match="eps: got 0"):
        BatchNorm(C, eps=0)


def test_norm_batch_size_must_be_positive() -> None:
    """A norm_batch_size of 0 is refused when the norm is built."""
    with pytest.raises(ConfigError, match="norm_batch_size: got 0"):
        BatchNorm(C, norm_batch_size=0)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("size", [None, 2])
def test_compiles_into_one_graph(size: int | None, momentum: float | None) -> None:
    """Dynamo takes the norm whole: no graph break, same result."""
    torch._dynamo.reset()
    x = _inputs((6, C))[0]
    compiled, eager = _norm(size, momentum), _norm(size, momentum)
    torch.testing.assert_close(torch.compile(compiled, backend="aot_eager", fullgraph=True)(x), eager(x))
    torch.testing.assert_close(compiled.running_var, eager.running_var)
