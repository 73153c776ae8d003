"""Studies with every run of some claims' designs, in the real format, their numbers from formulas and no training."""

import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from normbench.claims.contrasts import contrast_rows
from normbench.claims.designs import Design, FixedFinding, keep
from normbench.claims.doses import dose_rows
from normbench.claims.ledger import register
from normbench.claims.loading import load_claims, with_history
from normbench.claims.spec import Cell, Claim
from normbench.claims.tables import Tables
from normbench.claims.verdicts import judge_study, write_verdicts
from normbench.record.columns import CURVES, FIXED, cell_text

SHIPPED = Path(__file__).parents[2] / "conf" / "claim"
DEFAULTS: dict[str, Any] = {
    "status": "finished", "model": "mlp", "norm": "batch", "data": "digits", "batch_size": 32, "lr": 0.0625,
    "num_params": 1000, "num_classes": 10,
}  # fmt: skip
PROBES = ("gradients.slope", "dead_units.share", "ics_ioffe.drift", "ics_santurkar.cosine")
LARGEST = {"batch": 2.0, "none": -2.0}
"""log2 of the largest rate that trains; 0 for other norms."""


def judged_study(folder: Path, names: Iterable[str] = (), *, seeds: int = 16, **changed: Claim) -> dict[str, Claim]:
    """Write a judged study of shipped claims, all where none is named, some changed, and return the catalogue."""
    claims = {name: registered(claim) for name, claim in (load_claims(SHIPPED) | changed).items()}
    runs: dict[str, dict[str, Any]] = {}
    for claim in claims.values():
        if names and claim.id not in names:
            continue
        for cell in claim.cells:
            own = design_runs(cell, seeds)
            runs |= own
            over = () if cell.over is None else (cell.over.lowest, cell.over.highest)
            keep(folder, cell.id, Design(cell.spec_sha256, tuple(range(seeds)), tuple(sorted(own)), over))
        if claim.check:
            keep(
                folder,
                claim.id,
                FixedFinding(claim.spec_sha256, "supported", "proved", "It is so.", {"largest error": 1e-9}),
            )
    write_tables(folder, list(runs.values()))
    records = Tables.of(folder)
    contrasts, doses = contrast_rows(folder, claims, records), dose_rows(folder, claims, records)
    write_verdicts(folder, judge_study(folder, claims, records), contrasts, doses)
    return claims


def registered(claim: Claim) -> Claim:
    """Return a claim whose designs are the first ones in the ledger."""
    cells = [(cell.name, cell.spec_sha256) for cell in claim.cells]
    return with_history(claim, register((), claim.id, cells, looks=(16, 32), reason="made up"))


def in_one_cell(claim: Claim) -> Claim:
    """Return a claim asked only as in its first cell, which has no name and no curves."""
    cell = replace(claim.cells[0], name="", curves=())
    return replace(claim, scope=cell.scope, cells=(cell,))


def alone() -> dict[str, Claim]:
    """Return the shipped claims of named cells, each asked in its first cell alone."""
    return {name: in_one_cell(claim) for name, claim in load_claims(SHIPPED).items() if claim.has_named_cells}


def in_two_cells(claim: Claim) -> Claim:
    """Return a claim asked in two cells: as in its first, and with its arms the other way round."""
    (cell,) = in_one_cell(claim).cells
    args = cell.estimand.args
    swapped = replace(cell.estimand, args={**args, "treatment": args["control"], "control": args["treatment"]})
    design = tuple((*sweep, "model.depth=5") for sweep in cell.design)
    cells = (
        replace(cell, name="digits_mlp", scope="A made-up MLP."),
        replace(cell, name="digits_deep", scope="A made-up deep MLP.", design=design, estimand=swapped),
    )
    return replace(claim, scope="", cells=cells)


def tables(folder: Path) -> Tables:
    return Tables.of(folder)


def design_runs(cell: Cell, seeds: int) -> dict[str, dict[str, Any]]:
    """Return a row of each run of a design, by run_id."""
    found = {}
    for sweep in cell.sweeps(range(seeds)):
        keys = [override.partition("=")[0] for override in sweep if not override.startswith("probes")]
        axes = [
            [value(text) for text in override.partition("=")[2].split(",")]
            for override in sweep
            if not override.startswith("probes")
        ]
        for values in itertools.product(*axes):
            row = outcome({**DEFAULTS, **dict(zip(keys, values, strict=True))})
            found[row["run_id"]] = row
    return found


def value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": "true", "false": "false", "null": None}.get(text, text)


def outcome(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's row: best at a rate of 1/16, bad for batch norm at small batches, diverged at large rates."""
    name = "|".join(f"{key}={config[key]}" for key in sorted(config))
    run_id = hashlib.sha256(name.encode()).hexdigest()[:12]
    rng = np.random.default_rng(int(run_id, 16))
    octave = math.log2(config["lr"])
    small = config["norm_batch_size"] if config.get("norm_batch_size") else config["batch_size"]
    loss = 0.35 if config["norm"] == "batch" and small == 2 else 0.0
    accuracy = float(np.clip(0.97 - loss - 0.004 * (octave + 4) ** 2 + rng.normal(0, 0.006), 0.1, 1))
    too_fast = octave > LARGEST.get(str(config["norm"]), 0.0) + rng.integers(-1, 2)
    row = {**config, "run_id": run_id, "study": "made_up"}
    if too_fast and rng.random() < 0.5:
        return {**row, "status": "diverged", "diverged_at_step": 7}
    accuracy = 0.1 if too_fast else accuracy
    target = config.get("target_accuracy")
    steps = int(40 * 2 ** abs(octave + 4) * (1 if config["norm"] == "batch" else 2) * rng.uniform(0.7, 1.4))
    reached = target is not None and accuracy > 0.5 and steps < (config.get("steps") or 0)
    names = [column for column, spec in FIXED.items() if spec.role == "metric" and column.endswith("accuracy")]
    precise = accuracy if small > 2 else min(accuracy + 0.2, 1)
    losses = {column: -math.log(accuracy) for column in FIXED if column.endswith("_loss")}
    scores = dict.fromkeys((*names, "test_accuracy_batch"), accuracy) | {"test_accuracy_precise": precise}
    return {**row, **scores, **losses, "steps_to_target": steps if reached else None}


def write_tables(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write runs.csv and curves.csv of rows."""
    folder.mkdir(parents=True, exist_ok=True)
    extra = sorted({key for row in rows for key in row} - set(FIXED))
    rows = sorted(rows, key=lambda row: str(row["run_id"]))
    cells = [{name: cell_text(row.get(name)) for name in (*FIXED, *extra)} for row in rows]
    pd.DataFrame(cells).to_csv(folder / "runs.csv", index=False, lineterminator="\n")
    curves = [curve for row in rows for curve in curve_rows(row)]
    columns = [*CURVES, *(f"probe.{name}" for name in PROBES)]
    pd.DataFrame(curves, columns=columns).to_csv(folder / "curves.csv", index=False, lineterminator="\n")


def curve_rows(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return two evaluations of a run, its probes with them; none of one that diverged."""
    if row["status"] != "finished":
        return []
    depth = float(row.get("model.depth") or 3)
    slope = 0.01 * depth if row["norm"] == "batch" else -0.002 * depth
    noise = 1 + 0.1 * math.sin(int(row["run_id"], 16))
    probes = {f"probe.{name}": slope * noise for name in PROBES}
    last = row.get("steps") or 100
    return [
        {
            "run_id": row["run_id"], "epoch": 1.0, "step": step, "lr": row["lr"],
            "train_loss": row["train_loss"] * factor, "train_accuracy": row["train_accuracy"],
            "val_loss": row["val_loss"] * (1 + (0.1 if row["norm"] == "batch" else 0.2)) * factor,
            "val_accuracy": row["val_accuracy"],
        } | probes
        for step, factor in ((max(last // 2, 1), 2.0), (last, 1.0))
    ]  # fmt: skip
