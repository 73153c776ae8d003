"""The training loop of a single run: the readable reference that all faster paths are tested against."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from normbench.data import Batch, Examples
from normbench.models.dropout import draw_masks
from normbench.randomness import stream_seed
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
) -> Outcome:
    """Train one run from its start, or from a checkpoint, to its test scores.

    Args:
        run: The run to train.
        dataset: The data set of the run.
        device: Where to train.
        probes: Diagnostics at each evaluation.
        observers: Observers of the run.
        checkpoint: Saves the run's state during training; None saves nothing.

    Returns:
        The outcome: finished, or diverged as soon as a loss was not finite.

    Raises:
        ImpossibleRunError: If the parts of the run are incompatible.
        ConfigError: If a name is unknown or an argument wrong.
    """
    setup = set_up(run, dataset, device, probes)
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
    augmentation = run.data.text("augment")
    dropout = bool(run.model.args.get("dropout"))
    probes = probes_of(setup)
    begun = resume(setup, checkpoint, probes)
    window, curve = begun.window, begun.curve
    for step, index in enumerate(batches(setup.parts.train, run, setup.budget, taken=begun.step), begun.step + 1):
        batch = setup.dataset.augmented(setup.parts.batch(setup.dataset, index), augmentation, setup.crops)
        if dropout:
            draw_masks(model, run.batch_size, setup.masks)
        evaluates = setup.budget.evaluates(step)
        if probes and evaluates:
            probes.before_step(setup.params)
        loss, outputs, grads = take_step(setup, batch, rates[step - 1])
        window.add(loss, outputs, batch)
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


def take_step(setup: Setup, batch: Batch, lr: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Take one optimizer step.

    Args:
        setup: The run; its parameters and buffers change in place.
        batch: Fields (B, ...).
        lr: Learning rate, ().

    Returns:
        Loss (), outputs (B, ...) and gradients by name, all before the update.
    """
    outputs = setup.task.call(setup.model, batch)
    loss = setup.task.loss(outputs, batch)
    loss, grads, counts = backward(loss, setup.params, setup.scale)
    if counts:
        setup.optimizer.step(grads, lr)
    return loss, outputs, grads
