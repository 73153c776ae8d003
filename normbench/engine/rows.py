"""Outcomes as rows: what a run's training yields, in the columns of the tables."""

from normbench.engine.prepare import Work
from normbench.record.provenance import commit, machine, versions
from normbench.record.store import Record
from normbench.record.tables import PROVENANCE, RESULT, line
from normbench.training.outcome import Outcome, Score


def record(run_id: str, outcome: Outcome, provenance: str) -> Record:
    """Return the record of a run.

    Args:
        run_id: Its identity.
        outcome: What its training yielded; a diverged run keeps no metric.
        provenance: Its line of provenance.csv.
    """
    values: dict[str, object] = {
        "num_params": outcome.num_params,
        "num_classes": outcome.num_classes,
        "steps_to_target": outcome.steps_to_target,
        "diverged_at_step": outcome.diverged_at_step,
        "error": outcome.error,
    }
    if outcome.status == "finished":
        last = outcome.curve[-1]
        values |= _scores(train=last.train, val=last.val, test=outcome.test["running"])
        for statistics in ("precise", "batch"):
            for name, value in outcome.test[statistics].metrics.items():
                values[f"test_{name}_{statistics}"] = number(value)
    probes = sorted({name for point in outcome.curve for name in point.probes})
    rows = [
        [
            *(run_id, number(point.epoch), point.step, number(point.lr)),
            *_scores(train=point.train, val=point.val).values(),
            *(number(point.probes[name]) for name in probes),
        ]
        for point in outcome.curve
    ]
    return Record(
        run_id=run_id,
        status=outcome.status,
        result=line(values.get(name) for name in RESULT),
        curves="".join(f"{line(row)}\n" for row in rows),
        provenance=provenance,
        probes=",".join(probes),
    )


def provenance_line(run_id: str, work: Work, **measured: object) -> str:
    """Return a run's line of provenance.csv.

    Args:
        run_id: Its identity.
        work: The pack it was trained in.
        **measured: What was measured of this training.
    """
    pack = work.pack
    values = {
        "run_id": run_id,
        "seed": work.runs[run_id].seed,
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
    return line(values[name] for name in PROVENANCE)


def number(value: float) -> float:
    """Return a measured number to nine digits: all that a float32 holds."""
    return float(f"{value:.9g}")


def _scores(**scores: Score) -> dict[str, object]:
    return {
        f"{part}_{name}": number(value) for part, score in scores.items() for name, value in score.as_dict().items()
    }
