"""The frozen dataclasses passed between stages: what to train, and how to run it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Value = None | bool | int | float | str | list[Any] | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Component:
    """One choice of a config group: its name and keyword arguments.

    Attributes:
        name: Name in the registry, or the user's own name for `target`.
        args: Keyword arguments; do not modify.
        target: Dotted path of a user's own class or function; None for shipped components.
    """

    name: str
    args: Mapping[str, Value]
    target: str | None = None

    def as_dict(self) -> dict[str, Value]:
        """Return the component as in the config."""
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
        """Whether normbench builds it, even if `source` makes the model."""
        return self.target is None or self.target.startswith("normbench.")

    @property
    def source(self) -> str | None:
        """Dotted path of the user's own code: `target`, or the maker of the model `own`; else None."""
        source = self.target if self.target is None or not self.shipped else self.args.get("source")
        return None if source is None else str(source)

    @property
    def weights(self) -> str | None:
        """File of a model's initial weights, or None."""
        return self.files("model").get("weights")

    def files(self, group: str) -> dict[str, str]:
        """Return the files that a choice of `group` names, by key of `FILES`; a user's own `target` has none."""
        keys = FILES.get(group, ()) if self.shipped else ()
        return {key: str(self.args[key]) for key in keys if self.args.get(key) is not None}

    def number(self, key: str, default: float | None = None) -> float:
        """Return an argument that is known to be a number, or `default` if there is none."""
        value = self.args.get(key, default)
        assert isinstance(value, int | float), f"{self.name}.{key}={value!r}"
        return float(value)

    def text(self, key: str, default: str | None = None) -> str:
        """Return an argument that is known to be a string, or `default` if there is none."""
        value = self.args.get(key, default)
        assert isinstance(value, str), f"{self.name}.{key}={value!r}"
        return value


CLASSIFICATION = Component("classification", {})
"""The task of runs that name none, such as runs of early studies."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training: everything that decides its result, and nothing else.

    Attributes:
        batch_size: Samples per optimizer step.
        norm_batch_size: Samples per batch statistic; None means the whole batch.
        lr: Peak learning rate.
        epochs: Budget in passes over the training set; None if `steps` is given.
        steps: Budget in optimizer steps; None if `epochs` is given.
        eval_every: Steps between evaluations; None evaluates after each epoch.
        target_accuracy: Validation accuracy in [0, 1] that `steps_to_target` waits for.
        task: What the net learns.
        target: Value of the task's first validation metric that `steps_to_target` waits for, if it is not accuracy.
        precision: Number format of the layers: `float32`, or `bfloat16` or `float16` by autocast.
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
    task: Component = CLASSIFICATION
    target: float | None = None

    def as_dict(self) -> dict[str, Value]:
        """Return the run as nested plain values, in the order of the fields."""
        values = ((name, getattr(self, name)) for name in self.__slots__)
        return {name: value.as_dict() if isinstance(value, Component) else value for name, value in values}


FILES = {"model": ("weights",), "task": ("style", "features")}
"""Keys that name a file whose content is part of a run, not its path, by group."""

PLACE = {"data": ("root", "download")}
"""Keys that only say where files are, by group."""


def apart(group: str, part: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return the keys of a part of a config that say what it is, and those that only say where its files are."""
    place = PLACE.get(group, ())
    what = {key: value for key, value in part.items() if key not in place}
    return what, {key: part[key] for key in place if key in part}


@dataclass(frozen=True, slots=True)
class Requested:
    """A run as a command requests it, with the settings that do not affect its result.

    Attributes:
        run: The run.
        probes: Diagnostics at each evaluation.
        place: Where its data are: arguments of its data set.
    """

    run: Run
    probes: frozenset[str] = frozenset()
    place: Mapping[str, Value] = field(default_factory=dict)

    @property
    def data(self) -> Component:
        """The data set with all arguments that its loader takes."""
        return replace(self.run.data, args={**self.place, **self.run.data.args})

    def with_probes(self, more: Iterable[str]) -> "Requested":
        """Return the same with more probes."""
        return replace(self, probes=self.probes.union(more))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Requested":
        """Return what `as_dict` wrote, a config in plan.jsonl."""
        data, place = apart("data", values["data"])
        parts: dict[str, Any] = {
            key: Component.from_dict(part) if isinstance(part, dict) else part
            for key, part in {**values, "data": data}.items()
        }
        # Plans of early versions have no probes.
        probes = frozenset(parts.pop("probes", ()))
        return cls(Run(**parts), probes, place)

    def as_dict(self) -> dict[str, Value]:
        """Return the config of the run as nested plain values, in the order of plan.jsonl."""
        values = {**self.run.as_dict(), "data": self.data.as_dict()}
        last = {key: values.pop(key) for key in ("task", "target")}
        return {**values, "probes": sorted(self.probes), **last}


@dataclass(frozen=True, slots=True)
class Passes:
    """Forward passes of a model beside its training.

    Attributes:
        count: Their number.
        samples: Samples of all of them.
    """

    count: int
    samples: int


NO_PASSES = Passes(0, 0)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a dry run of a run's model found.

    Attributes:
        run: The run, without settings that have no effect on it.
        multiply_adds: Multiply-adds of the forward pass of one batch.
        num_params: Trainable parameters of the model.
        notes: Notes for the user.
        steps: Optimizer steps of the run.
        structure: What runs must share to be trained together; None if unknown.
        alone: Why the run cannot be trained together with others; empty if it can.
        uncompiled: Why its step is not worth compiling; empty if it may be.
        activations: Numbers in the outputs of the model's layers in the forward pass of one batch.
        content: Content hash of its data.
        operations: Torch operations of a forward pass.
        keeps_statistics: Whether the model has running statistics.
        evaluations: Evaluations of the run.
        validation: The pass of an evaluation.
        tests: The passes of the test scores.
    """

    run: Run
    multiply_adds: float
    num_params: int = 0
    notes: tuple[str, ...] = ()
    steps: int = 0
    structure: str | None = None
    alone: str = ""
    uncompiled: str = ""
    activations: int = 0
    content: str = ""
    operations: int = 0
    keeps_statistics: bool = False
    evaluations: int = 0
    validation: Passes = NO_PASSES
    tests: Passes = NO_PASSES


@dataclass(frozen=True, slots=True)
class Engine:
    """How runs are carried out; affects results only by rounding.

    Attributes:
        mode: `auto`, or how runs are trained: `solo`, `stacked` or `compiled`.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        threads: Threads of one worker; None chooses from the size of the model.
        workers: Processes; None means one per core, or per GPU.
        memory: Most GB for state and activations of all packs in training; None sets no limit.
        checkpoint_every: Steps between saves of a run's state; None saves none.
        ranks: Processes that share each batch of a run.
        name: The place.
        address: The Ray cluster; None for one of this machine's own.
        partition: Slurm's partition; None for the default one.
        time: Minutes that a job may take; None for as long as the partition allows.
        cpus: CPUs of a job; None for as many as its pack has threads on all ranks.
        gpus: GPUs of a job, for each of its ranks.
        array_parallelism: Jobs at a time; None sets no limit.
        setup: Lines of shell that a job runs first.
        wait: Whether the command waits for its jobs.
    """

    mode: str
    device: str = "auto"
    threads: int | None = None
    workers: int | None = None
    checkpoint_every: int | None = None
    memory: float | None = None
    ranks: int = 1
    name: str = "local"
    address: str | None = None
    partition: str | None = None
    time: int | None = None
    cpus: int | None = None
    gpus: int = 0
    array_parallelism: int | None = None
    setup: Sequence[str] = ()
    wait: bool = True


@dataclass(frozen=True, slots=True)
class Log:
    """What is saved in addition to the tables.

    Attributes:
        tensorboard: `auto` (a single run writes its own log, a sweep none), `off`, `cell` (the command ends by writing
            the logs that `normbench dashboard` shows) or `run` (every run writes its own).
        weights: `none`, or `final` to save each run's last weights.
        pictures: `auto` (runs that train alone, in commands of at most 100 runs, save pictures of a few test samples if
            their task has pictures), `all` or `none`.
    """

    tensorboard: str
    weights: str
    pictures: str = "auto"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a study is and how its runs are carried out: not part of a run's identity."""

    study: str
    results_dir: str
    engine: Engine
    log: Log
