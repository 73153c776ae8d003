"""The steps of a command, from overrides to tables: used by the command line and from Python."""

import logging
import math
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from normbench.analysis.refresh import is_current, write_tables
from normbench.config.sweep import Sweep, expand
from normbench.config.texts import literal
from normbench.engine.estimate import Estimate, estimate, keep_times
from normbench.engine.execution import check_workers, execute
from normbench.engine.interrupt import Detached
from normbench.engine.observers import lacks, run_observers
from normbench.engine.places.place import Watcher
from normbench.engine.prepare import freeze, packs_of, pending, prepare
from normbench.engine.surroundings import torchs_defaults
from normbench.engine.work import Work
from normbench.errors import ConfigError, StudyError
from normbench.plan import Pack, Plan
from normbench.record.lock import Say
from normbench.record.store import Study
from normbench.record.versions import edited
from normbench.spec import Run
from normbench.training.outcome import Outcome
from normbench.training.solo import Observer

if TYPE_CHECKING:
    import pandas as pd


class Silent:
    """A watcher that shows nothing."""

    def observers(self, run_id: str, run: Run) -> Sequence[Observer]:
        """Return no observers."""
        return ()

    def run_ended(self, run_id: str, run: Run, outcome: Outcome) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def tick(self) -> None:
        """Do nothing."""


class _Logged(Silent):
    """A watcher for programs: writes what went wrong to the program's log."""

    def note(self, text: str) -> None:
        """Log a warning."""
        logger.warning("%s", text)


logger = logging.getLogger("normbench")

_ONE_AT_A_TIME = threading.RLock()
"""Threads of one process take turns, since the state of torch and Hydra is global."""


@dataclass(frozen=True)
class Session:
    """A planned command that has not started yet.

    Attributes:
        sweep: What the config asks for.
        plan: Its runs, skipped cells and packs.
        study: The study that receives the rows.
        unfinished: Packs of earlier commands with runs of this plan that are still to be trained.
        new: run_ids that this command is the first to plan.
        force: Whether finished runs are trained again.
        command: The overrides as typed.
        state: State of the study at planning time.
    """

    sweep: Sweep
    plan: Plan
    study: Study
    unfinished: list[Work]
    new: list[str]
    force: bool
    command: tuple[str, ...]
    state: str

    @property
    def to_train(self) -> int:
        """Number of runs of the plan that will be trained."""
        return len(self.new) + sum(len(work.runs) for work in self.unfinished)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user before anything starts, without repetition."""
        return (*self.sweep.notes, *self.plan.notes, *self._again())

    def _again(self) -> Iterator[str]:
        log = self.sweep.settings.log
        lacking = {run_id: lacks(run_id, self.plan.runs[run_id].run, self.study, log) for run_id in self.new}
        if self.force or not any(lacking.values()):
            return
        ended = [run_id for run_id, end in self.study.ended().items() if end.status != "failed"]
        for what, count in Counter(lacking[run_id] for run_id in ended if lacking.get(run_id)).items():
            yield f"{count} of the runs done have no {what} and are trained again."

    @contextmanager
    def alone(self, say: Say) -> Iterator["Session"]:
        """Lock the study against other commands, and yield this session with its remaining work updated.

        The study's folder must exist: `Study.create`.

        Args:
            say: Called once with who is using the study, if it is locked and this session must wait.
        """
        with self.study.held(say):
            if self.study.state() == self.state:
                yield self
            else:
                unfinished, new = pending(self.plan, self.study, self.sweep.settings.log, force=self.force)
                yield replace(self, unfinished=unfinished, new=new)

    @property
    def packs(self) -> list[Pack]:
        """The packs that will be trained, those of earlier commands first."""
        return [*(work.pack for work in self.unfinished), *packs_of(self.plan, self.new, self.sweep.settings)]

    def estimate(self, *, calibrate: bool = False) -> Estimate:
        """Return how long the training should take.

        Args:
            calibrate: Whether to measure unknown timings, which takes about two seconds.
        """
        return estimate(self.packs, self.plan, self.sweep.settings.engine, calibrate=calibrate)

    def keep_times(self, work: Sequence[Work]) -> None:
        """Save the times of the packs that `execute` returned, for later estimates."""
        keep_times(work, self.study, self.plan, self.sweep.settings.engine)

    def execute(self, watcher: Watcher, until: float = math.inf) -> list[Work]:
        """Freeze the plan, train what is missing, and merge the tables, even after an interrupt.

        The study's folder must exist: `Study.create`.

        Args:
            watcher: Is told of each run that ends.
            until: Time after which nothing new is started, in seconds of time.monotonic.

        Returns:
            The packs that were trained.

        Raises:
            StudyError: If the study cannot be written.
            KeyboardInterrupt: If the user stops it; finished runs are kept and merged.
            OutOfTime: If the time is over; finished runs are kept and merged too.
            Detached: If the jobs of a cluster train on without this command.
        """
        settings = self.sweep.settings
        single, count = not self.sweep.multirun, len(self.plan.runs)
        observers = partial(run_observers, study=self.study, log=settings.log, single=single, count=count)
        with self.study.held(), _tables_after(self.study):
            fresh = freeze(self.plan, self.new, self.study, settings, command=self.command, changed=self.sweep.changed)
            work = [*self.unfinished, *fresh]
            execute(work, self.study, settings, observers=observers, watcher=watcher, until=until)
        if settings.log.tensorboard == "cell":
            from normbench.dashboard.folder import refresh_logs

            refresh_logs(self.study.folder)
        return work

    def failures(self) -> dict[str, str]:
        """Return the errors of runs of this plan whose last training failed, by run_id, even if an earlier row is kept.

        Raises:
            StudyError: If a shard is damaged.
        """
        ended = self.study.ended().items()
        return {run_id: end.error for run_id, end in ended if end.status == "failed" and run_id in self.plan.runs}

    def rows(self) -> "pd.DataFrame":
        """Return the rows of runs.csv that belong to this plan."""
        runs = load(self.study.folder)
        return runs[runs["run_id"].isin(list(self.plan.runs))].reset_index(drop=True)


def open_session(
    overrides: Iterable[str],
    *,
    multirun: bool = False,
    config_dir: Path | None = None,
    force: bool = False,
    sweep: Sweep | None = None,
    plan: Plan | None = None,
) -> Session:
    """Plan a command, and find every error before anything starts or is written.

    Args:
        overrides: In Hydra's grammar.
        multirun: Whether a key may have several values, as a sweep.
        config_dir: A user's own conf folder, searched first.
        force: Whether finished runs are trained again.
        sweep: The expanded overrides, if the caller has them already.
        plan: The frozen sweep, likewise.

    Returns:
        The session.

    Raises:
        NormbenchError: If anything is wrong.
    """
    command = tuple(overrides)
    sweep = sweep or expand(command, multirun=multirun, config_dir=config_dir)
    plan = plan or prepare(sweep.requested, sweep.settings, multirun=sweep.multirun)
    study = Study(Path(sweep.settings.results_dir) / sweep.settings.study)
    state = study.state()
    plan = replace(plan, notes=(*plan.notes, *edited(study.blocks(), map(plan.entry, plan.runs))))
    unfinished, new = pending(plan, study, sweep.settings.log, force=force)
    session = Session(sweep, plan, study, unfinished, new, force, command, state)
    check_workers((one.run for one in plan.runs.values()), lambda: session.packs, sweep.settings)
    return session


@contextmanager
def _tables_after(study: Study) -> Iterator[None]:
    """Bring the tables up to date, however the training ends."""
    try:
        yield
    except StudyError:
        # If a record could not be written, most tables cannot either: report the first reason.
        with suppress(StudyError):
            write_tables(study)
        raise
    except BaseException:
        write_tables(study)
        raise
    if not is_current(study):
        write_tables(study)


def train(
    overrides: Iterable[str] = (),
    *,
    study: str | None = None,
    results_dir: str | Path | None = None,
    config_dir: str | Path | None = None,
    force: bool = False,
) -> "pd.DataFrame":
    """Train a run or a sweep and return its rows; runs that the study has already are not trained again.

    Args:
        overrides: In Hydra's grammar, such as ``["norm=batch,none", "seed=range(3)"]``; several values are a sweep.
        study: Name of the study.
        results_dir: Folder of the studies.
        config_dir: A user's own conf folder, searched first.
        force: Whether finished runs are trained again.

    Returns:
        One row a run, with the columns of runs.csv; failed runs have status `failed` and an `error`.

    Raises:
        NormbenchError: If a name, a value, the data or the folder is wrong; nothing has started.
    """
    places = (("study", study), ("results_dir", results_dir))
    command = [*_texts(overrides), *(f"{key}={literal(str(value))}" for key, value in places if value is not None)]
    folder = None if config_dir is None else Path(config_dir)
    with _ONE_AT_A_TIME, torchs_defaults():
        session = open_session(command, multirun=True, config_dir=folder, force=force)
        for note in session.notes:
            logger.log(logging.WARNING if note.startswith("warning") else logging.INFO, "%s", note)
        session.study.create()
        with session.alone(partial(warnings.warn, stacklevel=2)) as ready, suppress(Detached):
            ready.execute(_Logged())
        return session.rows()


def load(study: str | Path) -> "pd.DataFrame":
    """Return the runs of a study.

    Args:
        study: Its folder, such as ``results/mine``.

    Returns:
        One row a run, with the columns of runs.csv.

    Raises:
        StudyError: If it is missing or damaged.
    """
    from normbench.analysis.study import load_runs

    return load_runs(Path(study))


def _texts(overrides: object) -> list[str]:
    """Return overrides as a list.

    Raises:
        ConfigError: If they are not strings: Hydra would read a bare string as one override per character.
    """
    form = "expected a list of strings such as ['norm=batch', 'lr=0.1']"
    if isinstance(overrides, str | Mapping) or not isinstance(overrides, Iterable):
        raise ConfigError(f"overrides: got {overrides!r}, {form}.")
    texts = list(overrides)
    for text in texts:
        if not isinstance(text, str):
            raise ConfigError(f"overrides: got {text!r} among them, {form}.")
    return texts
