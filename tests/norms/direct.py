"""The papers' formulas written out, as modules with the state of the layers that they are the oracles of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.norms import (
    BatchFrozen,
    BatchMeanOnly,
    BatchNoisy,
    BatchRenorm,
    BatchVarOnly,
    ChannelLayerNorm,
    DynamicTanh,
    EvoNormB0,
    EvoNormS0,
    FilterResponseNorm,
    RMSNorm,
    ScaledWeight,
    SwitchableNorm,
    WeightStandardizedGroupNorm,
)

C = 6
EPS = 1e-5


class Direct(nn.Module):
    """A formula of a module and an input, with parameters of C numbers, or of as many as given, and running buffers."""

    weight: nn.Parameter
    bias: nn.Parameter
    v: nn.Parameter
    tau: nn.Parameter
    alpha: nn.Parameter
    mean_logits: nn.Parameter
    var_logits: nn.Parameter
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    seed: Tensor

    def __init__(
        self,
        formula: Callable[["Direct", Tensor], Tensor],
        params: tuple[str, ...] = ("weight", "bias"),
        *,
        sizes: Mapping[str, tuple[int, ...]] | None = None,
        tracked: bool = False,
        seeded: bool = False,
    ) -> None:
        super().__init__()
        self.formula = formula
        for name in params:
            self.register_parameter(name, nn.Parameter(torch.ones((sizes or {}).get(name, (C,)))))
        if tracked:
            self.register_buffer("running_mean", torch.zeros(C))
            self.register_buffer("running_var", torch.ones(C))
            self.register_buffer("num_batches_tracked", torch.tensor(0))
        if seeded:
            self.register_buffer("seed", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        return self.formula(self, x)


def wide(values: Tensor, x: Tensor) -> Tensor:
    return values.view(1, C, *[1] * (x.ndim - 2))


def moments(x: Tensor, *dims: int) -> tuple[Tensor, Tensor]:
    mean = x.mean(dims, keepdim=True)
    return mean, (x - mean).square().mean(dims, keepdim=True)


def batch_moments(m: Direct, x: Tensor, momentum: float = 0.1) -> tuple[Tensor, Tensor]:
    """Return the batch's moments in training, having averaged them into the buffers, else the running ones."""
    if not m.training:
        return wide(m.running_mean, x), wide(m.running_var, x)
    mean, var = moments(x, 0, *range(2, x.ndim))
    count = x.numel() / C
    with torch.no_grad():
        m.num_batches_tracked += 1
        m.running_mean.lerp_(mean.flatten(), momentum)
        m.running_var.lerp_(var.flatten() * count / (count - 1), momentum)
    return mean, var


def affine(m: Direct, y: Tensor) -> Tensor:
    return y * wide(m.weight, y) + wide(m.bias, y)


def rms(m: Direct, x: Tensor) -> Tensor:
    return torch.stack([s / (s.square().sum() / s.numel() + EPS).sqrt() for s in x]) * wide(m.weight, x)


def layer_channels(m: Direct, x: Tensor) -> Tensor:
    mean, var = moments(x, 1)
    return affine(m, (x - mean) / (var + EPS).sqrt())


def dyt(m: Direct, x: Tensor) -> Tensor:
    grown = torch.exp(2 * m.alpha * x)
    return affine(m, (grown - 1) / (grown + 1))


def frn(m: Direct, x: Tensor) -> Tensor:
    y = affine(m, x / (x.square().mean((2, 3), keepdim=True) + 1e-6).sqrt())
    return torch.where(y > wide(m.tau, y), y, wide(m.tau, y))


def evonorm_s0(m: Direct, x: Tensor) -> Tensor:
    spreads = [moments(part, *range(1, x.ndim))[1].expand_as(part) for part in x.chunk(2, dim=1)]
    return affine(m, x / (1 + torch.exp(-wide(m.v, x) * x)) / (torch.cat(spreads, dim=1) + EPS).sqrt())


def evonorm_b0(m: Direct, x: Tensor) -> Tensor:
    batch = (batch_moments(m, x)[1] + EPS).sqrt()
    instance = wide(m.v, x) * x + (moments(x, 2, 3)[1] + EPS).sqrt()
    return affine(m, x / torch.where(batch > instance, batch, instance))


def evonorm_b0_bare(m: Direct, x: Tensor) -> Tensor:
    batch_moments(m, x)
    return affine(m, x)


def switchable(m: Direct, x: Tensor) -> Tensor:
    kinds = (moments(x, 2, 3), moments(x, 1, 2, 3), batch_moments(m, x))
    shares = [torch.exp(logits) / torch.exp(logits).sum() for logits in (m.mean_logits, m.var_logits)]
    mean = sum(share * kind[0] for share, kind in zip(shares[0], kinds, strict=True))
    var = sum(share * kind[1] for share, kind in zip(shares[1], kinds, strict=True))
    return affine(m, (x - mean) / (var + EPS).sqrt())


def batch_mean_only(m: Direct, x: Tensor) -> Tensor:
    return affine(m, x - batch_moments(m, x)[0])


def batch_var_only(m: Direct, x: Tensor) -> Tensor:
    return affine(m, x / (batch_moments(m, x)[1] + EPS).sqrt())


def batch_frozen(m: Direct, x: Tensor) -> Tensor:
    by_batch = m.training and int(m.num_batches_tracked) < 2
    mean, var = batch_moments(m, x) if by_batch else (wide(m.running_mean, x), wide(m.running_var, x))
    return affine(m, (x - mean.clone()) / (var.clone() + EPS).sqrt())


def batch_renorm(m: Direct, x: Tensor, rmax: float = 1, dmax: float = 0) -> Tensor:
    """Algorithm 1 of Ioffe (2017), with sigma kept as Keras does, sqrt(running_var + eps)."""
    if not m.training:
        return affine(m, (x - wide(m.running_mean, x)) / (wide(m.running_var, x) + EPS).sqrt())
    mean, var = moments(x, 0, *range(2, x.ndim))
    with torch.no_grad():
        mu, sigma = wide(m.running_mean, x), (wide(m.running_var, x) + EPS).sqrt()
        sigma_b = (var + EPS).sqrt()
        r = (sigma_b / sigma).clamp(1 / rmax, rmax)
        d = ((mean - mu) / sigma).clamp(-dmax, dmax)
        sigma = sigma + 0.01 * (sigma_b - sigma)
        m.running_mean += 0.01 * (mean.flatten() - m.running_mean)
        m.running_var.copy_(sigma.flatten().square() - EPS)
        m.num_batches_tracked += 1
    return affine(m, (x - mean) / (var + EPS).sqrt() * r + d)


def batch_noisy(m: Direct, x: Tensor) -> Tensor:
    """Batch norm, and noise whose hash is written out in Python's integers."""
    step = int(m.num_batches_tracked)
    y = F.batch_norm(x, m.running_mean, m.running_var, m.weight, m.bias, m.training)
    if not m.training:
        return y
    m.num_batches_tracked += 1

    def draws(stream: int, count: int) -> Tensor:
        return torch.tensor([number(int(m.seed), step, stream, place) for place in range(count)], dtype=x.dtype)

    n = len(x)
    mu, sigma = draws(0, C) - 0.5, 1 + 0.25 * draws(1, C)
    shift = mu + 0.2 * (draws(2, n * C).view(n, C) - 0.5)
    normal = (-2 * draws(3, n * C).log()).sqrt() * (2 * torch.pi * draws(4, n * C)).cos()
    factor = sigma + 0.1 * normal.view(n, C)
    rest = [1] * (x.ndim - 2)
    return y * factor.view(n, C, *rest) + shift.view(n, C, *rest)


def mixed(word: int) -> int:
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):
        word = (word ^ (word >> shift)) * factor % 2**32
    return word ^ (word >> 15)


def number(seed: int, step: int, stream: int, place: int) -> float:
    key = mixed(mixed(seed) ^ step)
    word = mixed(mixed((place + key) % 2**32) ^ mixed(key ^ mixed(stream + 1)))
    return (word // 512 + 0.5) / 2**23


@dataclass(frozen=True)
class Case:
    """A norm, its oracle and an input shape."""

    name: str
    ours: Callable[[], nn.Module]
    oracle: Callable[[], nn.Module]
    shape: tuple[int, ...]
    gradcheck: bool = True


FEATURES, PAIR, MAPS, ONE = (5, C), (2, C), (4, C, 3, 2), (4, C, 1, 1)

_EVONORM = ("weight", "bias", "v")
_SWITCHABLE = ("mean_logits", "var_logits", "weight", "bias")
_KINDS = {"mean_logits": (3,), "var_logits": (3,)}


def _cases(
    name: str, ours: Callable[[], nn.Module], oracle: Callable[[], nn.Module], *shapes: tuple[int, ...]
) -> list[Case]:
    return [Case(f"{name}-{'x'.join(map(str, shape))}", ours, oracle, shape) for shape in shapes]


def _tracked(formula: Callable[[Direct, Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Direct(formula, tracked=True)


DIRECT = [
    *_cases("layer_channels", lambda: ChannelLayerNorm(C), lambda: Direct(layer_channels), PAIR, MAPS, ONE),
    *_cases("rms", lambda: RMSNorm(C), lambda: Direct(rms, ("weight",)), PAIR, MAPS, ONE),
    *_cases(
        "dyt",
        lambda: DynamicTanh(C),
        lambda: Direct(dyt, ("alpha", "weight", "bias"), sizes={"alpha": ()}),
        PAIR,
        MAPS,
        ONE,
    ),
    *_cases(
        "frn",
        lambda: FilterResponseNorm(C),
        lambda: Direct(frn, ("weight", "bias", "tau")),
        (2, C, 3, 2),
    ),
    *_cases(
        "evonorm_s0",
        lambda: EvoNormS0(C, num_groups=2),
        lambda: Direct(evonorm_s0, _EVONORM),
        PAIR,
        (2, C, 3, 2),
        ONE,
    ),
    *_cases(
        "evonorm_s0-bare", lambda: EvoNormS0(C, num_groups=2, activated=False), lambda: Direct(affine), (2, C, 3, 2)
    ),
    *_cases(
        "evonorm_b0-bare",
        lambda: EvoNormB0(C, activated=False),
        lambda: Direct(evonorm_b0_bare, tracked=True),
        (2, C, 3, 2),
    ),
    *_cases("evonorm_b0", lambda: EvoNormB0(C), lambda: Direct(evonorm_b0, _EVONORM, tracked=True), MAPS, (2, C, 3, 2)),
    *_cases(
        "switchable",
        lambda: SwitchableNorm(C),
        lambda: Direct(switchable, _SWITCHABLE, sizes=_KINDS, tracked=True),
        MAPS,
        (2, C, 3, 2),
    ),
    *_cases("batch_mean_only", lambda: BatchMeanOnly(C), _tracked(batch_mean_only), FEATURES, PAIR, MAPS, ONE),
    *_cases("batch_var_only", lambda: BatchVarOnly(C), _tracked(batch_var_only), FEATURES, PAIR, MAPS, ONE),
    *_cases("batch_frozen", lambda: BatchFrozen(C, freeze_step=2), _tracked(batch_frozen), FEATURES, PAIR, MAPS, ONE),
    *_cases("batch_renorm", lambda: BatchRenorm(C), _tracked(batch_renorm), FEATURES, PAIR, MAPS, ONE),
    Case(
        "batch_renorm-corrected",
        lambda: BatchRenorm(C, rmax=1.5, dmax=2, plain_steps=0, dmax_steps=0, rmax_steps=0),
        _tracked(lambda m, x: batch_renorm(m, x, rmax=1.5, dmax=2)),
        MAPS,
        gradcheck=False,  # r and d move with the input, and no gradient is to pass through them
    ),
    *_cases(
        "batch_noisy",
        lambda: BatchNoisy(C),
        lambda: Direct(batch_noisy, tracked=True, seeded=True),
        FEATURES,
        PAIR,
        MAPS,
        ONE,
    ),
    *_cases(
        "weight_standardized_group",
        lambda: WeightStandardizedGroupNorm(C, num_groups=2),
        lambda: nn.GroupNorm(2, C),
        PAIR,
        MAPS,
        ONE,
    ),
    *_cases(
        "scaled_weight",
        lambda: ScaledWeight(C, activation_gain=1.7),
        lambda: Direct(lambda m, x: x * (1.7 * wide(m.weight, x)), ("weight",)),
        PAIR,
        MAPS,
        ONE,
    ),
]
