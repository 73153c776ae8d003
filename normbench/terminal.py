"""What a user sees while runs train: a progress line on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Mapping, Sequence
from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from normbench.spec import Run
from normbench.training.outcome import Evaluation, Outcome
from normbench.training.setup import Setup
from normbench.training.solo import Observer

_PLAIN_SECONDS = 10.0
"""Seconds between plain progress lines of a sweep."""

_MOST_EVALUATIONS = 20
"""Most lines that a single run prints of its curve."""


class RunView:
    """Prints the curve of a single run, a line an evaluation and at most twenty in all."""

    def started(self, setup: Setup) -> None:
        """Print the heads of the columns."""
        budget = setup.budget
        self._every = -(-budget.evaluations // _MOST_EVALUATIONS)
        self._last = budget.total
        self._seen = 0
        total = sum(param.numel() for param in setup.params.values())
        device = next(iter(setup.params.values())).device
        say(f"{total:,} parameters, {len(setup.parts.train):,} training images, {budget.total:,} steps on {device}")
        say(f"{'step':>8}{'epoch':>8}{'lr':>11}{'train loss':>12}{'train acc':>11}{'val loss':>10}{'val acc':>9}")

    def evaluated(self, evaluation: Evaluation, grads: Mapping[str, Tensor]) -> None:
        """Print the evaluation, or skip it where there are too many."""
        self._seen += 1
        point = evaluation
        if self._seen % self._every and point.step != self._last:
            return
        say(
            f"{point.step:>8}{point.epoch:>8.4g}{point.lr:>11.4g}{point.train.loss:>12.4f}{point.train.accuracy:>11.3f}"
            f"{point.val.loss:>10.4f}{point.val.accuracy:>9.3f}"
        )

    def ended(self, outcome: Outcome) -> None:
        """Say that the run diverged; its scores are for the closing table."""
        if outcome.status == "diverged":
            say(f"diverged: the loss was not finite at step {outcome.diverged_at_step}")


class SweepView:
    """Counts the runs of a session; a context manager that owns the terminal's last line."""

    def __init__(self, total: int) -> None:
        """Prepare to count `total` runs."""
        self._total = total
        self._counts = {"finished": 0, "diverged": 0, "failed": 0}
        self._start = self._said = monotonic()
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._live = console.is_terminal and total > 1

    def __enter__(self) -> "SweepView":
        if self._live:
            self._task = self._bar.add_task("runs", total=self._total, detail="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bar.stop()

    def observers(self, run_id: str, run: Run) -> Sequence[Observer]:
        """Look into a run where it is the only one."""
        return (RunView(),) if self._total == 1 else ()

    def run_ended(self, run_id: str, run: Run, outcome: Outcome) -> None:
        """Count a run."""
        self._counts[outcome.status] += 1
        if self._live:
            self._bar.update(self._task, advance=1, detail=self._detail())
        elif self._total > 1 and (monotonic() - self._said > _PLAIN_SECONDS or self._done == self._total):
            self._said = monotonic()
            seconds = self._said - self._start
            left = seconds / self._done * (self._total - self._done)
            say(f"{self._done}/{self._total} runs{self._detail()}, {seconds:.0f} s, about {left:.0f} s left")

    @property
    def _done(self) -> int:
        return sum(self._counts.values())

    def _detail(self) -> str:
        odd = [f"{count} {status}" for status, count in self._counts.items() if count and status != "finished"]
        rate = self._done / max(monotonic() - self._start, 1e-9)
        return "".join(f", {part}" for part in (*odd, f"{rate:.1f} runs/s"))


def say(text: str) -> None:
    """Print a line on standard error, so that standard output holds results alone."""
    print(text, file=sys.stderr, flush=True)
