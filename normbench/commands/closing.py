"""What a command prints before and after its runs: the plan in a few lines, the results as a table."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from normbench.api import Session
from normbench.commands.terminal import clock, say
from normbench.spec import Run

if TYPE_CHECKING:
    import pandas as pd

    from normbench.engine.estimate import Estimate

_MOST_ROWS = 40
"""Most rows of the closing table; longer ones are left to `normbench aggregate`."""

_MOST_REASONS = 8
"""Most reasons for skipping that are printed."""

_SHORT_SECONDS = 5.0
"""Sweeps of at least this many seconds are compared with their estimate."""


def print_plan_notes(session: Session) -> None:
    """Say what was left out or skipped, and how much there is to do."""
    for note in session.notes:
        say(f"note: {note}")
    if session.sweep.settings.engine.memory is not None:
        for reason in dict.fromkeys(pack.reason for pack in session.packs if "over engine.memory" in pack.reason):
            say(f"note: {reason}")
    for text in _skipped(session):
        say(text)
    total = len(session.plan.runs)
    done = total - session.to_train
    if total > 1:
        say(f"{total} runs in {session.study.folder}, {done} of them done already" if done else f"{total} runs")
    elif done:
        say(f"this run is done already, in {session.study.folder}; --force trains it again")


def print_plan(session: Session) -> None:
    """Print what `train` would do."""
    total = len(session.plan.runs)
    print(f"study     {session.study.folder}")
    print(f"runs      {total}: {total - session.to_train} done already, {session.to_train} to train")
    for text in _skipped(session):
        print(text)
    for (size, mode, reason), count in Counter(
        (len(pack.runs), pack.mode, pack.reason) for pack in session.packs
    ).items():
        print(f"packs     {count} of {size} run{'s' if size > 1 else ''}, {mode}: {reason}")
    if session.to_train:
        expected = session.estimate(calibrate=True)
        print(f"time      {_about(expected)} ({expected.source})")
        print(f"cost      {expected.cost} on {expected.nodes} node{'s' if expected.nodes > 1 else ''}")
    for note in session.notes:
        print(f"note      {note}")


def print_estimate(expected: "Estimate | None") -> None:
    """Say how long a sweep should take."""
    if expected is not None:
        say(_about(expected))


def print_time(seconds: float, expected: "Estimate | None") -> None:
    """Compare the time of a sweep with its estimate, unless it was very short."""
    if expected is not None and seconds >= _SHORT_SECONDS:
        say(f"took {clock(seconds)}; the estimate was {clock(expected.seconds)}")


def _about(expected: "Estimate") -> str:
    workers = f"{expected.workers} worker{'s' if expected.workers > 1 else ''}"
    return f"about {clock(expected.seconds)} on {workers}"


def print_outcome(session: Session, *, width: int, color: bool) -> int:
    """Print the results of a session.

    Args:
        session: After its runs have ended.
        width: Columns of the terminal.
        color: Whether escape codes may be used.

    Returns:
        The exit code: 1 if a run failed, else 0.
    """
    rows = session.rows()
    if len(rows) == 1:
        _print_run(rows)
    else:
        _print_cells(rows, width=width, color=color)
    failed = session.failures()
    for run_id, error in sorted(failed.items()):
        say(f"failed: run {run_id} ({label(session.plan.runs[run_id].run)}): {error}")
    if len(failed):
        say(f"{len(failed)} of {len(rows)} runs failed; the same command retries them.")
    say(f"records: {session.study.folder}")
    return 1 if len(failed) else 0


def complain_of(problems: Sequence[str]) -> int:
    """Say what could not be done, and return the exit code: 1 if there is any problem."""
    for problem in problems:
        say(problem)
    return 1 if problems else 0


def label(run: Run) -> str:
    """Return a short description of a run."""
    return f"model={run.model.name} norm={run.norm.name} batch_size={run.batch_size} lr={run.lr:g} seed={run.seed}"


def _skipped(session: Session) -> list[str]:
    reasons: dict[str, list[Run]] = {}
    for run, reason in session.plan.skipped:
        reasons.setdefault(reason, []).append(run)
    lines = [f"skipped   {len(runs)} ({label(runs[0])}): {reason}" for reason, runs in reasons.items()]
    more = len(lines) - _MOST_REASONS
    return lines if more <= 0 else [*lines[:_MOST_REASONS], f"skipped   ... and for {more} more reasons"]


def _print_run(rows: "pd.DataFrame") -> None:
    row = rows.iloc[0]
    if row["status"] != "finished":
        print(f"run {row['run_id']} {row['status']}")
        return
    print(f"run {row['run_id']} finished")
    from normbench.analysis.metric_columns import in_words, metric_of
    from normbench.analysis.tasks import first_metric

    column = f"test_{first_metric(rows)}"
    for text, statistics in (
        ("running statistics", ""),
        ("precise statistics", "_precise"),
        ("each batch's own statistics", "_batch"),
    ):
        if (name := f"{column}{statistics}") in row:
            print(f"{in_words(column)} {row[name]:.{metric_of(column).digits[1]}f}   {text}")


def _print_cells(rows: "pd.DataFrame", *, width: int, color: bool) -> None:
    from normbench.analysis.render import render
    from normbench.analysis.table import aggregate

    table = aggregate(rows)
    if len(table.rows) > _MOST_ROWS:
        study = rows["study"].iloc[0]
        say(f"{len(table.rows)} cells: normbench aggregate {study} shows them; --by and --best group them.")
        return
    print(render(table, "table", width=width, color=color), end="")
