"""Learning rate schedules: a factor on `lr` for each step."""

import math
from collections.abc import Callable, Mapping, Sequence

from normbench.errors import ConfigError, nearest
from normbench.spec import Component

Schedule = Callable[..., float]


def constant(progress: float) -> float:
    """Return 1 at every step."""
    return 1.0


def cosine(progress: float, *, final_fraction: float = 0.0) -> float:
    """Return half a cosine from 1 down to `final_fraction` (Loshchilov & Hutter 2017)."""
    return final_fraction + (1 - final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))


def multistep(progress: float, *, milestones: Sequence[float], gamma: float = 0.1) -> float:
    """Return `gamma` to the power of the number of `milestones` (fractions of the budget) already reached."""
    return gamma ** sum(progress >= milestone for milestone in milestones)


REGISTRY: Mapping[str, Schedule] = {"constant": constant, "cosine": cosine, "multistep": multistep}


def check_schedule(spec: Component, steps: int) -> None:
    """Check that a schedule exists and that its warm-up is shorter than the run of `steps` steps.

    Raises:
        ConfigError: If not.
    """
    if spec.name not in REGISTRY:
        raise ConfigError(f"unknown schedule {spec.name!r}{nearest(spec.name, REGISTRY)}")
    warmup = int(spec.number("warmup_steps"))
    if warmup >= steps:
        raise ConfigError(f"schedule.warmup_steps: got {warmup}, expected fewer than the run's {steps} steps.")


def factors(spec: Component, steps: int) -> list[float]:
    """Return the factor on the learning rate for each of `steps` steps.

    The factor rises linearly to 1 over the first `warmup_steps`; the schedule then covers the remaining steps.

    Args:
        spec: Name in `REGISTRY` and arguments, with `warmup_steps`.
        steps: Steps of the whole run.

    Returns:
        One factor per step.

    Raises:
        ConfigError: If the name is unknown or the warm-up takes the whole budget.
    """
    check_schedule(spec, steps)
    rule = REGISTRY[spec.name]
    warmup = int(spec.number("warmup_steps"))
    args = {key: value for key, value in spec.args.items() if key != "warmup_steps"}
    rising = [(step + 1) / warmup for step in range(warmup)]
    return rising + [rule(step / (steps - warmup), **args) for step in range(steps - warmup)]
