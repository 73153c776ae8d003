"""What norms with batch statistics share: ghost batches, each batch's own statistics, pooled ones; and refusals."""

import copy

import pytest
import torch
from torch import Tensor, nn

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.norms import REGISTRY, BatchStatistics
from normbench.norms.statistics import own_batch, pooling

C = 4
STATISTICAL = sorted(name for name, norm in REGISTRY.items() if issubclass(norm, BatchStatistics))
SINGLE_POSITIONS = ("instance", "frn", "evonorm_b0", "switchable")


def _data(*shape: int, seed: int = 0) -> Tensor:
    return 4 + 3 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _statistical(name: str, **args: int) -> BatchStatistics:
    norm = REGISTRY[name](C, **args).double()
    assert isinstance(norm, BatchStatistics)
    return norm


@pytest.mark.parametrize("name", STATISTICAL)
def test_ghost_batches_equal_a_loop_over_chunks(name: str) -> None:
    """Outputs by own statistics, and what training leaves in the buffers, are those of one chunk after another."""
    whole, ghost, x = _statistical(name), _statistical(name, norm_batch_size=2), _data(6, C, 3, 2)
    with own_batch(whole, 2), own_batch(ghost, None):
        torch.testing.assert_close(whole(x), torch.cat([ghost(part) for part in torch.split(x, 2)]))
    for part in torch.split(x, 2):
        whole(part)
    ghost(x)
    mine, theirs = (dict(norm.named_buffers()) for norm in (ghost, whole))
    for key in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(mine[key], theirs[key], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", STATISTICAL)
def test_own_batch_touches_no_buffer(name: str) -> None:
    """Nothing is updated where each batch is normalised by its own."""
    norm = _statistical(name).eval()
    before = copy.deepcopy(norm.state_dict())
    with own_batch(norm, None):
        norm(_data(6, C, 3, 2))
    assert all(torch.equal(value, before[key]) for key, value in norm.state_dict().items())


@pytest.mark.parametrize("name", STATISTICAL)
def test_pooled_statistics_are_those_of_all_values(name: str) -> None:
    """After pooling, evaluation reads mean and unbiased variance of all values at once."""
    norm, x = _statistical(name).eval(), _data(9, C, 3, 2)
    with pooling(norm):
        for part in torch.split(x, [4, 5]):
            norm(part)
    values = x.transpose(0, 1).reshape(C, -1).numpy()
    torch.testing.assert_close(norm.running_mean, torch.from_numpy(values.mean(axis=1)))
    torch.testing.assert_close(norm.running_var, torch.from_numpy(values.var(axis=1, ddof=1)))


@pytest.mark.parametrize("momentum", [0.25, 1.0, None], ids=str)
@pytest.mark.parametrize("name", STATISTICAL)
def test_momentum_weighs_the_newest_statistics(name: str, momentum: float | None) -> None:
    """Torch's meaning, the opposite of Keras's and Flax's, and its unbiased variance; None is the plain average."""
    norm, parts = REGISTRY[name](C, momentum=momentum).double(), [_data(6, C, 3, 2, seed=seed) for seed in (0, 1)]
    mean, spread = torch.zeros(C, dtype=torch.float64), torch.ones(C, dtype=torch.float64)
    # Batch renorm averages deviations, of the biased variance.
    root, correction = (0.5, 0) if name == "batch_renorm" else (1, 1)
    for count, x in enumerate(parts, start=1):
        norm(x)
        share = 1 / count if momentum is None else momentum
        mean = (1 - share) * mean + share * x.mean((0, 2, 3))
        spread = (1 - share) * spread + share * x.var((0, 2, 3), correction=correction) ** root
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, spread ** (1 / root), rtol=1e-5, atol=0)


# The others divide by a mean square or by the values, which a large mean is a part of, or take no statistics.
CENTRED = [
    name for name in REGISTRY if name not in ("none", "rms", "power", "frn", "evonorm_b0", "dyt", "scaled_weight")
]


@pytest.mark.parametrize("name", CENTRED)
def test_a_large_mean_does_not_cancel(name: str) -> None:
    """In float32, with a mean 7,000 times the deviation, the variance is right: E[x^2] - E[x]^2 would not be."""
    x = 2.0**14 + torch.randint(8, (6, C, 4, 4), generator=torch.Generator().manual_seed(0))
    norm = REGISTRY[name](C)
    y, wanted = copy.deepcopy(norm)(x), norm.double()(x.double())
    torch.testing.assert_close(y.double(), wanted, rtol=1e-2, atol=1e-2)
    squares = x.square().mean() - x.mean().square()
    assert squares.item() != pytest.approx(x.double().var().item(), rel=0.1)


@pytest.mark.parametrize("name", [name for name in STATISTICAL if name not in SINGLE_POSITIONS])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_one_value_a_channel_is_impossible(name: str, device: str) -> None:
    """Training on one sample of features raises, on real data as in a dry run."""
    norm = REGISTRY[name](C).to(device)
    with pytest.raises(ImpossibleRunError, match="only one value per channel"):
        norm(torch.zeros(1, C, device=device))


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", SINGLE_POSITIONS)
@pytest.mark.parametrize(
    ("shape", "place"), [((5, C), "fully connected features"), ((5, C, 1, 1), "maps of 1x1")], ids=["features", "1x1"]
)
def test_nothing_to_average_over_is_impossible(shape: tuple[int, ...], place: str, name: str, training: bool) -> None:
    """Norms that average over positions need more than one of them."""
    norm = REGISTRY[name](C).train(training)
    with pytest.raises(ImpossibleRunError, match=f"needs several positions to average over, got {place}"):
        norm(torch.zeros(shape))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: REGISTRY["layer_channels"](1), "one channel"),
        (lambda: REGISTRY["rms"](1)(torch.zeros(3, 1)), "only one value per sample"),
        (lambda: REGISTRY["evonorm_s0"](4, num_groups=4)(torch.zeros(3, 4)), "only one value per group"),
        (lambda: REGISTRY["weight_standardized_group"](4, num_groups=4)(torch.zeros(3, 4)), "only one value per group"),
        (lambda: REGISTRY["evonorm_s0"](4, num_groups=3), "num_groups=3 does not divide"),
    ],
    ids=["layer_channels", "rms", "evonorm_s0", "weight_standardized_group", "groups"],
)
def test_too_narrow_is_impossible(make: object, match: str) -> None:
    """A layer whose output would not depend on the size of its input is refused."""
    assert callable(make)
    with pytest.raises(ImpossibleRunError, match=match):
        make()


@pytest.mark.parametrize("name", ["batch_renorm", "batch_frozen", "batch_noisy", "power"])
def test_eps_must_be_positive(name: str) -> None:
    """Torch refuses an eps of 0 in the middle of a run; here it is refused before."""
    with pytest.raises(ConfigError, match="eps: got 0"):
        REGISTRY[name](C, eps=0)


@pytest.mark.parametrize("name", [name for name in REGISTRY if name != "none"])
def test_compiles_into_one_graph(name: str) -> None:
    """Dynamo takes each norm whole, and it computes the same."""
    torch._dynamo.reset()
    x = _data(4, C, 3, 2)
    eager = REGISTRY[name](C).double()
    compiled: nn.Module = copy.deepcopy(eager)
    y = torch.compile(compiled, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(y, eager(x))
    torch.testing.assert_close(compiled.state_dict(), eager.state_dict())
