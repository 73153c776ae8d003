"""A study as TensorBoard logs, made from the tables: one log per cell and per norm instead of one per run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.cells import Ints, cells, config_columns, factors
from normbench.analysis.chance import has_chance
from normbench.analysis.folders import table_path
from normbench.analysis.metric_columns import in_words, metric_columns, metric_of
from normbench.analysis.study import load_curves, load_runs
from normbench.analysis.summary import count_status, metric_statistics
from normbench.analysis.tasks import first_metric
from normbench.dashboard.arms import ComparedArms, arms
from normbench.dashboard.curves import COUNT, Points, averages, by_group, tag, with_interval
from normbench.dashboard.figures import pictures
from normbench.dashboard.layout import categories, headings, norm_tag
from normbench.dashboard.naming import NOTES, PINNED, names, shown
from normbench.dashboard.samples import samples
from normbench.errors import StudyError
from normbench.metrics import metric_column
from normbench.record.events import EventFile, HparamValue
from normbench.record.files import write_whole

MOST_CELLS = 250
"""Cells that are shown, each a TensorBoard run: it is sluggish above about this many (5,000 take half a minute)."""

MOST_SETTINGS = 60
"""Settings that get charts comparing the norms."""

_LEADING = ("study", "task", "norm", "model", "data", "batch_size", "lr")
"""Hyper-parameters that come first, in names too."""


def write_logs(studies: Sequence[Path], target: Path) -> Path:
    """Write the logs of one study, or of several as one.

    `cells/<cell>` holds a session of the table of hyper-parameters, with the cell's final means, and its curves;
    `norms/<norm>` the curves of each setting, tuned; `overview` the table's columns, the charts' layout, and pictures.

    Args:
        studies: The studies.
        target: A folder that does not exist yet.

    Returns:
        That folder.

    Raises:
        StudyError: If a table is missing or damaged, or holds no run.
    """
    runs, curves = _load(studies)
    wall_time = max(table_path(study, "runs.csv").stat().st_mtime for study in studies)
    compared = arms(runs)
    numbers, keys = cells(runs, [*_several(runs), *config_columns(runs)])
    first = first_metric(runs)
    charted = headings(first, [name for name in curves.columns if curves[name].notna().any()])
    notes = _notes(len(keys), compared, in_words(f"val_{first}"))
    tags = _write_cells(runs, curves, numbers, keys, target / "cells", wall_time)
    tags |= _write_norms(compared, curves, charted, target / "norms", wall_time)
    with EventFile(target / "overview", wall_time) as file:
        file.experiment(_columns(runs), {name: name for name in _final_tags(runs)})
        file.layout(categories(charted, compared.settings, tags, tuned=compared.tuned))
        file.text("about", "\n\n".join((*_about(runs, compared), *notes)))
        for picture in pictures(runs):
            file.image(picture.name, picture.png, picture.size, picture.description)
        for study in studies:
            for picture in samples(study, runs):
                file.image(picture.name, picture.png, picture.size, picture.description)
    write_whole(target / NOTES, (f"{note}\n" for note in notes))
    write_whole(target / PINNED, (f"{tag(f'val_{metric}')}\n" for metric in dict.fromkeys((first, "loss"))))
    return target


def _load(studies: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the runs of all studies, numbered from 0, and their curves with that number as `run`."""
    runs = load_runs(*studies)
    if runs.empty:
        raise StudyError(f"no run has ended yet in {', '.join(map(str, studies))}; run `normbench train` first.")
    parts, start = [], 0
    for study in studies:
        curves = load_curves(study)
        own = load_runs(study)["run_id"] if len(studies) > 1 else runs["run_id"]
        place = pd.Series(range(start, start + len(own)), index=own)
        run = curves["run_id"].map(place)
        if run.isna().any():
            lost = curves["run_id"][run.isna()].iloc[0]
            raise StudyError(f"{study / 'curves.csv'} has run {lost}, which runs.csv lacks: restore one of them.")
        runs.loc[start : start + len(own) - 1, "study"] = study.name
        # Means leave out failed runs, and so do mean curves.
        kept = (runs["status"] != "failed").to_numpy(dtype=np.bool_)[run.to_numpy(dtype=np.int64)]
        parts.append(curves.assign(run=run.astype(np.int64))[kept])
        start += len(own)
    return runs, pd.concat(parts, ignore_index=True)


def _write_cells(
    runs: pd.DataFrame, curves: pd.DataFrame, numbers: Ints, keys: pd.DataFrame, folder: Path, wall_time: float
) -> set[str]:
    """Write a session for each cell that is shown, and return the tags of their curves."""
    kept = _kept(runs, numbers, keys)
    points = by_group(averages(curves, np.where(np.isin(numbers, kept), numbers, -1)))
    finals = _finals(runs, numbers, len(keys))
    hparams = keys[_shown(runs)].iloc[kept].to_dict("records")
    tags: set[str] = set()
    for number, row, name in zip(kept, hparams, names(keys[_varying(runs)].iloc[kept], "cell"), strict=True):
        with EventFile(folder / name, wall_time) as file:
            file.hparams(_hparams(row), name)
            tags |= _write_points(file, points[number]) if number in points else set()
            last = int(points[number].steps[-1]) if number in points else 0
            file.scalars({tag: float(values[number]) for tag, values in finals.items()}, last)
    return tags


def _kept(runs: pd.DataFrame, numbers: Ints, keys: pd.DataFrame) -> list[int]:
    """Return the cells that are shown: all, or for each norm equally many with the best validation metric."""
    column = f"val_{first_metric(runs)}"
    mean = metric_statistics(runs, numbers, len(keys), column)["mean_chance_imputed"]
    score = pd.Series(metric_of(column).sign * mean)
    place = score.groupby(keys["norm"], dropna=False).rank(method="first", ascending=False, na_option="bottom")
    return sorted(place.sort_values(kind="stable").index[:MOST_CELLS].tolist())


def _write_norms(
    compared: ComparedArms, curves: pd.DataFrame, charted: Iterable[str], folder: Path, wall_time: float
) -> set[str]:
    """Write the curves of each norm in each setting, and return their tags."""
    known = [name for name in charted if name in curves.columns]
    table = averages(curves[["run", "step", *known]], compared.groups).drop(columns=COUNT)
    points = by_group(table)
    tags: set[str] = set()
    for place, norm in enumerate(compared.norms):
        with EventFile(folder / norm, wall_time) as file:
            for other, setting in enumerate(compared.settings[:MOST_SETTINGS]):
                number = place * len(compared.settings) + other
                if number in points:
                    named = [end for name in known for end in with_interval(norm_tag(name, setting))]
                    tags |= _write_points(file, replace(points[number], tags=named))
    return tags


def _write_points(file: EventFile, points: Points) -> set[str]:
    """Write curves, and return the tags of those that have a point."""
    for step, row in zip(points.steps.tolist(), points.values.tolist(), strict=True):
        file.scalars(dict(zip(points.tags, row, strict=True)), step)
    there = np.isfinite(points.values)
    return {tag for place, tag in enumerate(points.tags) if there[:, place].any()}


def _finals(runs: pd.DataFrame, numbers: Ints, count: int) -> dict[str, Any]:
    """Return the final values of the cells, by tag, each of shape (cells,)."""
    metrics, test = metric_columns(runs.columns), f"test_{first_metric(runs)}"
    known = {metric: metric_statistics(runs, numbers, count, metric) for metric in dict.fromkeys((*metrics, test))}
    values: dict[str, Any] = {metric: found["mean_finished"] for metric, found in known.items()}
    values |= {f"{test}_{end}": known[test][end] for end in ("ci_low", "ci_high")}
    values[f"{test}_chance_imputed"] = known[test]["mean_chance_imputed"]
    values["n"] = np.bincount(numbers, minlength=count)
    values |= {f"n_{status}": count_status(runs, numbers, count, status) for status in ("diverged", "failed")}
    return {name: values[name] for name in _final_tags(runs)}


def _final_tags(runs: pd.DataFrame) -> list[str]:
    """Return the metrics of the table, in its order: the first one on the test part, and nothing that no run has."""
    first = first_metric(runs)
    test = f"test_{first}"
    there = [name for name in metric_columns(runs.columns) if runs[name].notna().any()]
    leading = [name for name in there if (found := metric_column(name)) and found[:2] == ("test", first)]
    metrics = [*leading, *(name for name in there if name not in leading)]
    ends = [f"{test}_{end}" for end in ("ci_low", "ci_high")] if test in metrics else []
    unhappy = [status for status in ("diverged", "failed") if (runs["status"] == status).any()]
    imputed = [f"{test}_chance_imputed"] * has_chance(runs, test)
    return [*metrics[:1], *ends, *imputed, *metrics[1:], "n", *(f"n_{status}" for status in unhappy)]


def _several(runs: pd.DataFrame) -> list[str]:
    return ["study"] if runs["study"].nunique() > 1 else []


def _varying(runs: pd.DataFrame) -> list[str]:
    """Return the columns that name a cell."""
    varied = [*_several(runs), *factors(runs)]
    leading = [name for name in _LEADING if name in varied or name == "norm"]
    return leading + [name for name in varied if name not in leading]


def _shown(runs: pd.DataFrame) -> list[str]:
    """Return the columns of the table of hyper-parameters."""
    leading = [name for name in _LEADING if name != "study" and name in runs]
    return [*_several(runs), *leading, *(name for name in _varying(runs) if name not in _LEADING)]


def _columns(runs: pd.DataFrame) -> dict[str, list[HparamValue]]:
    """Return the distinct values of each hyper-parameter."""
    found: dict[str, set[HparamValue]] = {}
    for row in runs[_shown(runs)].drop_duplicates().to_dict("records"):
        for name, value in _hparams(row).items():
            found.setdefault(name, set()).add(value)
    return {name: list(values) for name, values in found.items()}


def _hparams(row: Mapping[Any, Any]) -> dict[str, HparamValue]:
    return {shown(name): _value(value) for name, value in row.items() if not pd.isna(value)}


def _value(value: Any) -> HparamValue:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    return float(value) if isinstance(value, Real) else shown(value)


def _notes(count: int, compared: ComparedArms, criterion: str) -> list[str]:
    """Return what is left out."""
    left = len(compared.settings) - MOST_SETTINGS
    notes = []
    if count > MOST_CELLS:
        notes.append(
            f"{MOST_CELLS} of {count} cells are shown: for each norm those with the best {criterion}; "
            "`normbench aggregate` shows all."
        )
    if left > 0:
        notes.append(f"{left} of {len(compared.settings)} settings have no chart that compares the norms.")
    return notes


def _about(runs: pd.DataFrame, compared: ComparedArms) -> list[str]:
    """Return what a reader should know, in paragraphs of Markdown."""
    counts = ", ".join(f"{count} {status}" for status, count in runs["status"].value_counts().items())
    return [
        f"{len(runs)} runs: {counts}.",
        "`cells/...`: all seeds of one setting as one curve: the mean, its 95 % t interval (`interval/...`) and "
        "the number of runs behind each point (`n_runs`). Failed runs are left out; diverged ones count until they "
        "diverge.",
        "`norms/...`: each norm in each setting, for the page Custom Scalars"
        + (", each seed at the lr that is best on its own validation set." if compared.tuned else "."),
        "On the page HParams a session is a cell, with the means of its finished runs. `runs.csv` has every run.",
    ]
