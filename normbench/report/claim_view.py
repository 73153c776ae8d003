"""A claim as the page shows it: the verdicts on it and its cells, arms, figures, and what contradicts it."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import yaml

from normbench.analysis.folders import is_packed
from normbench.analysis.intervals import Floats, clopper_pearson
from normbench.claims.designs import Design, kept
from normbench.claims.estimands import DECIMALS
from normbench.claims.signed_rank import hodges_lehmann
from normbench.claims.spec import Cell, Claim, Estimand
from normbench.errors import StudyError
from normbench.report.claim_figures import claim_figures
from normbench.report.claim_rows import ArmRow, EffectRow, arm_row, effect_row, surrounding_row
from normbench.report.contents import Contents, Row
from normbench.report.design import MeasuredDesign
from normbench.report.dose_figures import dose_figure
from normbench.report.findings import Findings, findings, values_by_level
from normbench.report.panels import Figure
from normbench.report.strip import Scale, strip
from normbench.report.text import number


@dataclass(frozen=True, eq=False)
class ClaimView:
    """A claim or one of its cells with its verdict. What the records lack, or another kind has, is empty.

    Attributes:
        id: The claim's; with that of its cell, if this is a named one.
        claim: The claim; None if the catalogue has none with that id.
        row: Its row of verdicts.csv.
        cell: The cell; None for a claim as a whole with named cells, or without any.
        cells: The named cells.
        picture: The interval of the effect in units of the margin.
        notes: What is wrong with the records, or out of date.
        effects: The effect seed by seed, one row per level.
        effect_axis: The scale of these rows.
        arms: What is compared.
        arm_axis: The scale of these rows.
        figures: Chosen by the design.
        doses: The effect over each of its doses, a panel per cell; only for a claim as a whole.
        surroundings: All arms of the design; none if they are those compared.
        surroundings_axis: The scale of these rows.
        contrasts: Its rows of contrasts.csv.
        against: Rows of verdicts.csv of the claims that it contradicts, with their scope.
        collapse: Share of seeds that collapsed, in words.
        command: Trains the missing runs and judges.
        design: The judged part as YAML.
        seeds: How many seeds the design has.
        runs: How many runs the design has.
        checked: What the check of a property or fact computed, by name.
    """

    id: str
    claim: Claim | None
    row: Row
    cell: Cell | None = None
    cells: tuple["ClaimView", ...] = ()
    picture: str = ""
    notes: tuple[str, ...] = ()
    effects: tuple[EffectRow, ...] = ()
    effect_axis: str = ""
    arms: tuple[ArmRow, ...] = ()
    arm_axis: str = ""
    figures: tuple[Figure, ...] = ()
    doses: tuple[Figure, ...] = ()
    surroundings: tuple[ArmRow, ...] = ()
    surroundings_axis: str = ""
    contrasts: tuple[Row, ...] = ()
    against: tuple[tuple[Row, Claim], ...] = ()
    collapse: str = ""
    command: str = ""
    design: str = ""
    seeds: int = 0
    runs: int = 0
    checked: tuple[tuple[str, float], ...] = field(default_factory=tuple)

    @property
    def kind(self) -> str:
        """The kind of claim, as in verdicts.csv."""
        return str(self.row["kind"])

    @property
    def has_effect(self) -> bool:
        """Whether an effect was estimated."""
        return bool(np.isfinite(self.row["effect"]))

    @property
    def has_section(self) -> bool:
        """Whether there is more to show than its row."""
        return self.kind == "experiment" and bool(
            self.arms or self.has_effect or any(c.has_section for c in self.cells)
        )


def claim_views(study: Contents) -> list[ClaimView]:
    """Return every claim of a study's verdicts.csv, in its order, each with its cells."""
    by_id = {str(row["claim"]): row for row in study.verdicts if not row["cell"]}
    scale = margin_scale(study.verdicts)
    views = [_view(study, row, by_id, scale) for row in study.verdicts]
    named: dict[str, list[ClaimView]] = {}
    for view in views:
        if view.row["cell"]:
            named.setdefault(str(view.row["claim"]), []).append(view)
    return [replace(view, cells=tuple(named.get(view.id, ()))) for view in views if not view.row["cell"]]


def margin_scale(verdicts: tuple[Row, ...]) -> Scale:
    """Return the common axis of the effects, in units of each cell's margin."""
    return Scale.in_margins(
        row[name] / row["margin"] for row in verdicts for name in ("effect", "ci_low", "ci_high") if row["margin"] > 0
    )


def _view(study: Contents, row: Row, by_id: dict[str, Row], scale: Scale) -> ClaimView:
    name, place = str(row["claim"]), str(row["cell"])
    claim = study.claims.get(name)
    cell = next((one for one in claim.cells if one.name == place), None) if claim else None
    view = ClaimView(
        f"{name}.{place}" if place else name,
        claim,
        row,
        cell,
        picture=_in_margins(row, scale),
        contrasts=tuple(one for one in study.contrasts if (one["claim"], one["cell"]) == (name, place)),
        collapse=_collapse(row),
        command=(claim.command if claim else f"normbench claims run {name}") + _place(study),
    )
    if claim is None or (place and cell is None):
        what = "cell of this name" if claim else "claim with this id"
        return replace(view, notes=(f"The catalogue has no {what}; pass its --config-dir.",))
    against = [other for other in claim.contradicts if other in by_id and other in study.claims and not place]
    view = replace(
        view,
        against=tuple((by_id[other], study.claims[other]) for other in against),
        doses=() if place else _doses(study, claim),
        design=_design_text(cell) if cell else yaml.safe_dump({"check": claim.check}) if claim.check else "",
    )
    spec = (cell or claim).spec_sha256
    if spec != row["spec_sha256"]:
        versions = f"{row['spec_sha256'][:12]}, the catalogue has {spec[:12]}"
        return replace(view, notes=(f"The verdict is for another version of the claim: {versions}.",))
    try:
        if cell is None:
            finding = None if claim.cells else kept(study.folder, claim)
            return replace(view, checked=tuple(finding.numbers.items()) if finding else ())
        design = kept(study.folder, cell)
        return view if design is None else _experiment(view, findings(cell, design, study.tables), design)
    except StudyError as error:
        return replace(view, notes=(str(error),))


def _experiment(view: ClaimView, found: Findings, design: Design) -> ClaimView:
    row = view.row
    judged = int(row["n_seeds"]) if np.isfinite(row["n_seeds"]) else 0
    levels = values_by_level(found.contrast)
    effect_scale = Scale.around(np.concatenate(list(levels.values())), found.cell.margin)
    arm_scale = Scale.around(np.concatenate([arm.measured.values.to_numpy(np.float64) for arm in found.arms]))
    notes = (_stale(row, levels, judged),) if judged else ()
    design_arms = MeasuredDesign.of(found)
    around = design_arms.arms() if len(design_arms.ends) > len(found.arms) else []
    around_scale = Scale.around(design_arms.frame["value"])
    return replace(
        view,
        notes=tuple(filter(None, notes)),
        effects=tuple(
            effect_row(name, values, judged, effect_scale, found.cell.unit) for name, values in levels.items()
        ),
        effect_axis=effect_scale.axis(),
        arms=tuple(arm_row(arm, arm_scale) for arm in found.arms),
        arm_axis=arm_scale.axis(),
        figures=tuple(claim_figures(found, design_arms)),
        surroundings=tuple(surrounding_row(arm, own, design_arms, around_scale) for arm, own in around),
        surroundings_axis=around_scale.axis(),
        seeds=len(design.seeds),
        runs=len(design.runs),
    )


def _doses(study: Contents, claim: Claim) -> tuple[Figure, ...]:
    rows = [row for row in study.doses if row["claim"] == claim.id]
    margins = {
        cell.name: (cell.margin,) if cell.form == "greater" else (-cell.margin, cell.margin) for cell in claim.cells
    }
    labels = dict.fromkeys(curve.label for cell in claim.cells for curve in cell.curves)
    figures = (
        dose_figure(
            [row for row in rows if row["curve"] == label or str(row["curve"]).startswith(f"{label}, ")],
            margins,
            f"{claim.id}-dose-{place}",
        )
        for place, label in enumerate(labels)
    )
    return tuple(figure for figure in figures if figure is not None)


def _stale(row: Row, levels: dict[str, Floats], judged: int) -> str:
    """Return a warning if the effect in verdicts.csv differs from the records."""
    level = str(row.get("level", ""))
    values = levels.get(level, next(iter(levels.values())))[:judged]
    if len(values) == judged and np.isclose(float(hodges_lehmann(values)), row["effect"], rtol=0, atol=10**-DECIMALS):
        return ""
    return "The records give another effect than verdicts.csv; `normbench claims verdict` updates it."


def _place(study: Contents) -> str:
    """Return the option that trains into the study, if it accepts more runs."""
    return "" if is_packed(study.folder) else f" --study {study.folder.name}"


def _collapse(row: Row) -> str:
    hits, n = row.get("n_collapsed", np.nan), row["n_seeds"]
    if not np.isfinite(hits) or not n:
        return ""
    low, high = clopper_pearson(hits, n)
    return f"{int(hits)} of {int(n)} seeds collapsed, 95 % interval {float(low):.1%} to {float(high):.1%}"


def _in_margins(row: Row, scale: Scale) -> str:
    if not np.isfinite(row["effect"]) or not row["margin"] > 0:
        return ""
    effect, low, high = (row[name] / row["margin"] for name in ("effect", "ci_low", "ci_high"))
    colour = VERDICT_COLOURS.get(str(row["verdict"]), "muted")
    words = f"{number(effect)} margins, 95 % {number(low)} to {number(high)}"
    return strip(scale, np.empty(0), effect, low, high, colour, words)


VERDICT_COLOURS = {"supported": "green", "refuted": "vermillion", "inconclusive": "muted"}


def _design_text(cell: Cell) -> str:
    """Return the judged part of a cell as YAML."""
    parts: dict[str, Any] = {"design": [" ".join(sweep) for sweep in cell.design]}
    if cell.over is not None:
        parts["over"] = {name: getattr(cell.over, name) for name in ("key", "lowest", "highest", "step")}
    parts["estimand"] = _plain_estimand(cell.estimand)
    parts |= {"form": cell.form, "margin": cell.margin, "unit": cell.unit}
    if (asked := cell.manipulation) is not None:
        estimand = _plain_estimand(asked.estimand)
        parts["manipulation"] = {
            "label": asked.label, "estimand": estimand, "margin": asked.margin, "unit": asked.unit,
        }  # fmt: skip
    return yaml.safe_dump(parts, sort_keys=False, allow_unicode=True, width=110)


def _plain_estimand(estimand: Estimand) -> Any:
    return json.loads(json.dumps({"name": estimand.name, "args": estimand.args}))
