"""The training loop of a single run: the readable reference that all faster paths are tested against."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from normbench.data import Batch, Examples
from normbench.models.dropout import draw_masks
from normbench.norms.statistics import sharing
from normbench.randomness import stream_seed
from normbench.ranks import ALONE, Ranks
from normbench.spec import Run
from normbench.training.budget import batches
from normbench.training.checkpoint import Checkpoint, Progress, capture, resume
from normbench.training.outcome import Evaluation, Outcome
from normbench.training.precision import backward
from normbench.training.probing.wiring import probes_of, untrained
from normbench.training.setup import Setup, set_up


class Observer(Protocol):
    """Observes a run during training without changing it."""

    def started(self, setup: Setup) -> None:
        """Observe the initial state of the run, also if it then resumes from a checkpoint."""

    def evaluated(self, evaluation: Evaluation, grads: Mapping[str, Tensor]) -> None:
        """Observe an evaluation and the gradients of its last step by parameter name."""

    def ended(self, outcome: Outcome) -> None:
        """Observe the result; the model is in its final state."""


def train(
    run: Run,
    dataset: Examples,
    *,
    device: torch.device,
    probes: Collection[str] = (),
    observers: Sequence[Observer] = (),
    checkpoint: Checkpoint | None = None,
    ranks: Ranks = ALONE,
) -> Outcome:
    """Train one run from its start, or from a checkpoint, to its test scores.

    Args:
        run: The run to train.
        dataset: The data set of the run.
        device: Where to train.
        probes: Diagnostics at each evaluation.
        observers: Observers of the run.
        checkpoint: Saves the run's state during training; None saves nothing.
        ranks: The processes that share each batch. Rank 0 observes and saves; all evaluate, so that each knows by
            itself when the run ends.

    Returns:
        The outcome: finished, or diverged as soon as a loss was not finite.

    Raises:
        ImpossibleRunError: If the parts of the run are incompatible.
        ConfigError: If a name is unknown or an argument wrong.
    """
    setup = set_up(run, dataset, device, probes, ranks)
    for observer in observers:
        observer.started(setup)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        # normbench never draws from the global state, but a user's layer may.
        torch.manual_seed(stream_seed(run.seed, "global"))
        outcome = _train(setup, observers, checkpoint)
    for observer in observers:
        observer.ended(outcome)
    return outcome


def _train(setup: Setup, observers: Sequence[Observer], checkpoint: Checkpoint | None) -> Outcome:
    run, model, evaluator = setup.run, setup.model, setup.evaluator
    rates = setup.optimizer.rates(setup.rates)
    probes = probes_of(setup)
    begun = resume(setup, checkpoint, probes)
    window, curve = begun.window, begun.curve
    for step, index in enumerate(batches(setup.parts.train, run, setup.budget, taken=begun.step), begun.step + 1):
        batch = draw(setup, index)
        evaluates = setup.budget.evaluates(step)
        if probes and evaluates:
            probes.before_step(setup.params)
        loss, outputs, targets, grads = take_step(setup, batch, rates[step - 1])
        window.add(loss, outputs, targets)
        if (evaluates or window.full) and (bad_step := window.look()) is not None:
            return setup.outcome(curve, diverged_at_step=bad_step)
        if evaluates:
            (val,) = evaluator.evaluate(model, setup.parts.val)
            if not math.isfinite(val.loss):
                return setup.outcome(curve, diverged_at_step=step)
            rate = setup.rates[step - 1]
            scalars = probes.look(setup.params, untrained(model), rate) if probes else {}
            found = {name: values[0] for name, values in scalars.items()}
            curve.append(Evaluation(step, step / setup.budget.per_epoch, rate, window.take(), val, found))
            for observer in observers:
                observer.evaluated(curve[-1], grads)
        if checkpoint and checkpoint.due(step):
            checkpoint.save(capture(setup, Progress(window, step, curve), probes))
    (test,) = evaluator.test_scores(model)
    if not all(math.isfinite(score.loss) for score in test.values()):
        return setup.outcome(curve, diverged_at_step=setup.budget.total)
    return setup.outcome(curve, test=test)


def draw(setup: Setup, index: Tensor) -> Batch:
    """Draw crops and dropout masks for a batch, and return the rows of this rank.

    Args:
        setup: The run; its masks and generators change in place.
        index: Indices of the whole batch, (B,).

    Returns:
        Fields (B/N, ...) for N ranks.
    """
    run, ranks, augmentation = setup.run, setup.ranks, setup.run.data.text("augment", "none")
    if run.model.args.get("dropout"):
        draw_masks(setup.model, run.batch_size, setup.masks, ranks)
    if augmentation == "none":
        return setup.parts.batch(setup.dataset, ranks.rows(index))
    whole = setup.dataset.augmented(setup.parts.batch(setup.dataset, index), augmentation, setup.crops)
    return {name: ranks.rows(field) for name, field in whole.items()}


class Taken(NamedTuple):
    """One optimizer step, before the update.

    Attributes:
        loss: Loss of the whole batch, ().
        outputs: Outputs for the whole batch, (B, ...).
        targets: Its targets, (B, ...) each.
        grads: Gradients by name.
    """

    loss: Tensor
    outputs: Tensor
    targets: Batch
    grads: dict[str, Tensor]


def take_step(setup: Setup, batch: Batch, lr: Tensor) -> Taken:
    """Take one optimizer step.

    Args:
        setup: The run; its parameters and buffers change in place.
        batch: The rows of this rank, fields (B/N, ...).
        lr: Learning rate, ().
    """
    task, ranks = setup.task, setup.ranks
    with sharing(setup.model, ranks):
        outputs = ranks.whole(task.call(setup.model, batch))
    targets = {name: ranks.whole(field) for name, field in task.targets_of(batch).items()}
    loss, grads, counts = backward(task.loss(outputs, targets), setup.params, setup.scale, ranks)
    if counts:
        setup.optimizer.step(grads, lr)
    return Taken(loss, outputs, targets, grads)
