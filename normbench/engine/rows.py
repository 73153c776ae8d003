"""Turns outcomes into records: the results of a run under the columns of the tables."""

from collections.abc import Mapping, Sequence

from normbench.engine.work import Work
from normbench.record.provenance import commit, machine, versions
from normbench.record.store import CellValue, Record
from normbench.record.tables import PROVENANCE
from normbench.training.outcome import Evaluation, Outcome, Score


def record(run_id: str, outcome: Outcome, provenance: Mapping[str, CellValue]) -> Record:
    """Return the record of a run.

    Args:
        run_id: Its identity.
        outcome: The result of its training; a diverged run keeps no metric.
        provenance: Its cells of provenance.csv.
    """
    cells: dict[str, CellValue | None] = {
        "num_params": outcome.num_params,
        "num_classes": outcome.num_classes,
        "steps_to_target": outcome.steps_to_target,
        "diverged_at_step": outcome.diverged_at_step,
        "error": outcome.error or None,
        **{f"chance_{name}": number(value) for name, value in outcome.chance.items()},
    }
    if outcome.status == "finished":
        last = outcome.curve[-1]
        cells |= _scores(train=last.train, val=last.val, test=outcome.test["running"])
        for statistics in ("precise", "batch"):
            for name, value in outcome.test[statistics].metrics.items():
                cells[f"test_{name}_{statistics}"] = number(value)
        cells["train_leak"] = None if outcome.leak is None else number(outcome.leak)
    return Record(
        run_id=run_id,
        status=outcome.status,
        result={name: cell for name, cell in cells.items() if cell is not None},
        curves=_columns(outcome.curve),
        provenance=provenance,
    )


def provenance_cells(run_id: str, work: Work, **measured: CellValue) -> dict[str, CellValue]:
    """Return a run's cells of provenance.csv.

    Args:
        run_id: Its identity.
        work: The pack it was trained in.
        **measured: Measurements of this training.
    """
    pack = work.pack
    cells: dict[str, CellValue] = {
        "seed": work.runs[run_id].run.seed,
        "block": work.block,
        "pack": work.index,
        "pack_size": len(pack.runs),
        "mode": pack.mode,
        "threads": pack.threads,
        **measured,
        **commit(),
        **versions(),
        **machine(),
    }
    return {name: cells[name] for name in PROVENANCE if name != "run_id"}


def number(value: float) -> float | None:
    """Return a measured number to nine digits, the precision of float32; None if it is undefined."""
    return None if value != value else float(f"{value:.9g}")


def _columns(curve: Sequence[Evaluation]) -> dict[str, list[float | None]]:
    """Return the columns of curves.csv, one cell per evaluation."""
    if not curve:
        return {}
    probes = sorted({name for point in curve for name in point.probes})
    rows = [
        {
            "epoch": number(point.epoch),
            "step": point.step,
            "lr": number(point.lr),
            **_scores(train=point.train, val=point.val),
            **{name: number(point.probes[name]) for name in probes},
        }
        for point in curve
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _scores(**scores: Score) -> dict[str, float | None]:
    return {
        f"{part}_{name}": number(value) for part, score in scores.items() for name, value in score.as_dict().items()
    }
