"""Everything that a training needs before its first step, determined by the run and its seed."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normbench.data import Examples, Split, split
from normbench.errors import ConfigError
from normbench.metrics import METRICS
from normbench.norms.factory import describe_norms, norm_layers
from normbench.randomness import generator
from normbench.ranks import ALONE, Ranks
from normbench.spec import Run
from normbench.tasks import Task
from normbench.training.budget import Budget, budget
from normbench.training.build import build
from normbench.training.evaluate import Evaluator
from normbench.training.leak import leak
from normbench.training.optimizers import Optimizer
from normbench.training.outcome import Evaluation, Outcome, Score
from normbench.training.own_optimizer import OwnOptimizer, optimizer_of
from normbench.training.precision import LossScale, in_precision
from normbench.training.schedules import factors
from normbench.training.task_of import task_of


@dataclass(frozen=True)
class Setup:
    """One run, ready to train.

    Attributes:
        run: The run.
        task: Its task.
        dataset: Its data set, on the device.
        parts: The split of the data for the seed, on the device.
        budget: Steps and evaluations.
        model: The model with the seed's initial weights, in training mode, on the device.
        params: Trainable parameters by name.
        optimizer: Changes `params` in place.
        rates: Learning rate of each step.
        evaluator: Scores the model on the parts.
        masks: Generator of dropout masks.
        crops: Generator of augmentations.
        scale: Loss scale in float16; else empty.
        probes: Diagnostics at each evaluation.
        ranks: The processes that share each batch.
        leak: What the initial model sees of later steps in training; None for tasks that are not causal.
    """

    run: Run
    task: Task
    dataset: Examples
    parts: Split
    budget: Budget
    model: nn.Module
    params: dict[str, Tensor]
    optimizer: Optimizer | OwnOptimizer
    rates: list[float]
    evaluator: Evaluator
    masks: torch.Generator
    crops: torch.Generator
    scale: LossScale | tuple[()]
    probes: Collection[str]
    ranks: Ranks
    leak: float | None

    def outcome(
        self,
        curve: Sequence[Evaluation],
        *,
        test: dict[str, Score] | None = None,
        diverged_at_step: int | None = None,
    ) -> Outcome:
        """Return the outcome of the run: diverged at a step, or finished with its test scores."""
        return Outcome(
            status="finished" if diverged_at_step is None else "diverged",
            num_params=sum(param.numel() for param in self.params.values()),
            num_classes=self.task.num_classes or None,
            chance=self.task.chance,
            curve=tuple(curve),
            test=test if test and diverged_at_step is None else {},
            steps_to_target=_steps_to_target(curve, self.run, self.task),
            diverged_at_step=diverged_at_step,
            norm_layers=describe_norms(self.model),
            leak=self.leak,
        )


def set_up(
    run: Run, dataset: Examples, device: torch.device, probes: Collection[str] = (), ranks: Ranks = ALONE
) -> Setup:
    """Split the data, build the model and its optimizer.

    Args:
        run: The run to train.
        dataset: The data set of the run.
        device: Where to train.
        probes: Diagnostics at each evaluation.
        ranks: The processes that share each batch.

    Returns:
        The run, ready to train.

    Raises:
        ImpossibleRunError: If the parts of the run are incompatible.
        ConfigError: If a name is unknown or an argument wrong.
    """
    dataset = dataset.to(device)
    parts = split_of(run, dataset).to(device)
    plan = budget(run, len(parts.train))
    task = task_of(run, dataset)
    model = build(run, task.input_shape, task.num_outputs).to(device).train()
    model = in_precision(model, run.precision)
    params: dict[str, Tensor] = {name: param for name, param in model.named_parameters() if param.requires_grad}
    return Setup(
        run=run,
        task=task,
        dataset=dataset,
        parts=parts,
        budget=plan,
        model=model,
        params=params,
        optimizer=optimizer_of(run, params, undecayed(model, run)),
        rates=[run.lr * factor for factor in factors(run.schedule, plan.total)],
        evaluator=Evaluator(task, dataset, parts, (run.seed,), run.norm_batch_size or run.batch_size),
        masks=generator(run.seed, "dropout"),
        crops=generator(run.seed, "augment"),
        scale=LossScale.of(run.precision, device=device),
        probes=probes,
        ranks=ranks,
        leak=leak(model, task),
    )


def split_of(run: Run, dataset: Examples) -> Split:
    """Return the training, validation and test part drawn from the run's seed, on the CPU.

    Raises:
        DataError: If a part would be empty.
    """
    return split(
        dataset,
        seed=run.seed,
        val_fraction=run.data.number("val_fraction"),
        # A set with its own test part, or without classes, has no such key.
        test_fraction=run.data.number("test_fraction", 0.0),
        label_noise=run.data.number("label_noise", 0.0),
    )


def undecayed(model: nn.Module, run: Run) -> set[str]:
    """Return the names of the parameters without weight decay: those of the norms if `decay_norm` is off."""
    if run.optimizer.args.get("decay_norm", True):
        return set()
    return {f"{layer}.{name}" for layer, norm in norm_layers(model).items() for name, _ in norm.named_parameters()}


def check_target(run: Run, task: Task) -> None:
    """Check that the target of `steps_to_target` is a possible value of the task's first metric.

    Raises:
        ConfigError: If not.
    """
    name = task.metrics[0]
    key, other = ("target_accuracy", "target") if name == "accuracy" else ("target", "target_accuracy")
    if getattr(run, other) is not None:
        raise ConfigError(f"{other}: task={run.task.name} is judged by {name}; set {key} instead.")
    value, metric = getattr(run, key), METRICS[name]
    low, high = (-math.inf if metric.low is None else metric.low), (math.inf if metric.high is None else metric.high)
    if value is not None and not low <= value <= high:
        raise ConfigError(f"{key}: got {value:g}, expected a {name} from {low:g} to {high:g}.")


def _steps_to_target(curve: Sequence[Evaluation], run: Run, task: Task) -> int | None:
    target = run.target if run.target_accuracy is None else run.target_accuracy
    if target is None:
        return None
    metric = task.metrics[0]
    sign = METRICS[metric].sign
    return next((point.step for point in curve if sign * point.val.metrics[metric] >= sign * target), None)
