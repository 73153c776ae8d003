"""Observers of a run in training: its TensorBoard log, texts and pictures, and the saving of its final weights."""

import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from normbench.engine.pictures import MOST_RUNS, pictures_of
from normbench.engine.texts import texts_of, write_vocabularies
from normbench.record.files import make_folder, write_bytes_whole
from normbench.record.pictures import pictures_path, read_pictures, write_pictures
from normbench.record.store import Study
from normbench.record.texts import texts_path, write_texts
from normbench.spec import Log, Run
from normbench.training.around_norms import around_norms
from normbench.training.outcome import Evaluation, Outcome
from normbench.training.setup import Setup
from normbench.training.solo import Observer

if TYPE_CHECKING:
    from normbench.record.tensorboard import RunLog

HISTOGRAMS = 10
"""Most times that histograms are taken per run: at every epoch they tripled the cost of a step."""

EXAMPLES = 256
"""Validation samples used for the histograms, always the same ones."""


def run_observers(run_id: str, run: Run, study: Study, log: Log, *, single: bool, count: int) -> list[Observer]:
    """Return the observers that the config asks for.

    Args:
        run_id: Identity of the run.
        run: The run.
        study: Where its files go.
        log: The requested files.
        single: Whether the run is the only one of its command.
        count: Runs of the command.
    """
    observers: list[Observer] = []
    # Before the log, which shows the pictures too.
    if log.pictures == "all" or (log.pictures == "auto" and count <= MOST_RUNS):
        observers.append(PicturesKeeper(pictures_path(study.folder, run_id)))
    if log.tensorboard == "run" or (log.tensorboard == "auto" and single):
        folder = study.folder / "tensorboard" / log_name(run_id, run)
        paths = texts_path(study.folder, run_id), pictures_path(study.folder, run_id)
        observers.append(TensorBoardObserver(run, folder, *paths))
    if log.weights == "final":
        observers.append(WeightsKeeper(study, run_id))
    return observers


def log_name(run_id: str, run: Run) -> str:
    """Return the name under which TensorBoard shows a run, such as ``mlp-batch-bs32-lr0.1-seed0-5fbf4657c930``."""
    parts = (run.model.name, run.norm.name, f"bs{run.batch_size}", f"lr{run.lr:g}", f"seed{run.seed}", run_id)
    return re.sub(r"[^\w.-]", "_", "-".join(parts))


def lacks(run_id: str, run: Run, study: Study, log: Log) -> str:
    """Return which requested file of a run the study lacks; empty if none.

    Args:
        run_id: Identity of the run.
        run: The run.
        study: Where its files go.
        log: What is wanted.
    """
    if log.weights == "final" and not study.weights(run_id).exists():
        return "weights"
    if log.tensorboard == "run" and not (study.folder / "tensorboard" / log_name(run_id, run)).exists():
        return "TensorBoard log"
    return ""


class TensorBoardObserver:
    """Writes scalars, histograms around the norms, gradient norms, hyper-parameters, texts and pictures of one run.

    The log is opened at the first evaluation: only then it is known whether the run started or resumed. The texts are
    also saved as JSON, for the report. The pictures are those of `PicturesKeeper`, if it saved any.
    """

    def __init__(self, run: Run, folder: Path, texts: Path, pictures: Path) -> None:
        self._run = run
        self._texts, self._pictures = texts, pictures
        self._folder = folder
        self._opened: RunLog | None = None

    def started(self, setup: Setup) -> None:
        """Choose the examples and the frequency of histograms."""
        self._setup = setup
        examples = setup.parts.batch(setup.dataset, setup.parts.val[:EXAMPLES])
        self._examples = setup.task.inputs_of(examples)
        self._every = -(-setup.budget.evaluations // HISTOGRAMS)

    def _log(self, evaluations: int, step: int) -> "RunLog":
        """Return the log, opened for an evaluation at `step` after `evaluations` others."""
        from normbench.record.tensorboard import RunLog

        if self._opened is None:
            self._opened = RunLog(self._folder, go_on_at=step if evaluations else None)
        return self._opened

    def evaluated(self, evaluation: Evaluation, grads: Mapping[str, Tensor]) -> None:
        """Write the scalars and, at most `HISTOGRAMS` times a run, the histograms."""
        point = evaluation
        before = (point.step - 1) // self._setup.budget.eval_every
        log = self._log(before, point.step)
        write = log.scalar
        for part, score in (("train", point.train), ("val", point.val)):
            for name, value in score.as_dict().items():
                write(f"{name}/{part}", value, point.step)
        write("lr", point.lr, point.step)
        for name, value in point.probes.items():
            write(name.replace(".", "/"), value, point.step)
        for name, grad in grads.items():
            write(f"gradient_norm/{name}", float(torch.linalg.vector_norm(grad)), point.step)
        if (before + 1) % self._every == 0:
            for layer, (given, normed) in around_norms(self._setup.model, self._examples).items():
                log.histogram(f"{layer}/before_norm", given, point.step)
                log.histogram(f"{layer}/after_norm", normed, point.step)

    def ended(self, outcome: Outcome) -> None:
        """Write the hyper-parameters with the final metrics and what the model writes, and close the log."""
        names = self._setup.task.metrics
        metrics = {f"{part}_{name}": float("nan") for name in names for part in ("test", "val")}
        if outcome.status == "finished":
            for name in names:
                for statistics, score in outcome.test.items():
                    suffix = "" if statistics == "running" else f"_{statistics}"
                    metrics[f"test_{name}{suffix}"] = score.metrics[name]
                metrics[f"val_{name}"] = outcome.curve[-1].val.metrics[name]
        log = self._log(len(outcome.curve), self._setup.budget.total + 1)
        log.hparams(_flat(self._run), metrics)
        if outcome.status == "finished" and (texts := texts_of(self._setup)):
            write_texts(self._texts, self._setup.task.writes, texts)
            for place, written in enumerate(texts, start=1):
                log.texts(f"texts/{place}", written._asdict(), self._setup.budget.total)
        if self._setup.task.draws and self._pictures.exists():
            for place, row in enumerate(read_pictures(self._pictures).tiles, start=1):
                log.picture(f"pictures/{place}", row, self._setup.budget.total)
        log.close()


class PicturesKeeper:
    """Saves pictures of what the model of a finished run makes of samples to ``pictures/<run_id>.png``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def started(self, setup: Setup) -> None:
        """Remember the run."""
        self._setup = setup

    def evaluated(self, evaluation: Evaluation, grads: Mapping[str, Tensor]) -> None:
        """Do nothing."""

    def ended(self, outcome: Outcome) -> None:
        """Save the pictures, if the task has any."""
        if outcome.status == "finished" and (sheet := pictures_of(self._setup)):
            write_pictures(self._path, sheet)


class WeightsKeeper:
    """Saves a run's last weights to ``weights/<run_id>.pt``; load them with ``torch.load(..., weights_only=True)``.

    The vocabularies of its data, without which weights on tokens are of no use, are saved next to them.
    """

    def __init__(self, study: Study, run_id: str) -> None:
        self._study, self._run_id = study, run_id
        self._path = study.weights(run_id)

    def started(self, setup: Setup) -> None:
        """Remember the run."""
        self._setup = setup

    def evaluated(self, evaluation: Evaluation, grads: Mapping[str, Tensor]) -> None:
        """Do nothing."""

    def ended(self, outcome: Outcome) -> None:
        """Save the vocabularies and then the weights, each whole or not at all."""
        make_folder(self._path.parent)
        write_vocabularies(self._study, self._run_id, self._setup)
        buffer = BytesIO()
        torch.save({name: value.cpu() for name, value in self._setup.model.state_dict().items()}, buffer)
        write_bytes_whole(self._path, buffer.getbuffer())


def _flat(run: Run) -> dict[str, bool | str | float | int]:
    flat: dict[str, bool | str | float | int] = {}
    for group, value in run.as_dict().items():
        parts: Sequence[tuple[str, object]] = [(group, value)]
        if isinstance(value, dict):
            parts = [(group if key == "name" else f"{group}.{key}", item) for key, item in value.items()]
        for key, item in parts:
            flat[key] = item if isinstance(item, bool | str | int | float) else str(item)
    return flat
