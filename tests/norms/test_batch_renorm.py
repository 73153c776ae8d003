"""Tests of batch renorm's bounds and of what its correction is for."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from normbench.errors import ConfigError
from normbench.norms.batch_renorm import BatchRenorm

C = 3


def _data(*shape: int, seed: int = 0) -> Tensor:
    return 4 + 3 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _bounds(norm: BatchRenorm, step: int, chunks: int = 1) -> tuple[float, float]:
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.fill_(step * chunks)
    rmax, dmax = norm.bounds(chunks, like=torch.zeros((), dtype=torch.float64))
    return rmax.item(), dmax.item()


@pytest.mark.parametrize("chunks", [1, 4], ids=["whole", "ghost"])
@pytest.mark.parametrize(
    ("step", "rmax", "dmax"),
    [(0, 1, 0), (50, 1, 0), (51, 1 + 2 / 350, 5 / 200), (225, 2, 4.375), (250, 1 + 2 * 200 / 350, 5), (9999, 3, 5)],
)
def test_bounds_widen_with_the_step(step: int, rmax: float, dmax: float, chunks: int) -> None:
    """They are 1 and 0 for plain batch norm and grow linearly to 3 and 5, by steps however many chunks a step has."""
    assert _bounds(BatchRenorm(C), step, chunks) == pytest.approx((rmax, dmax))


def test_bounds_may_be_there_from_the_start() -> None:
    """With no steps to grow over they are complete at step 0."""
    assert _bounds(BatchRenorm(C, plain_steps=0, dmax_steps=0, rmax_steps=0), 0) == (3, 5)


def test_bounds_cannot_be_complete_before_they_begin_to_grow() -> None:
    """The error names the keys."""
    with pytest.raises(ConfigError, match=r"norm.plain_steps: got 300"):
        BatchRenorm(C, plain_steps=300)


def test_starts_as_batch_norm() -> None:
    """In the plain steps the output is that of batch norm."""
    x = _data(6, C)
    torch.testing.assert_close(BatchRenorm(C).double()(x), F.batch_norm(x, None, None, training=True))


def test_within_the_bounds_training_computes_what_evaluation_does() -> None:
    """Without clipping the corrected output is that by the running statistics from before the step."""
    norm = BatchRenorm(C, rmax=1e6, dmax=1e6, plain_steps=0, dmax_steps=0, rmax_steps=0).double()
    norm(_data(6, C))
    x = _data(6, C, seed=1)
    wanted = norm.eval()(x)
    torch.testing.assert_close(norm.train()(x), wanted)


def test_the_running_deviation_is_an_average_of_deviations() -> None:
    """Ioffe averages sigma, batch norm variances: from 1 and 3, by halves, comes 2 and not the root of 5."""
    norm = BatchRenorm(1, momentum=0.5, eps=1e-12).double()
    norm(torch.tensor([[-3.0], [3.0]], dtype=torch.float64))
    assert norm.running_var is not None
    assert norm.running_var.item() == pytest.approx(4)


def test_chunks_of_a_step_are_corrected_by_the_same_statistics() -> None:
    """Equal chunks come out equal: the first does not move what the second is corrected towards."""
    norm = BatchRenorm(C, norm_batch_size=3, momentum=0.5, plain_steps=0, dmax_steps=0, rmax_steps=0).double()
    half = _data(3, C)
    first, second = norm(torch.cat([half, half])).chunk(2)
    torch.testing.assert_close(first, second)


class Keras:
    """The training rules of Keras's ``BatchNormalization(renorm=True)``, in its names and its meaning of momentum.

    As in ``_renorm_correction_and_moments`` and ``variance_update`` of tf.keras: corrections by the renorm statistics
    from before the step, moving averages that keep `momentum` of the old value, and a moving variance that is made of
    the moving deviation.
    """

    def __init__(self, *, momentum: float, epsilon: float) -> None:
        self.momentum, self.epsilon = momentum, epsilon
        self.renorm_mean = self.moving_mean = torch.zeros(C, dtype=torch.float64)
        self.renorm_stddev = self.moving_stddev = torch.ones(C, dtype=torch.float64)
        self.moving_variance = torch.ones(C, dtype=torch.float64)

    def __call__(self, x: Tensor, *, rmax: float, dmax: float) -> Tensor:
        mean, variance = x.mean(0), x.var(0, correction=0)
        stddev = torch.sqrt(variance + self.epsilon)
        r = (stddev / self.renorm_stddev).detach().clamp(1 / rmax, rmax)
        d = ((mean - self.renorm_mean) / self.renorm_stddev).detach().clamp(-dmax, dmax)
        self.renorm_mean = self.moving_average(self.renorm_mean, mean)
        self.renorm_stddev = self.moving_average(self.renorm_stddev, stddev)
        self.moving_mean = self.moving_average(self.moving_mean, mean)
        self.moving_stddev = self.moving_average(self.moving_stddev, stddev)
        self.moving_variance = torch.relu(self.moving_stddev * self.moving_stddev - self.epsilon)
        return (x - mean) / stddev * r + d

    def moving_average(self, variable: Tensor, value: Tensor) -> Tensor:
        return variable - (variable - value.detach()) * (1 - self.momentum)

    def evaluate(self, x: Tensor) -> Tensor:
        return (x - self.moving_mean) / torch.sqrt(self.moving_variance + self.epsilon)


def test_equals_keras() -> None:
    """Outputs, gradients and statistics are those of Keras's rules as the bounds widen, with the other momentum."""
    norm = BatchRenorm(C, momentum=0.1, plain_steps=1, dmax_steps=4, rmax_steps=6).double()
    keras = Keras(momentum=0.9, epsilon=norm.eps)
    assert norm.running_var is not None
    # Keras starts from a deviation of 1, ours from a variance of 1.
    norm.running_var.fill_(1 - norm.eps)
    for step in range(8):
        rmax, dmax = _bounds(norm, step)
        ours, theirs = (_data(6, C, seed=step).requires_grad_() for _ in range(2))
        y, wanted = norm(ours), keras(theirs, rmax=rmax, dmax=dmax)
        torch.testing.assert_close(y, wanted)
        torch.testing.assert_close(
            torch.autograd.grad(y.pow(3).sum(), ours), torch.autograd.grad(wanted.pow(3).sum(), theirs)
        )
        torch.testing.assert_close(norm.running_mean, keras.moving_mean)
        torch.testing.assert_close(norm.running_var, keras.moving_variance)
    x = _data(6, C, seed=9)
    torch.testing.assert_close(norm.eval()(x), keras.evaluate(x))


def test_a_channel_that_never_varies_keeps_a_variance_of_at_least_zero() -> None:
    """The running variance comes from a deviation, and rounding must not push it below zero."""
    norm = BatchRenorm(1, momentum=1.0, eps=3e-5)  # whose root, squared, is a little less
    for _ in range(3):
        norm(torch.ones(4, 1))
        assert norm.running_var is not None
        assert norm.running_var.item() >= 0
