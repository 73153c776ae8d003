"""Tests of the noise after batch norm."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from normbench.norms.batch_noisy import BatchNoisy

C = 400


def _seeded(seed: int) -> BatchNoisy:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BatchNoisy(C).double()


def _noise(norm: BatchNoisy, step: int, samples: int = 300) -> tuple[Tensor, Tensor]:
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.fill_(step)
    return norm.noise(samples, torch.float64)


def test_without_noise_it_is_batch_norm() -> None:
    """Widths of zero leave the output, and noise of any width the statistics."""
    x = torch.randn(6, C, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    quiet = BatchNoisy(C, shift=0, scale=1, shift_spread=0, scale_spread=0).double()
    loud = _seeded(0)
    torch.testing.assert_close(quiet(x), F.batch_norm(x, None, None, training=True))
    assert not torch.allclose(loud(x), F.batch_norm(x, None, None, training=True))
    torch.testing.assert_close(quiet.running_var, loud.running_var)


def test_noise_has_the_distributions_of_the_paper() -> None:
    """Channels' means cover their intervals evenly, samples spread about them as they should."""
    factors, shifts = _noise(_seeded(0), 0)
    means, centres = shifts.mean(0), factors.mean(0)
    assert -0.53 < means.min() < -0.45 and 0.45 < means.max() < 0.53
    assert 0.97 < centres.min() < 1.03 and 1.22 < centres.max() < 1.28
    uniform = (shifts - means).std(0).mean()
    torch.testing.assert_close(uniform, torch.tensor(0.1 / 3**0.5, dtype=torch.float64), rtol=0.02, atol=0)
    torch.testing.assert_close(
        (factors - centres).std(0).mean(), torch.tensor(0.1, dtype=torch.float64), rtol=0.02, atol=0
    )


def test_noise_is_drawn_anew_each_step_for_each_channel_sample_and_layer() -> None:
    """Any two draws are uncorrelated; a step asked for again gives the same."""
    one, other = _seeded(0), _seeded(1)
    (factors, shifts), (later, _), (foreign, _) = _noise(one, 0), _noise(one, 1), _noise(other, 0)
    assert torch.equal(_noise(one, 0)[0], factors)

    def centred(values: Tensor) -> Tensor:
        return values - values.mean(0)

    for a, b in ((factors, shifts), (factors, later), (factors, foreign), (factors[1:], factors[:-1])):
        pair = torch.stack([centred(a).flatten(), centred(b).flatten()])
        assert abs(torch.corrcoef(pair)[0, 1]) < 0.012
    assert abs(torch.corrcoef(torch.stack([factors.mean(0), later.mean(0)]))[0, 1]) < 0.2


def test_steps_draw_the_next_noise_and_evaluation_draws_none() -> None:
    """Training twice on one batch gives two outputs, evaluating twice one."""
    norm, x = _seeded(0), torch.randn(6, C, dtype=torch.float64)
    again = copy.deepcopy(norm)
    first = norm(x)
    assert not torch.allclose(norm(x), first)
    assert torch.equal(again(x), first)
    assert torch.equal(norm.eval()(x), norm(x))


def test_a_run_seeds_the_noise() -> None:
    """Layers made from one state of the global generator share their seed, and the next layer has another."""
    assert torch.equal(_seeded(0).seed, _seeded(0).seed)
    assert not torch.equal(_seeded(0).seed, _seeded(1).seed)


def test_single_and_double_precision_draw_the_same_numbers() -> None:
    """A run in float32 has the noise of one in float64, rounded."""
    norm = _seeded(0)
    torch.testing.assert_close(norm.noise(3, torch.float32)[1].double(), norm.noise(3, torch.float64)[1])
