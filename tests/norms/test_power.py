"""Tests of power norm against the paper's algorithm, written out in numpy."""

import copy
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from normbench.norms.power import PowerNorm
from normbench.norms.statistics import own_batch, pooling

C = 3
EPS = 1e-5
Values = NDArray[np.float64]


@dataclass
class Algorithm2:
    """Power normalization of Shen et al. (2020), a channel and a value at a time, in the paper's names.

    `alpha` weights the old statistics. Up to `plain_steps` it is the paper's PN-V.
    """

    alpha: float
    plain_steps: int
    gamma: Values
    beta: Values
    psi_squared: Values = field(default_factory=lambda: np.ones(C))
    nu: Values = field(default_factory=lambda: np.zeros(C))
    steps: int = 0

    def forward(self, x: Values) -> Values:
        """Return y for x (B, C, P), of P positions, and update psi."""
        psi_b_squared = np.array([sum(v * v for v in x[:, c].flat) / x[:, c].size for c in range(C)])
        self.plain = self.steps < self.plain_steps
        self.psi = np.sqrt((psi_b_squared if self.plain else self.psi_squared) + EPS)
        self.x_hat = np.stack([x[:, c] / self.psi[c] for c in range(C)], axis=1)
        self.psi_squared = self.alpha * self.psi_squared + (1 - self.alpha) * psi_b_squared
        self.steps += 1
        return np.stack([self.gamma[c] * self.x_hat[:, c] + self.beta[c] for c in range(C)], axis=1)

    def backward(self, dy: Values) -> tuple[Values, Values, Values]:
        """Return the gradients by x, gamma and beta, and update nu."""
        dx, dgamma, dbeta = np.empty_like(dy), np.empty(C), np.empty(C)
        for c in range(C):
            x_hat, grad = self.x_hat[:, c], self.gamma[c] * dy[:, c]
            big_gamma = sum(v * v for v in x_hat.flat) / x_hat.size
            big_lambda = sum(g * v for g, v in zip(grad.flat, x_hat.flat, strict=True)) / x_hat.size
            dx[:, c] = (grad - (big_lambda if self.plain else self.nu[c]) * x_hat) / self.psi[c]
            dgamma[c], dbeta[c] = (dy[:, c] * x_hat).sum(), dy[:, c].sum()
            self.nu[c] = self.nu[c] * (1 - (1 - self.alpha) * big_gamma) + (1 - self.alpha) * big_lambda
        return dx, dgamma, dbeta


def _data(*shape: int, seed: int = 0) -> Tensor:
    return 1 + torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _norm(**args: float | None) -> PowerNorm:
    norm = PowerNorm(C, **args).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter, seed in ((norm.weight, 1), (norm.bias, 2)):
            assert parameter is not None
            parameter.copy_(_data(C, seed=seed))
    return norm


def _step(norm: PowerNorm, x: Tensor, dy: Tensor) -> list[Tensor]:
    """Return the output and the gradients by the input, gamma and beta."""
    x = x.clone().requires_grad_()
    y = norm(x)
    return [y.detach(), *torch.autograd.grad(y, [x, *norm.parameters()], dy)]


def _algorithm(norm: PowerNorm, *, alpha: float = 0.9, plain_steps: int) -> Algorithm2:
    assert norm.weight is not None and norm.bias is not None
    return Algorithm2(alpha, plain_steps, norm.weight.detach().numpy(), norm.bias.detach().numpy())


def _close(ours: Tensor, wanted: Values) -> None:
    torch.testing.assert_close(ours.detach(), torch.from_numpy(wanted), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(8, C), (4, C, 5), (2, C, 3, 2), (4, C, 1, 1)], ids=str)
@pytest.mark.parametrize("plain_steps", [0, 3, 100])
def test_equals_algorithm_2(plain_steps: int, shape: tuple[int, ...]) -> None:
    """Outputs, gradients and both running statistics over eight steps, and the output in evaluation."""
    norm = _norm(plain_steps=plain_steps)
    algorithm = _algorithm(norm, plain_steps=plain_steps)
    for step in range(8):
        x, dy = _data(*shape, seed=10 + step), _data(*shape, seed=20 + step)
        flat = shape[0], C, -1
        wanted = algorithm.forward(x.reshape(flat).numpy()), *algorithm.backward(dy.reshape(flat).numpy())
        y, dx, dgamma, dbeta = _step(norm, x, dy)
        for ours, theirs in zip((y.reshape(flat), dx.reshape(flat), dgamma, dbeta), wanted, strict=True):
            _close(ours, theirs)
        _close(norm.running_square, algorithm.psi_squared)
        _close(norm.running_gradient, algorithm.nu)
    x = _data(*shape)
    psi = np.sqrt(algorithm.psi_squared + EPS).reshape(1, C, 1)
    expected = x.reshape(flat).numpy() / psi * algorithm.gamma.reshape(1, C, 1) + algorithm.beta.reshape(1, C, 1)
    _close(norm.eval()(x).reshape(flat), expected)


@pytest.mark.parametrize("momentum", [0.3, None], ids=str)
def test_chunks_move_the_statistics_one_after_the_other(momentum: float | None) -> None:
    """All chunks of a step are divided and corrected by the statistics from before it, which take a step per chunk."""
    norm, apart = (_norm(plain_steps=1, momentum=momentum, norm_batch_size=size) for size in (2, None))
    nu, psi_squared, chunks = np.zeros(C), np.ones(C), 0
    for step in range(4):
        x, dy = _data(6, C, seed=10 + step), _data(6, C, seed=20 + step)
        y, dx, *_ = _step(norm, x, dy)
        parts = []
        before = nu, psi_squared
        for own, grad in zip(torch.split(x, 2), torch.split(dy, 2), strict=True):
            chunks += 1
            one = _algorithm(apart, alpha=1 - (momentum or 1 / chunks), plain_steps=step == 0)
            one.psi_squared, one.nu = before[1].copy(), before[0].copy()
            parts.append((one.forward(own.numpy()[:, :, None]), one.backward(grad.numpy()[:, :, None])[0]))
            # From the statistics before the step to those after the chunk: what the chunk adds is the same.
            keep = 1 - (1 - one.alpha) * (one.x_hat**2).mean((0, 2))
            nu = nu * keep + one.nu - before[0] * keep
            psi_squared = one.alpha * psi_squared + one.psi_squared - one.alpha * before[1]
        _close(y, np.concatenate([part[0] for part in parts])[:, :, 0])
        _close(dx, np.concatenate([part[1] for part in parts])[:, :, 0])
        _close(norm.running_gradient, nu)
        _close(norm.running_square, psi_squared)


@pytest.mark.parametrize("args", [{}, {"norm_batch_size": 2}], ids=["whole", "ghost"])
def test_the_gradient_is_exact_in_the_plain_steps(args: dict[str, int]) -> None:
    """It passes gradcheck, from one state each time."""
    norm = _norm(**args)
    assert torch.autograd.gradcheck(lambda x: copy.deepcopy(norm)(x), _data(4, C, 2).requires_grad_())


def test_the_gradient_is_an_approximation_after_the_plain_steps() -> None:
    """The running nu takes the place of the part that runs through the batch's statistics, which the output lacks."""
    norm, x, dy = _norm(plain_steps=0), _data(6, C), _data(6, C, seed=1)
    norm.running_gradient.fill_(0.5)
    _, dx, *_ = _step(copy.deepcopy(norm), x, dy)
    norm.running_gradient.zero_()
    _, exact, *_ = _step(norm, x, dy)
    # The first step divides by 1.
    torch.testing.assert_close(exact - dx, 0.5 * x / (1 + EPS))


def test_a_norm_called_twice_in_a_step_has_the_gradients_of_two_steps() -> None:
    """As in a recurrent model: the second call is corrected by the nu from before the backward pass too."""
    norm, x = _norm(plain_steps=0), _data(6, C).requires_grad_()
    norm.running_gradient.fill_(0.5)
    once = copy.deepcopy(norm)
    (dx,) = torch.autograd.grad(norm(x).sum() + norm(2 * x).sum(), x)
    (first,) = torch.autograd.grad(once(x).sum(), x)
    once.running_gradient.fill_(0.5)
    (second,) = torch.autograd.grad(once(2 * x).sum(), x)
    torch.testing.assert_close(dx, first + second)


def test_own_statistics_are_those_of_the_plain_steps() -> None:
    """Each batch is divided by its own quadratic mean, with the exact gradient."""
    norm, x = _norm(), _data(6, C)
    with own_batch(norm, None):
        again = norm(x)
    torch.testing.assert_close(norm(x), again)


def test_pooled_statistics_are_the_quadratic_mean_of_all_values() -> None:
    """Not the average of the batches'."""
    norm, x = PowerNorm(C).double().eval(), _data(9, C, 2)
    with pooling(norm):
        for part in torch.split(x, [4, 5]):
            norm(part)
    torch.testing.assert_close(norm.running_square, x.square().mean((0, 2)))
