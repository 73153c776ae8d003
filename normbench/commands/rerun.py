"""Trains a recorded run again, as planned in its study, and compares it with its record bit for bit."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from normbench.analysis.study import find_studies
from normbench.engine.attempt import attempt
from normbench.engine.device import find_device, make_deterministic, threads_restored
from normbench.engine.work import Work, load_data
from normbench.errors import ConfigError, StudyError
from normbench.plan import Pack, run_id
from normbench.record.columns import cell_text
from normbench.record.store import Block, CellValue, Record, Study
from normbench.record.tables import PROVENANCE
from normbench.spec import Requested, Run

_MOST_SHOWN = 20
"""Differing cells that are printed."""

_MEASURED = ("run_id", "seed", "block", "pack", "pack_size", "started", "wall_time_s", "peak_memory_mb", "norm_layers")
_DECIDES_BITS = tuple(name for name in PROVENANCE if name not in _MEASURED)
"""Columns of provenance.csv that can explain different bits: commit, versions, device, mode, threads, compiler."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run as recorded in its study.

    Attributes:
        study: The study.
        run_id: Identity of the run.
        record: Its newest record.
        runs: All runs of its pack, by run_id.
        contents: Content hash of each run's data.
        fill: Size that its pack was filled up to with copies.
        ranks: Processes that shared each of its batches.
    """

    study: Study
    run_id: str
    record: Record
    runs: Mapping[str, Requested]
    contents: Mapping[str, str]
    fill: int
    ranks: int

    @property
    def origin(self) -> Mapping[str, CellValue]:
        """How and where it was trained: cells of provenance.csv."""
        return self.record.provenance


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that has changed.

    Attributes:
        what: Its column, and the step for a row of the curves.
        then: The recorded value.
        now: The value of the rerun.
    """

    what: str
    then: str
    now: str


@dataclass(frozen=True, slots=True)
class RerunResult:
    """The result of a rerun.

    Attributes:
        recorded: The run and its record.
        cells: Cells of runs.csv and curves.csv that differ.
        origins: Differences in versions, commit, device, threads and compiler.
    """

    recorded: Recorded
    cells: tuple[Difference, ...]
    origins: tuple[Difference, ...]


def find_run(prefix: str, study: str | None, results_dir: Path) -> Recorded:
    """Return a run and its record.

    Args:
        prefix: The start of its run_id, long enough to be unique.
        study: Name or folder of its study; None searches all under `results_dir`.
        results_dir: Folder of the studies.

    Raises:
        StudyError: If no run, several runs, or one without a record is found; or if a file is damaged.
    """
    studies = [Study(folder) for folder in find_studies([study] if study else [], results_dir)]
    planned = [(own, block, known) for own in studies for block in own.blocks() for known in block.runs]
    ids = {known for *_, known in planned}
    found = sorted(known for known in ids if known.startswith(prefix))
    if len(found) != 1:
        where = studies[0].folder if len(studies) == 1 else results_dir
        if found:
            more = ", ..." if len(found) > 5 else ""
            raise StudyError(f"{len(found)} runs in {where} begin with {prefix!r}: {', '.join(found[:5])}{more}")
        if not ids:
            raise StudyError(f"no run {prefix!r} in {where}, which holds no plan")
        close = difflib.get_close_matches(prefix, ids, n=3, cutoff=0.0)
        raise StudyError(f"no run {prefix!r} in {where}; nearest: {', '.join(close)}")
    holders = {own.folder: own for own, _, known in planned if known == found[0]}
    for own in holders.values():
        kept = own.records().get(found[0])
        if kept is not None:
            return _recorded(own, *kept)
    raise StudyError(f"run {found[0]} is planned in {next(iter(holders))} but has no record yet: nothing to compare.")


def _recorded(study: Study, number: int, kept: Record) -> Recorded:
    block = next(block for block in study.blocks() if block.number == number)
    pack = _pack(block, kept.run_id)
    entries = {known: block.runs[known] for known in pack["runs"]}
    return Recorded(
        study=study,
        run_id=kept.run_id,
        record=kept,
        runs={known: Requested.from_dict(entry["config"]) for known, entry in entries.items()},
        contents={known: str(entry["content"]) for known, entry in entries.items()},
        fill=int(pack.get("fill", 0)),
        ranks=int(pack.get("ranks", 1)),
    )


def _pack(block: Block, wanted: str) -> Mapping[str, Any]:
    return next(pack for pack in block.packs if wanted in pack["runs"])


def rerun(recorded: Recorded, *, trust: bool) -> RerunResult:
    """Train a recorded run again, with all runs of its pack, and compare; nothing is written.

    Args:
        recorded: The run.
        trust: Whether code that the record names by `_target_` may be run.

    Returns:
        The differences.

    Raises:
        ConfigError: If the record names such code and `trust` is false, or if the code cannot be found.
        DataError: If the data are missing.
        StudyError: If the data have changed since the record.
    """
    targets = _targets(one.run for one in recorded.runs.values())
    if targets and not trust:
        raise ConfigError(
            f"the record of run {recorded.run_id} names code to run: {', '.join(targets)}. "
            "Give --trust if you know who wrote it."
        )
    # A pack trains on one data set.
    for known in dict.fromkeys((recorded.run_id, *recorded.runs)):
        content = load_data(recorded.runs[known].data).content
        if content != recorded.contents[known]:
            raise StudyError(
                f"the data of run {known} have changed: their hash was {recorded.contents[known][:12]} and is now "
                f"{content[:12]}. Restore the old data to train it again."
            )
    device = _device(str(recorded.origin["device"]))
    again = _train(recorded, device)
    cells = _cell_differences(recorded.record, again)
    return RerunResult(recorded, tuple(cells), tuple(_origins(recorded, again)))


def _targets(runs: Iterable[Run]) -> list[str]:
    """Return every `_target_`, and the sources of the user's own models.

    Targets that begin with normbench count too: through a dotted path they reach the modules that normbench imports.
    """
    parts = [part for run in runs for part in (run.model, run.norm, run.data, run.optimizer, run.schedule)]
    return sorted({name for part in parts for name in (part.target, part.source) if name is not None})


def _device(name: str) -> torch.device:
    """Return the recorded device, or this machine's if it has no such device: the comparison names both."""
    try:
        return find_device(name)
    except ConfigError:
        return find_device("auto")


def _train(recorded: Recorded, device: torch.device) -> Record:
    origin = recorded.origin
    pack = Pack(
        tuple(recorded.runs),
        str(origin["mode"]),
        int(origin["threads"]),
        "as recorded",
        fill=recorded.fill,
        ranks=recorded.ranks,
    )
    work = Work(int(origin["block"]), int(origin["pack"]), pack, recorded.runs)
    make_deterministic(device)
    with threads_restored():
        trained = attempt(work, device, lambda run_id, run: ()).trained
    return next(own.record for own in trained if own.run_id == recorded.run_id)


def _cell_differences(then: Record, now: Record) -> Iterator[Difference]:
    yield from _differences({"status": then.status, **then.result}, {"status": now.status, **now.result}, "")
    nothing: dict[str, CellValue | None] = {}
    for old, new in zip_longest(_points(then), _points(now), fillvalue=nothing):
        yield from _differences(old, new, f" at step {(old or new)['step']}")


def _points(record: Record) -> list[dict[str, CellValue | None]]:
    """Return the cells of each evaluation by column."""
    points = zip(*record.curves.values(), strict=True)
    return [dict(zip(record.curves, point, strict=True)) for point in points]


def _differences(
    then: Mapping[str, CellValue | None], now: Mapping[str, CellValue | None], where: str
) -> Iterator[Difference]:
    for column in dict.fromkeys((*then, *now)):
        old, new = cell_text(then.get(column)), cell_text(now.get(column))
        if old != new:
            yield Difference(f"{column}{where}", old, new)


def _origins(recorded: Recorded, again: Record) -> Iterator[Difference]:
    """Yield changes of what can affect bits; what is missing in the record is not compared."""
    for column in _DECIDES_BITS:
        now = again.provenance[column]
        then = recorded.origin.get(column, now)
        if then != now:
            yield Difference(column, cell_text(then), cell_text(now))
    for known, one in recorded.runs.items():
        run = one.run
        if _targets([run]) and known != run_id(run, recorded.contents[known]):
            yield Difference(f"source of {', '.join(_targets([run]))}", "as recorded", "changed")
            return


def describe(comparison: RerunResult) -> Iterator[str]:
    """Yield the lines to print."""
    recorded = comparison.recorded
    origin = recorded.origin
    size = len(recorded.runs)
    together = f"in its pack of {size}" if size > 1 else "alone"
    yield (
        f"run {recorded.run_id} of {recorded.study.folder}, {origin['mode']}, {together}, threads={origin['threads']}, "
        f"device={origin['device']}"
    )
    cells = comparison.cells
    yield (
        "identical, bit for bit"
        if not cells
        else f"{len(cells)} cell{'s' * (len(cells) > 1)} of runs.csv and curves.csv differ:"
    )
    yield from _table(cells[:_MOST_SHOWN])
    if len(cells) > _MOST_SHOWN:
        yield f"  ... and {len(cells) - _MOST_SHOWN} more"
    if comparison.origins:
        yield "changed since then:"
        yield from _table(comparison.origins)
    elif cells:
        yield "versions, commit, device, threads and compiler are unchanged."


def _table(differences: Sequence[Difference]) -> Iterator[str]:
    lines = [("", "then", "now"), *((entry.what, entry.then or "none", entry.now or "none") for entry in differences)]
    what, then = (max(len(entry[place]) for entry in lines) for place in (0, 1))
    if len(lines) > 1:
        yield from (f"  {name:<{what}}  {old:<{then}}  {new}" for name, old, new in lines)
