"""Every norm against its counterpart in torch or its formula, and through the machinery that later trains it."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from normbench.norms import (
    REGISTRY,
    BatchNorm,
    ChannelLayerNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    NoNorm,
    RMSNorm,
)

from .direct import DIRECT, C, Case


class _LayerNormOverMaps(nn.Module):
    """torch's LayerNorm over (C, H, W) with gamma and beta a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(C))
        self.bias = nn.Parameter(torch.zeros(C))

    def forward(self, x: Tensor) -> Tensor:
        scale, shift = (p.view(-1, *[1] * (x.ndim - 2)) for p in (self.weight, self.bias))
        return nn.functional.layer_norm(x, x.shape[1:]) * scale + shift


class _LayerNormOfPositions(nn.LayerNorm):
    """torch's LayerNorm on an input whose channels come last."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


CASES = [
    Case("batch-features", lambda: BatchNorm(C), lambda: nn.BatchNorm1d(C), (5, C)),
    Case("batch-two-samples", lambda: BatchNorm(C), lambda: nn.BatchNorm1d(C), (2, C)),
    Case("batch-sequence", lambda: BatchNorm(C), lambda: nn.BatchNorm1d(C), (5, C, 3)),
    Case("batch-maps", lambda: BatchNorm(C), lambda: nn.BatchNorm2d(C), (4, C, 3, 2)),
    Case("batch-1x1", lambda: BatchNorm(C), lambda: nn.BatchNorm2d(C), (4, C, 1, 1)),
    Case("batch-one-sample-of-maps", lambda: BatchNorm(C), lambda: nn.BatchNorm2d(C), (1, C, 3, 2)),
    Case("batch-eps", lambda: BatchNorm(C, eps=0.1), lambda: nn.BatchNorm2d(C, eps=0.1), (4, C, 3, 2)),
    Case("batch-momentum", lambda: BatchNorm(C, momentum=0.7), lambda: nn.BatchNorm1d(C, momentum=0.7), (5, C)),
    Case("batch-cumulative", lambda: BatchNorm(C, momentum=None), lambda: nn.BatchNorm1d(C, momentum=None), (5, C)),
    Case("batch-no-affine", lambda: BatchNorm(C, affine=False), lambda: nn.BatchNorm1d(C, affine=False), (5, C)),
    Case(
        "batch-untracked",
        lambda: BatchNorm(C, track_running_stats=False),
        lambda: nn.BatchNorm1d(C, track_running_stats=False),
        (5, C),
    ),
    Case(
        "batch-untracked-cumulative",
        lambda: BatchNorm(C, track_running_stats=False, momentum=None),
        lambda: nn.BatchNorm1d(C, track_running_stats=False, momentum=None),
        (5, C),
    ),
    Case("layer-features", lambda: LayerNorm(C), lambda: nn.LayerNorm(C), (2, C)),
    Case("layer-maps", lambda: LayerNorm(C), _LayerNormOverMaps, (2, C, 3, 2)),
    Case("layer-1x1", lambda: LayerNorm(C), lambda: nn.GroupNorm(1, C), (2, C, 1, 1)),
    Case("layer-eps", lambda: LayerNorm(C, eps=0.1), lambda: nn.GroupNorm(1, C, eps=0.1), (2, C, 3, 2)),
    Case("layer-no-affine", lambda: LayerNorm(C, affine=False), lambda: nn.GroupNorm(1, C, affine=False), (2, C, 3)),
    Case("group-features", lambda: GroupNorm(C, num_groups=3), lambda: nn.GroupNorm(3, C), (2, C)),
    Case("group-maps", lambda: GroupNorm(C, num_groups=2), lambda: nn.GroupNorm(2, C), (2, C, 3, 2)),
    Case("group-1x1", lambda: GroupNorm(C, num_groups=3), lambda: nn.GroupNorm(3, C), (2, C, 1, 1)),
    Case("group-eps", lambda: GroupNorm(C, num_groups=3, eps=0.1), lambda: nn.GroupNorm(3, C, eps=0.1), (2, C)),
    Case(
        "group-no-affine",
        lambda: GroupNorm(C, num_groups=3, affine=False),
        lambda: nn.GroupNorm(3, C, affine=False),
        (2, C),
    ),
    Case("instance-maps", lambda: InstanceNorm(C), lambda: nn.InstanceNorm2d(C, affine=True), (2, C, 3, 2)),
    Case("instance-sequence", lambda: InstanceNorm(C), lambda: nn.InstanceNorm1d(C, affine=True), (2, C, 3)),
    Case(
        "instance-eps", lambda: InstanceNorm(C, eps=0.1), lambda: nn.InstanceNorm2d(C, 0.1, affine=True), (2, C, 3, 2)
    ),
    Case("instance-no-affine", lambda: InstanceNorm(C, affine=False), lambda: nn.InstanceNorm2d(C), (2, C, 3, 2)),
    Case("layer_channels-torch", lambda: ChannelLayerNorm(C), lambda: _LayerNormOfPositions(C), (2, C, 3, 2)),
    Case("rms-torch", lambda: RMSNorm(C), lambda: nn.RMSNorm(C, eps=1e-5), (2, C)),
    Case("none", lambda: NoNorm(C), nn.Identity, (2, C)),
    *DIRECT,
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
GHOST = Case("batch-ghost", lambda: BatchNorm(C, norm_batch_size=2), nn.Identity, (6, C))
GHOST_CUMULATIVE = Case(
    "batch-ghost-cumulative", lambda: BatchNorm(C, norm_batch_size=2, momentum=None), nn.Identity, (6, C, 2, 2)
)


def _randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    module.double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        for name, buffer in module.named_buffers():
            if name == "seed":
                buffer.fill_(2**31 + seed)
    return module


def _input(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return 3 + 2 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _output_and_gradients(module: nn.Module, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y = module(x)
    # A cube, as the sum and the squares of normalised values are constant.
    gradients = torch.autograd.grad(y.pow(3).sum(), [x, *module.parameters()])
    return [y.detach(), *gradients]


@each_case
def test_matches_its_oracle_in_training_and_evaluation(case: Case) -> None:
    """Outputs, gradients and running statistics equal the oracle's over training steps and in evaluation."""
    ours, oracle = _randomised(case.ours()), _randomised(case.oracle())
    for step in range(3):
        x = _input(case.shape, seed=step)
        torch.testing.assert_close(_output_and_gradients(ours, x), _output_and_gradients(oracle, x))
    torch.testing.assert_close(dict(ours.named_buffers()), dict(oracle.named_buffers()))
    ours.eval(), oracle.eval()
    x = _input(case.shape, seed=9)
    torch.testing.assert_close(_output_and_gradients(ours, x), _output_and_gradients(oracle, x))
    torch.testing.assert_close(dict(ours.named_buffers()), dict(oracle.named_buffers()))


@pytest.mark.parametrize(
    "case", [case for case in (*CASES, GHOST, GHOST_CUMULATIVE) if case.gradcheck], ids=lambda case: case.name
)
def test_gradient_matches_finite_differences(case: Case) -> None:
    """The gradient of each norm in training passes gradcheck."""
    norm = _randomised(case.ours())
    # From one state each time: the noise of a step is a function of the step.
    assert torch.autograd.gradcheck(lambda x: copy.deepcopy(norm)(x), _input(case.shape).requires_grad_())


@each_case
def test_loads_what_its_oracle_saved(case: Case) -> None:
    """A state dict goes from the oracle to the norm and through the norm unchanged."""
    ours, oracle = _randomised(case.ours(), seed=1), _randomised(case.oracle(), seed=2)
    oracle(_input(case.shape))
    ours.load_state_dict(oracle.state_dict())
    again = case.ours().double()
    again.load_state_dict(ours.state_dict())
    torch.testing.assert_close(again.state_dict(), oracle.state_dict())


@pytest.mark.parametrize(
    ("name", "args"),
    [*((name, {}) for name in REGISTRY), ("batch", {"norm_batch_size": 2})],
    ids=[*REGISTRY, "batch-ghost"],
)
def test_channels_last_changes_no_value(name: str, args: dict[str, int]) -> None:
    """A channels_last input gives a contiguous one's values and gradients; batch norm's output is channels_last too."""
    norm = _randomised(REGISTRY[name](C, **args))
    x = _input((4, C, 3, 2))
    last = x.to(memory_format=torch.channels_last)
    again = copy.deepcopy(norm)
    torch.testing.assert_close(_output_and_gradients(again, last), _output_and_gradients(norm, x))
    torch.testing.assert_close(again.state_dict(), norm.state_dict())
    torch.testing.assert_close(again.eval()(last), norm.eval()(x))
    norm.train()
    if name == "batch" and not args:
        assert norm(last).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("case", [*CASES, GHOST, GHOST_CUMULATIVE], ids=lambda case: case.name)
def test_stacked_runs_equal_a_loop(case: Case) -> None:
    """vmap over stacked parameters and buffers equals one run after another, over two steps and an evaluation."""
    runs = [_randomised(case.ours(), seed=seed) for seed in range(3)]
    parameters, buffers = stack_module_state(runs)
    steps = [torch.stack([_input(case.shape, seed=10 * step + run) for run in range(3)]) for step in range(3)]

    def output(p: dict[str, Tensor], b: dict[str, Tensor], x: Tensor) -> Tensor:
        result = functional_call(runs[0], (p, b), (x,))
        assert isinstance(result, Tensor)
        return result

    with torch.no_grad():
        for x in steps[:2]:
            stacked = torch.func.vmap(output)(parameters, buffers, x)
            # Before the loop: without parameters or buffers to stack, the module itself runs.
            alone = torch.stack([run(sample) for run, sample in zip(runs, x, strict=True)])
            torch.testing.assert_close(stacked, alone)
        for name, buffer in buffers.items():
            torch.testing.assert_close(buffer, torch.stack([run.get_buffer(name) for run in runs]))
        for run in runs:
            run.eval()
        stacked = torch.func.vmap(output)(parameters, buffers, steps[2])
        alone = torch.stack([run(sample) for run, sample in zip(runs, steps[2], strict=True)])
        torch.testing.assert_close(stacked, alone)


AFFINE = [case for case in CASES if list(case.ours().parameters())]


@pytest.mark.parametrize("case", [*AFFINE, GHOST, GHOST_CUMULATIVE], ids=lambda case: case.name)
def test_stacked_gradients_equal_a_loop(case: Case) -> None:
    """vmap of grad gives each run's own gradient, and updates buffers given as arguments in place."""
    runs = [_randomised(case.ours(), seed=seed) for seed in range(3)]
    parameters, buffers = stack_module_state(runs)
    x = torch.stack([_input(case.shape, seed=run) for run in range(3)])

    def step(p: dict[str, Tensor], b: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        loss_gradient = torch.func.grad(lambda p, b, x: functional_call(runs[0], (p, b), (x,)).pow(3).sum())
        gradients: dict[str, Tensor] = loss_gradient(p, b, x)
        return gradients

    stacked = torch.func.vmap(step)(parameters, buffers, x)
    for index, (run, sample) in enumerate(zip(runs, x, strict=True)):
        names = [name for name, _ in run.named_parameters()]
        alone = dict(zip(names, torch.autograd.grad(run(sample).pow(3).sum(), list(run.parameters())), strict=True))
        torch.testing.assert_close({name: value[index] for name, value in stacked.items()}, alone)
        for name, buffer in run.named_buffers():
            torch.testing.assert_close(buffers[name][index], buffer)


@pytest.mark.parametrize("name", REGISTRY)
def test_says_its_arguments(name: str) -> None:
    """The representation of each norm names its channels."""
    assert "(6" in repr(REGISTRY[name](6))
