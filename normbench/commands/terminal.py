"""Progress output while runs train: a live line on a terminal, plain lines elsewhere."""

import math
import sys
from collections.abc import Mapping, Sequence
from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from torch import Tensor

from normbench.spec import Run
from normbench.training.outcome import Evaluation, Outcome
from normbench.training.setup import Setup
from normbench.training.solo import Observer

_PLAIN_SECONDS = 10.0
"""Seconds between plain progress lines of a sweep."""

_LIVE_SECONDS = 0.2
"""Seconds between updates of the live progress line."""

_WIDEST_BAR = 20

_SHORT = {"bits_per_char": "bits/char", "accuracy": "acc", "balanced_accuracy": "bal acc"}
"""Short names of metrics that are too long for a column header."""

_FEWEST_RUNS, _FIRST_SHARE = 5, 0.02
"""From this many runs, and this share of all, the remaining time is computed from the pace."""

_MOST_EVALUATIONS = 20
"""Most lines of the curve of a single run."""


class RunView:
    """Prints the curve of a single run: one line per evaluation, at most twenty in all."""

    def started(self, setup: Setup) -> None:
        """Print the column headers."""
        budget = setup.budget
        self._every = -(-budget.evaluations // _MOST_EVALUATIONS)
        self._last = budget.total
        self._seen = 0
        total = sum(param.numel() for param in setup.params.values())
        device = next(iter(setup.params.values())).device
        say(f"{total:,} parameters, {len(setup.parts.train):,} training samples, {budget.total:,} steps on {device}")
        self._metric = setup.task.metrics[0]
        train, val = (f"{part} {_SHORT.get(self._metric, self._metric)}" for part in ("train", "val"))
        self._wide = max(11, len(train) + 2), max(9, len(val) + 2)
        say(
            f"{'step':>8}{'epoch':>8}{'lr':>11}{'train loss':>12}{train:>{self._wide[0]}}"
            f"{'val loss':>10}{val:>{self._wide[1]}}"
        )

    def evaluated(self, evaluation: Evaluation, grads: Mapping[str, Tensor]) -> None:
        """Print the evaluation, or skip it if there are too many."""
        self._seen += 1
        point = evaluation
        if self._seen % self._every and point.step != self._last:
            return
        # Some metrics are those of evaluations only.
        train, val = (f"{score.metrics.get(self._metric, math.nan):.3f}" for score in (point.train, point.val))
        say(
            f"{point.step:>8}{point.epoch:>8.4g}{point.lr:>11.4g}{point.train.loss:>12.4f}"
            f"{train.replace('nan', '-'):>{self._wide[0]}}{point.val.loss:>10.4f}{val:>{self._wide[1]}}"
        )

    def ended(self, outcome: Outcome) -> None:
        """Print that the run diverged; its scores are in the closing table."""
        if outcome.status == "diverged":
            say(f"diverged: the loss was not finite at step {outcome.diverged_at_step}")


class SweepView:
    """Counts the runs of a session; a context manager that owns the terminal's last line.

    The engine triggers each redraw. There is no drawing thread, since workers are forked from this process.
    """

    def __init__(self, total: int, expected: float | None = None) -> None:
        """Prepare to count `total` runs that should take `expected` seconds in all."""
        self._total = total
        self._expected = expected
        self._counts = {"finished": 0, "diverged": 0, "failed": 0}
        self._start = self._said = monotonic()
        self._console = Console(stderr=True)
        self._bar = BarColumn(bar_width=_WIDEST_BAR)
        text = TextColumn("{task.description}", markup=False)
        self._live = Progress(self._bar, text, console=self._console, auto_refresh=False)
        self._is_live = self._console.is_terminal and total > 1

    def __enter__(self) -> "SweepView":
        if self._is_live:
            self._task = self._live.add_task(self._line(), total=self._total)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._draw()
            self._live.stop()

    def observers(self, run_id: str, run: Run) -> Sequence[Observer]:
        """Observe a run if it is the only one."""
        return (RunView(),) if self._total == 1 else ()

    def run_ended(self, run_id: str, run: Run, outcome: Outcome) -> None:
        """Count a run."""
        self._counts[outcome.status] += 1
        if self._is_live:
            self.tick()
        elif self._total > 1 and (monotonic() - self._said > _PLAIN_SECONDS or self._done == self._total):
            self._said = monotonic()
            say(self._line())

    def note(self, text: str) -> None:
        """Print a line above the last one."""
        if self._is_live:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            say(text)

    def tick(self) -> None:
        """Redraw the last line from time to time."""
        if self._is_live and monotonic() - self._said > _LIVE_SECONDS:
            self._said = monotonic()
            self._draw()

    @property
    def seconds(self) -> float:
        """Seconds since the view was made."""
        return monotonic() - self._start

    @property
    def _done(self) -> int:
        return sum(self._counts.values())

    def _draw(self) -> None:
        text = self._line()
        self._bar.bar_width = max(1, min(_WIDEST_BAR, self._console.width - len(text) - 2))
        self._live.update(self._task, completed=self._done, description=text, refresh=True)

    def _line(self) -> str:
        parts = [f"{self._done}/{self._total} runs"]
        parts += [f"{count} {status}" for status, count in self._counts.items() if count and status != "finished"]
        seconds = self.seconds
        if self._done:
            rate = self._done / max(seconds, 1e-9)
            parts += [f"{rate:.{1 if rate >= 0.1 else 3}f} runs/s"]
        parts += [clock(seconds)]
        if (left := self._left(seconds)) is not None:
            parts += [f"{clock(left)} left"]
        return ", ".join(parts)

    def _left(self, seconds: float) -> float | None:
        """Return the remaining seconds: from the pace once enough runs have ended, else from the estimate."""
        if self._done >= max(_FEWEST_RUNS, _FIRST_SHARE * self._total) or self._done == self._total:
            return seconds / self._done * (self._total - self._done)
        if self._expected is None or seconds > self._expected:
            return None
        return self._expected - seconds


def clock(seconds: float) -> str:
    """Return a duration such as ``1:02:03`` or ``0:07``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def say(text: str) -> None:
    """Print a line on standard error, so that standard output holds only results."""
    print(text, file=sys.stderr, flush=True)
