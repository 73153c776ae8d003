"""The error of the time estimate over a recorded study: estimated seconds of each pack against recorded ones."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from statistics import median

import torch

from normbench.analysis.study import load_provenance, load_runs
from normbench.config.sweep import expand
from normbench.engine.costs import Kind, Timing, guess, learn, timing_of
from normbench.engine.estimate import kind_of
from normbench.engine.prepare import prepare
from normbench.plan import Pack
from normbench.record.store import Study
from normbench.spec import Requested

COLUMNS = (
    "group", "value", "packs", "measured_s",
    *(f"{estimate}_{figure}" for estimate in ("guess", "scaled", "corrected") for figure in ("s", "median", "q90")),
)  # fmt: skip
"""Seconds are sums over the packs; medians and 90 % quantiles are of the absolute error, in octaves."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A recorded pack.

    Attributes:
        kind: What its cost depends on.
        model: Name of its model.
        norm: Name of its norm.
        wall: Seconds that it took.
        compiles: Whether it was the first of its structure, and had to compile its step.
    """

    kind: Kind
    model: str
    norm: str
    wall: float
    compiles: bool


GROUPS: Mapping[str, Callable[[Timed], str | int]] = {
    "all": lambda pack: "",
    "mode": lambda pack: pack.kind.mode,
    "compilation": lambda pack: "first of its structure" if pack.compiles else "none",
    "model": lambda pack: pack.model,
    "norm": lambda pack: pack.norm,
    "batch_size": lambda pack: pack.kind.batch_size,
    "pack_size": lambda pack: pack.kind.size,
    "probes": lambda pack: "with" if pack.kind.probes.count else "without",
}


def timed_packs(folder: Path) -> list[Timed]:
    """Return the packs of a study in the order of their starts.

    Packs are left out if they ended early because all runs diverged, or if their runs were retried alone.

    Args:
        folder: The study, with its plan.jsonl and tables.
    """
    statuses = load_runs(folder).set_index("run_id")["status"]
    recorded = load_provenance(folder)
    recorded = recorded[recorded["run_id"].map(statuses) == "finished"]
    recorded = recorded.astype({"block": int, "pack": int})
    walls = dict(iter(recorded.groupby(["block", "pack"], sort=False)))
    settings = expand([]).settings
    found: list[tuple[str, Kind, str, str, float]] = []
    for block in Study(folder).blocks():
        requested = [Requested.from_dict(entry["config"]) for entry in block.runs.values()]
        plan = prepare(requested, settings, multirun=True)
        for index, values in enumerate(block.packs):
            rows = walls.get((block.number, index))
            if rows is None or rows["wall_time_s"].nunique() > 1:
                continue
            pack = Pack(**{**values, "runs": tuple(values["runs"])})
            run = plan.runs[pack.runs[0]].run
            first = rows.iloc[0]
            seconds = float(first["wall_time_s"])
            found.append((str(first["started"]), kind_of(pack, plan), run.model.name, run.norm.name, seconds))
    packs: list[Timed] = []
    seen: set[str] = set()
    for _, kind, model, norm, seconds in sorted(found, key=lambda one: one[0]):
        packs.append(Timed(kind, model, norm, seconds, kind.mode == "compiled" and kind.key not in seen))
        seen.add(kind.key)
    return packs


def estimates(packs: Sequence[Timed]) -> list[tuple[float, float, float]]:
    """Return for each pack its seconds as guessed, scaled and corrected.

    A guess is for an idle machine; scaled guesses are multiplied by one factor, so that half of them are too low.
    Corrected ones follow the nearest kind of another structure, as in a plan after other packs have been trained.
    """
    walls: dict[Kind, list[float]] = {}
    for pack in packs:
        walls.setdefault(pack.kind, []).append(pack.wall)
    known: dict[str, Timing] = {}
    for kind, own in walls.items():
        known[kind.key] = learn(kind, own, known, workers=1)
    corrected = {
        kind: timing_of(kind, _without(known, kind), [one for one in walls if one.structure != kind.structure])
        for kind in walls
    }
    compilations = [pack.kind.compilation if pack.compiles else 0.0 for pack in packs]
    guesses = [guess(pack.kind).of(pack.kind) + one for pack, one in zip(packs, compilations, strict=True)]
    factor = median(pack.wall / one for pack, one in zip(packs, guesses, strict=True))
    nearest = [corrected[pack.kind].of(pack.kind) + one for pack, one in zip(packs, compilations, strict=True)]
    return [(one, factor * one, other) for one, other in zip(guesses, nearest, strict=True)]


def _without(known: Mapping[str, Timing], kind: Kind) -> dict[str, Timing]:
    return {key: timing for key, timing in known.items() if key != kind.key}


def rows(packs: Sequence[Timed]) -> Iterator[dict[str, str]]:
    """Yield the errors of all packs, and of those of each group, as rows of estimates.csv."""
    estimated = estimates(packs)
    for group, value_of in GROUPS.items():
        members: dict[str | int, list[int]] = {}
        for place, pack in enumerate(packs):
            members.setdefault(value_of(pack), []).append(place)
        for value, places in sorted(members.items()):
            measured = [packs[place].wall for place in places]
            row = {"group": group, "value": str(value), "packs": str(len(places)), "measured_s": _number(sum(measured))}
            for which, name in enumerate(("guess", "scaled", "corrected")):
                own = [estimated[place][which] for place in places]
                errors = sorted(abs(log2(one / wall)) for one, wall in zip(own, measured, strict=True))
                row[f"{name}_s"] = _number(sum(own))
                row[f"{name}_median"] = f"{median(errors):.2f}"
                row[f"{name}_q90"] = f"{errors[int(0.9 * (len(errors) - 1))]:.2f}"
            yield row


def _number(seconds: float) -> str:
    return f"{seconds:.4g}"


def main(study: Path, output: Path) -> None:
    """Measure the error of the estimate over a study, print the table, and write it.

    Args:
        study: The study, with its plan.jsonl and tables.
        output: CSV to write.
    """
    torch.set_num_threads(1)
    found = list(rows(timed_packs(study)))
    for row in found:
        print("  ".join(f"{row[name]:>{max(len(name), 8)}}" for name in COLUMNS))
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    print(f"written: {output}")
