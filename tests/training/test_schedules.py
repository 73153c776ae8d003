import math

import pytest
import torch

from normbench.errors import ConfigError
from normbench.spec import Component, Value
from normbench.training.schedules import REGISTRY, check_schedule, factors

STEPS = 40


def of_torch(scheduler: str, steps: int, **args: float | list[int]) -> list[float]:
    """Return the rates of a schedule of torch.optim from a base rate of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = getattr(torch.optim.lr_scheduler, scheduler)(optimizer, **args)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def spec(name: str, warmup_steps: int = 0, **args: Value) -> Component:
    """Return the component of a schedule."""
    return Component(name, {"warmup_steps": warmup_steps, **args})


def test_constant_is_one() -> None:
    """The constant schedule leaves the rate as it is."""
    assert factors(spec("constant"), 3) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_matches_torch(final: float) -> None:
    """The cosine is that of CosineAnnealingLR over the whole run."""
    expected = of_torch("CosineAnnealingLR", STEPS, T_max=STEPS, eta_min=final)
    assert factors(spec("cosine", final_fraction=final), STEPS) == pytest.approx(expected, abs=1e-12)


def test_cosine_in_closed_form() -> None:
    """It starts at 1, passes the middle half way and would reach `final_fraction` one step after the last."""
    values = factors(spec("cosine", final_fraction=0.2), 4)
    assert values == pytest.approx([1.0, 0.6 + 0.4 * math.cos(math.pi / 4), 0.6, 0.6 - 0.4 * math.cos(math.pi / 4)])


@pytest.mark.parametrize("milestones", [[0.5, 0.75], [0.3, 0.7, 0.9], []], ids=str)
def test_multistep_matches_torch(milestones: list[float]) -> None:
    """Milestones are fractions of the budget; the step that reaches one is the first at the lower rate."""
    steps = [round(fraction * STEPS) for fraction in milestones]
    expected = of_torch("MultiStepLR", STEPS, milestones=steps, gamma=0.2)
    assert factors(spec("multistep", milestones=list(milestones), gamma=0.2), STEPS) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "args"),
    [("constant", {}), ("cosine", {}), ("multistep", {"milestones": [0.5], "gamma": 0.1})],
    ids=REGISTRY,
)
def test_warm_up_rises_and_the_schedule_follows(name: str, args: dict[str, Value]) -> None:
    """The rate rises linearly as LinearLR does, and the schedule runs over what is left of the budget."""
    values = factors(Component(name, {"warmup_steps": 10, **args}), STEPS)
    rising = of_torch("LinearLR", 10, start_factor=0.1, end_factor=1.0, total_iters=9)
    assert values[:10] == pytest.approx(rising)
    assert values[10:] == factors(Component(name, {"warmup_steps": 0, **args}), STEPS - 10)


def test_a_warm_up_may_leave_one_step() -> None:
    """A warm-up one shorter than the run is the longest there is."""
    assert factors(spec("cosine", warmup_steps=2), 3) == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("warmup", [3, 4])
def test_a_warm_up_as_long_as_the_run_is_refused(warmup: int) -> None:
    """The message gives both numbers."""
    with pytest.raises(ConfigError, match=f"warmup_steps: got {warmup}, expected fewer than the run's 3 steps"):
        check_schedule(spec("constant", warmup_steps=warmup), 3)


def test_an_unknown_schedule_is_refused() -> None:
    """The message names the nearest known one."""
    with pytest.raises(ConfigError, match="unknown schedule 'cosin'; did you mean 'cosine'"):
        factors(spec("cosin"), 3)
