"""The frozen dataclasses that every stage hands to the next: what to train, and how to run it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Value = None | bool | int | float | str | list[Any] | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Component:
    """One choice of a config group: its name and the keyword arguments of what it names.

    Attributes:
        name: Name in the registry, or the user's own name beside `target`.
        args: Keyword arguments; not to be changed.
        target: Dotted path of a user's own class or function; None for what normbench ships.
    """

    name: str
    args: Mapping[str, Value]
    target: str | None = None

    def as_dict(self) -> dict[str, Value]:
        """Return the component as the config shows it."""
        own: dict[str, Value] = {"name": self.name}
        if self.target is not None:
            own["_target_"] = self.target
        return {**own, **self.args}

    @classmethod
    def from_dict(cls, values: Mapping[str, Value]) -> "Component":
        """Return the component that `as_dict` wrote."""
        name, target = values["name"], values.get("_target_")
        assert isinstance(name, str) and (target is None or isinstance(target, str)), values
        return cls(name, {key: value for key, value in values.items() if key not in ("name", "_target_")}, target)

    @property
    def shipped(self) -> bool:
        """Whether normbench builds it, if from what `source` makes."""
        return self.target is None or self.target.startswith("normbench.")

    @property
    def source(self) -> str | None:
        """Dotted path of code of the user's own: `target`, or what makes the model `own`; None without any."""
        source = self.target if self.target is None or not self.shipped else self.args.get("source")
        return None if source is None else str(source)

    @property
    def weights(self) -> str | None:
        """File of initial weights; None without one. To a user's own `target` the key is an argument as any."""
        weights = self.args.get("weights") if self.shipped else None
        return None if weights is None else str(weights)

    def number(self, key: str) -> float:
        """Return an argument that the config has checked to be a number."""
        value = self.args[key]
        assert isinstance(value, int | float), f"{self.name}.{key}={value!r}"
        return float(value)

    def text(self, key: str) -> str:
        """Return an argument that the config has checked to be a text."""
        value = self.args[key]
        assert isinstance(value, str), f"{self.name}.{key}={value!r}"
        return value


CLASSIFICATION = Component("classification", {})
"""The task of runs that name none, as those of early studies."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training: everything that decides its result, and nothing else.

    Attributes:
        batch_size: Samples the optimizer sees in a step.
        norm_batch_size: Samples that batch statistics are taken over; None means all of the batch.
        lr: Peak learning rate.
        epochs: Budget in passes over the training set; None where `steps` is given.
        steps: Budget in optimizer steps; None where `epochs` is given.
        eval_every: Steps between evaluations; None evaluates after each epoch.
        target_accuracy: Validation accuracy in [0, 1] that `steps_to_target` waits for.
        task: What the net is asked.
        target: Value of the task's first validation metric that `steps_to_target` waits for, where it is no accuracy.
        precision: What layers compute in: `float32`, or `bfloat16` or `float16` by autocast.
        probes: Diagnostics taken at each evaluation; they change nothing, and are no part of the run's identity.
    """

    model: Component
    norm: Component
    data: Component
    optimizer: Component
    schedule: Component
    batch_size: int
    norm_batch_size: int | None
    lr: float
    seed: int
    epochs: int | None
    steps: int | None
    eval_every: int | None
    target_accuracy: float | None
    precision: str = "float32"
    probes: tuple[str, ...] = ()
    task: Component = CLASSIFICATION
    target: float | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Run":
        """Return the run that `as_dict` wrote, such as a config in plan.jsonl."""
        own: dict[str, Any] = {
            key: Component.from_dict(part) if isinstance(part, dict) else part for key, part in values.items()
        }
        return cls(**{**own, "probes": tuple(own.get("probes", ()))})

    def as_dict(self) -> dict[str, Value]:
        """Return the run as nested plain values, in the order of the fields."""
        values = ((name, getattr(self, name)) for name in self.__slots__)
        plain = {name: value.as_dict() if isinstance(value, Component) else value for name, value in values}
        return {**plain, "probes": list(self.probes)}


@dataclass(frozen=True, slots=True)
class Checked:
    """What a dry run of a run's model found.

    Attributes:
        run: The run, without settings that do nothing for it.
        multiply_adds: Of the forward pass of one batch.
        num_params: Trainable numbers of the model.
        notes: What the user should be told.
        steps: Optimizer steps of the run.
        structure: What runs must share to be trained together; None where that is not known.
        alone: Why the run cannot be trained together with others; empty where it can.
        activations: Numbers that the layers of the model put out in the forward pass of one batch.
    """

    run: Run
    multiply_adds: float
    num_params: int = 0
    notes: tuple[str, ...] = ()
    steps: int = 0
    structure: str | None = None
    alone: str = ""
    activations: int = 0


@dataclass(frozen=True, slots=True)
class Engine:
    """How runs are carried out; decides no result beyond rounding.

    Attributes:
        mode: `auto`, or how runs are trained: `solo`, `stacked` or `compiled`.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        threads: Threads of one worker; None chooses from the size of the model.
        workers: Processes; None takes as many as there are cores, or GPUs.
        memory: GB that the state and activations of all packs in training may take; None sets no bound.
        checkpoint_every: Steps after which a run's state is saved again and again; None saves none.
    """

    mode: str
    device: str
    threads: int | None
    workers: int | None
    checkpoint_every: int | None = None
    memory: float | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """What is kept besides the tables.

    Attributes:
        tensorboard: `auto` (a single run writes its own log, a sweep none), `off`, `cell` (the command ends with the
            logs that `normbench dashboard` shows of a study) or `run` (every run writes its own).
        weights: `none`, or `final` to keep each run's last weights.
    """

    tensorboard: str
    weights: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a study lies and how its runs are carried out: no part of a run's identity."""

    study: str
    results_dir: str
    engine: Engine
    log: Log
