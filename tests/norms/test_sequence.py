"""Norms over padded sequences, against the same norms on what is left without the padding."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.norms import REGISTRY, BatchStatistics, NormFactory
from normbench.norms.sequence import SequenceNorm
from normbench.norms.statistics import own_batch, pooling

SAMPLES, LENGTH, CHANNELS = 6, 5, 8
LENGTHS = (5, 1, 3, 4, 2, 2)

BATCH = [name for name, norm in REGISTRY.items() if issubclass(norm, BatchStatistics)]
NEEDS_POSITIONS = [name for name, norm in REGISTRY.items() if getattr(norm, "needs_positions", False)]
ARGS: Mapping[str, Mapping[str, Any]] = {
    "batch_frozen": {"freeze_step": 50},
    "batch_noisy": {"shift": 0.0, "scale": 1.0, "shift_spread": 0.0, "scale_spread": 0.0},
}
"""Without noise, and not frozen after the first of several chunks."""

POINTWISE_BATCH = [name for name in BATCH if name not in NEEDS_POSITIONS]


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def valid_of(lengths: tuple[int, ...] = LENGTHS, length: int = LENGTH) -> Tensor:
    return torch.arange(length) < torch.tensor(lengths).unsqueeze(1)


def sequence_norm(name: str, over: str = "tokens", time: str = "shared", **args: Any) -> SequenceNorm:
    """Return a norm over sequences in float64, whose scale and shift are not the initial ones."""
    norm = SequenceNorm(NormFactory(REGISTRY[name], args), CHANNELS, length=LENGTH, over=over, time=time).double()
    with torch.no_grad():
        for seed, parameter in enumerate(norm.parameters()):
            parameter.add_(0.3 * normals(*parameter.shape, seed=100 + seed))
    return norm


def padded_with(x: Tensor, valid: Tensor, value: float) -> Tensor:
    return torch.where(valid.unsqueeze(2), x, value).requires_grad_()


@pytest.mark.parametrize("over", ["tokens", "time"])
@pytest.mark.parametrize("name", [name for name in REGISTRY if name not in BATCH])
def test_each_sample_is_normalised_as_without_its_padding(name: str, over: str) -> None:
    """Outputs at valid steps and gradients are those of every sample alone, cut to its length."""
    norm, valid = sequence_norm(name, over), valid_of((5, 2, 3, 4, 2, 2))
    x = padded_with(normals(SAMPLES, LENGTH, CHANNELS), valid, 7.0)
    weight = normals(SAMPLES, LENGTH, CHANNELS, seed=1) * valid.unsqueeze(2)
    y = norm(x, valid)
    alone = [norm(x[sample : sample + 1, :length])[0] for sample, length in enumerate(valid.sum(1).tolist())]
    torch.testing.assert_close(y[valid], torch.cat(alone))
    wanted = sum((one * own[: len(one)]).sum() for one, own in zip(alone, weight, strict=True))
    assert isinstance(wanted, Tensor)
    (expected,) = torch.autograd.grad(wanted, x)
    torch.testing.assert_close(torch.autograd.grad((y * weight).sum(), x)[0], expected)


@pytest.mark.parametrize("size", [None, 3, 2], ids=["whole", "ghost", "pairs"])
@pytest.mark.parametrize("name", POINTWISE_BATCH)
def test_batch_statistics_are_those_of_the_valid_steps(name: str, size: int | None) -> None:
    """Outputs, gradients and buffers are those of the valid steps alone, chunk by chunk."""
    args = ARGS.get(name, {})
    norm, apart = sequence_norm(name, norm_batch_size=size, **args), sequence_norm(name, **args)
    valid = valid_of()
    x = padded_with(normals(SAMPLES, LENGTH, CHANNELS), valid, 7.0)
    weight = normals(SAMPLES, LENGTH, CHANNELS, seed=1) * valid.unsqueeze(2)
    y = norm(x, valid)
    rows = size or SAMPLES
    parts = [apart.norms[0](x[start : start + rows][valid[start : start + rows]]) for start in range(0, SAMPLES, rows)]
    expected = torch.cat(parts)
    buffers = dict(apart.named_buffers())
    if name != "batch_renorm" or size is None:
        torch.testing.assert_close(y[valid], expected)
        torch.testing.assert_close(
            torch.autograd.grad((y * weight).sum(), x)[0], torch.autograd.grad((expected * weight[valid]).sum(), x)[0]
        )
    for key in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(dict(norm.named_buffers())[f"norms.0.{key}"], buffers[f"norms.0.{key}"], msg=key)


@pytest.mark.parametrize("name", [name for name in BATCH if name in NEEDS_POSITIONS])
def test_norms_of_batch_and_sample_statistics_ignore_padding(name: str) -> None:
    """What stands in the padding changes neither outputs nor buffers, and valid steps alone make the statistics."""
    norm, other, valid = sequence_norm(name), sequence_norm(name), valid_of((5, 2, 3, 4, 2, 2))
    x = normals(SAMPLES, LENGTH, CHANNELS)
    y = norm(padded_with(x, valid, 0.0), valid)
    z = other(padded_with(x, valid, 50.0), valid)
    torch.testing.assert_close(y[valid], z[valid])
    values = x[valid]
    (inner,) = norm.norms
    assert isinstance(inner, BatchStatistics) and inner.running_mean is not None and inner.running_var is not None
    torch.testing.assert_close(inner.running_mean, 0.1 * values.mean(0))
    torch.testing.assert_close(inner.running_var, 0.9 + 0.1 * values.var(0))
    torch.testing.assert_close(dict(other.named_buffers())["norms.0.running_var"], inner.running_var)


@pytest.mark.parametrize("momentum", [0.1, None], ids=["moving", "plain"])
def test_a_chunk_without_two_valid_values_changes_no_running_statistics(momentum: float | None) -> None:
    """Running statistics go on as if such a chunk did not exist."""
    norm, apart = (sequence_norm("batch", momentum=momentum, norm_batch_size=size) for size in (1, None))
    valid = valid_of((5, 1, 4, 1, 3, 2))
    x = normals(SAMPLES, LENGTH, CHANNELS)
    norm(x, valid)
    for sample in (0, 2, 4, 5):
        apart.norms[0](x[sample][valid[sample]])
    torch.testing.assert_close(dict(norm.named_buffers()), dict(apart.named_buffers()))


@pytest.mark.parametrize("time", ["shared", "step"])
@pytest.mark.parametrize("name", POINTWISE_BATCH)
def test_precise_statistics_pool_the_valid_steps(name: str, time: str) -> None:
    """Over several batches they are mean and unbiased variance of all valid values, at each step if so asked."""
    norm, valid = sequence_norm(name, time=time).eval(), valid_of()
    x = normals(SAMPLES, LENGTH, CHANNELS)
    with torch.no_grad(), pooling(norm):
        for rows in (slice(0, 2), slice(2, 3), slice(3, 6)):
            if time == "shared" or len(x[rows]) > 1:
                norm(x[rows], valid[rows])
    if time == "shared":
        expected = [(x[valid].mean(0), x[valid].var(0))]
    else:
        seen = [0, 1, 3, 4, 5]
        steps = [x[seen, step][valid[seen, step]] for step in range(LENGTH)]
        expected = [(values.mean(0), values.var(0)) for values in steps if len(values) > 1]
    for inner, (mean, var) in zip(norm.norms, expected, strict=False):
        assert isinstance(inner, BatchStatistics) and inner.running_mean is not None and inner.running_var is not None
        torch.testing.assert_close(inner.running_mean, mean)
        torch.testing.assert_close(inner.running_var, var)


def test_each_step_has_its_own_statistics() -> None:
    """With `step` each step is normalised over samples alone, with one scale and shift for all."""
    norm, x = sequence_norm("batch", time="step"), normals(SAMPLES, LENGTH, CHANNELS)
    y = norm(x)
    mean, var = x.mean(0, keepdim=True), x.var(0, correction=0, keepdim=True)
    weight, bias = (dict(norm.named_parameters())[f"norms.0.{name}"] for name in ("weight", "bias"))
    torch.testing.assert_close(y, (x - mean) / torch.sqrt(var + 1e-5) * weight + bias)
    assert len(list(norm.parameters())) == 2
    running = [dict(norm.named_buffers())[f"norms.{step}.running_mean"] for step in range(LENGTH)]
    torch.testing.assert_close(torch.stack(running), 0.1 * x.mean(0))
    x2 = normals(SAMPLES, LENGTH, CHANNELS, seed=3)
    x2[:, :3] = x[:, :3]
    torch.testing.assert_close(norm(x2)[:, :3], y[:, :3], rtol=0, atol=0)


def test_a_step_with_one_valid_sample_uses_running_statistics_and_changes_none() -> None:
    """So does a step that no batch has reached, with those of the step before it."""
    norm = sequence_norm("batch", time="step")
    lengths = (4, 3, 3, 2, 2, 2)
    x = normals(SAMPLES, LENGTH, CHANNELS).requires_grad_()
    y = norm(x, valid_of(lengths))
    buffers = dict(norm.named_buffers())
    assert [int(buffers[f"norms.{step}.num_batches_tracked"]) for step in range(LENGTH)] == [1, 1, 1, 0, 0]
    for step, later in pairwise((2, 3, 4)):
        torch.testing.assert_close(
            buffers[f"norms.{later}.running_mean"], buffers[f"norms.{step}.running_mean"], rtol=0, atol=0
        )
    weight, bias = (dict(norm.named_parameters())[f"norms.0.{name}"] for name in ("weight", "bias"))
    torch.testing.assert_close(y[0, 3], x[0, 3] / (1 + 1e-5) ** 0.5 * weight + bias)
    (grad,) = torch.autograd.grad(y[0, 3].sum(), x)
    torch.testing.assert_close(grad[0, 3], weight.detach() / (1 + 1e-5) ** 0.5)


@pytest.mark.parametrize("name", BATCH)
def test_own_batches_are_chunks_of_sequences(name: str) -> None:
    """An evaluation by its own batches equals each chunk alone, and changes no buffer."""
    norm, valid = sequence_norm(name).eval(), valid_of((5, 2, 3, 4, 2, 2))
    x = normals(SAMPLES, LENGTH, CHANNELS)
    before = {key: buffer.clone() for key, buffer in norm.named_buffers()}
    with own_batch(norm, 2):
        together = norm(x, valid)
        apart = [norm(x[start : start + 2], valid[start : start + 2]) for start in range(0, SAMPLES, 2)]
    torch.testing.assert_close(together[valid], torch.cat(apart)[valid])
    torch.testing.assert_close(dict(norm.named_buffers()), before, rtol=0, atol=0)


@pytest.mark.parametrize("time", ["shared", "step"])
@pytest.mark.parametrize("name", POINTWISE_BATCH)
def test_stacked_norms_do_what_each_does_alone(name: str, time: str) -> None:
    """Under vmap, outputs and the buffers changed in place are those of each norm alone, with lengths of its own."""
    skeleton = sequence_norm(name, time=time)
    lengths = (LENGTHS, (2, 2, 5, 1, 1, 3))
    x, valid = normals(2, SAMPLES, LENGTH, CHANNELS), torch.stack([valid_of(own) for own in lengths])
    state = {key: value.detach() for key, value in (*skeleton.named_parameters(), *skeleton.named_buffers())}
    stacked = {key: torch.stack([value, value]) for key, value in state.items()}

    def call(state: dict[str, Tensor], x: Tensor, valid: Tensor) -> Tensor:
        y: Tensor = torch.func.functional_call(skeleton, state, (x, valid))
        return y

    together = torch.vmap(call)(stacked, x, valid)
    for run in range(2):
        alone = sequence_norm(name, time=time)
        alone.load_state_dict(skeleton.state_dict())
        torch.testing.assert_close(together[run][valid[run]], alone(x[run], valid[run])[valid[run]])
        for key, buffer in alone.named_buffers():
            torch.testing.assert_close(stacked[key][run], buffer, msg=key)


def test_steps_beyond_the_last_use_its_statistics() -> None:
    """A sequence longer than those of training is normalised by the last step's statistics."""
    norm = sequence_norm("batch", time="step")
    norm(normals(SAMPLES, LENGTH, CHANNELS))
    x = normals(SAMPLES, CHANNELS)
    torch.testing.assert_close(norm.eval().step(x, LENGTH + 3), norm.step(x, LENGTH - 1), rtol=0, atol=0)


@pytest.mark.parametrize("name", NEEDS_POSITIONS)
def test_norms_over_positions_are_refused_at_a_single_step(name: str) -> None:
    """In a recurrence there is one step at a time."""
    with pytest.raises(ImpossibleRunError, match="several positions"):
        sequence_norm(name).step(normals(SAMPLES, CHANNELS), 0)


def test_a_user_norm_on_tokens_gets_features() -> None:
    """A norm that declares nothing, such as torch's, is called with (N * L, C)."""
    norm = SequenceNorm(NormFactory(nn.BatchNorm1d), CHANNELS, length=LENGTH).double()
    x = normals(SAMPLES, LENGTH, CHANNELS)
    torch.testing.assert_close(norm(x), sequence_norm_without_affine()(x))


def sequence_norm_without_affine() -> SequenceNorm:
    return SequenceNorm(NormFactory(REGISTRY["batch"], {"affine": False}), CHANNELS, length=LENGTH).double()


@pytest.mark.parametrize(("key", "value"), [("norm_over", "chanels"), ("norm_time", "steps")])
def test_unknown_words_are_named(key: str, value: str) -> None:
    """The message has the key of the config."""
    with pytest.raises(ConfigError, match=f"model.{key}: unknown value '{value}'"):
        sequence_norm("batch", **{key.removeprefix("norm_"): value})


@pytest.mark.parametrize("plain_steps", [0, 1], ids=["power", "plain first"])
def test_power_norm_takes_statistics_of_the_gradient_from_valid_steps(plain_steps: int) -> None:
    """Over three steps, gradients and the running statistic of the gradient are those without padding."""
    norm, apart = (sequence_norm("power", plain_steps=plain_steps) for _ in range(2))
    valid = valid_of()
    for step in range(3):
        x = padded_with(normals(SAMPLES, LENGTH, CHANNELS, seed=step), valid, 7.0)
        weight = normals(SAMPLES, LENGTH, CHANNELS, seed=10 + step) * valid.unsqueeze(2)
        (found,) = torch.autograd.grad((norm(x, valid) * weight).sum(), x)
        (wanted,) = torch.autograd.grad((apart.norms[0](x[valid]) * weight[valid]).sum(), x)
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(dict(norm.named_buffers()), dict(apart.named_buffers()))
