"""A claim as the page shows it: its verdict, arms and figures, and the claims that contradict it."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import yaml

from normbench.analysis.folders import is_packed
from normbench.analysis.intervals import Floats, clopper_pearson, t_interval
from normbench.claims.designs import Design, kept
from normbench.claims.estimands import DECIMALS
from normbench.claims.estimands.arms import MeasuredArm
from normbench.claims.estimands.contrast import in_words
from normbench.claims.estimands.measures import Measured
from normbench.claims.signed_rank import hodges_lehmann, interval
from normbench.claims.spec import Claim
from normbench.errors import StudyError
from normbench.report.claim_figures import claim_figures
from normbench.report.contents import Contents, Row
from normbench.report.design import MeasuredDesign
from normbench.report.findings import Findings, findings, values_by_level
from normbench.report.palette import norm_style
from normbench.report.panels import Figure
from normbench.report.strip import Scale, strip
from normbench.report.text import number, setting, signed, spread

MOST_LISTED = 4000
"""Runs of an arm that are listed by id."""


@dataclass(frozen=True, eq=False)
class ArmRow:
    """A row of the table of arms."""

    label: str
    measured: str
    picture: str
    mean: float
    text: str
    n: int
    collapsed: int
    tuned: str
    edges: str
    run_ids: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class EffectRow:
    """The effect at a level, seed by seed."""

    label: str
    picture: str
    text: str
    n: int


@dataclass(frozen=True, eq=False)
class ClaimView:
    """A claim with its verdict. What only experiments have is empty for other kinds and for claims not run.

    Attributes:
        id: The claim's.
        claim: The claim; None if the catalogue has none with that id.
        row: Its row of verdicts.csv.
        picture: The interval of the effect in units of the margin.
        notes: What is wrong with the records, or out of date.
        effects: The effect seed by seed, one row per level.
        effect_axis: The scale of these rows.
        arms: What is compared.
        arm_axis: The scale of these rows.
        figures: Chosen by the design.
        surroundings: All arms of the design; none if they are those compared.
        surroundings_axis: The scale of these rows.
        contrasts: Its rows of contrasts.csv.
        against: Rows of verdicts.csv of the claims that it contradicts, with their scope.
        collapse: Share of seeds that collapsed, in words.
        command: Trains the missing runs and judges.
        design: The judged part as YAML.
        seeds: How many seeds the design has.
        runs: How many runs the design has.
    """

    id: str
    claim: Claim | None
    row: Row
    picture: str = ""
    notes: tuple[str, ...] = ()
    effects: tuple[EffectRow, ...] = ()
    effect_axis: str = ""
    arms: tuple[ArmRow, ...] = ()
    arm_axis: str = ""
    figures: tuple[Figure, ...] = ()
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


def claim_views(study: Contents) -> list[ClaimView]:
    """Return every claim of a study's verdicts.csv, in its order."""
    by_id = {str(row["claim"]): row for row in study.verdicts}
    scale = margin_scale(study.verdicts)
    return [_view(study, row, by_id, scale) for row in study.verdicts]


def margin_scale(verdicts: tuple[Row, ...]) -> Scale:
    """Return the common axis of the effects, in units of each claim's margin."""
    return Scale.in_margins(
        row[name] / row["margin"] for row in verdicts for name in ("effect", "ci_low", "ci_high") if row["margin"] > 0
    )


def _view(study: Contents, row: Row, by_id: dict[str, Row], scale: Scale) -> ClaimView:
    name = str(row["claim"])
    claim = study.claims.get(name)
    shared: dict[str, Any] = {
        "picture": _in_margins(row, scale),
        "contrasts": tuple(one for one in study.contrasts if one["claim"] == name),
        "collapse": _collapse(row),
        "command": (claim.command if claim else f"normbench claims run {name}") + _place(study),
    }
    if claim is None:
        return ClaimView(
            name, None, row, notes=("The catalogue has no claim with this id; pass its --config-dir.",), **shared
        )
    against = [other for other in claim.contradicts if other in by_id and other in study.claims]
    shared["against"] = tuple((by_id[other], study.claims[other]) for other in against)
    shared["design"] = _design_text(claim)
    if claim.spec_sha256 != row["spec_sha256"]:
        versions = f"{row['spec_sha256'][:12]}, the catalogue has {claim.spec_sha256[:12]}"
        note = f"The verdict is for another version of the claim: {versions}."
        return ClaimView(name, claim, row, notes=(note,), **shared)
    try:
        design = kept(study.folder, claim)
        if not isinstance(design, Design):
            numbers = tuple(design.numbers.items()) if design is not None else ()
            return ClaimView(name, claim, row, checked=numbers, **shared)
        found = findings(claim, design, study.tables)
    except StudyError as error:
        return ClaimView(name, claim, row, notes=(str(error),), **shared)
    return _experiment(found, row, design, shared)


def _experiment(found: Findings, row: Row, design: Design, shared: dict[str, Any]) -> ClaimView:
    judged = int(row["n_seeds"]) if np.isfinite(row["n_seeds"]) else 0
    levels = values_by_level(found.contrast)
    margin = found.claim.margin or 0.0
    effect_scale = Scale.around(np.concatenate(list(levels.values())), margin)
    arm_scale = Scale.around(np.concatenate([arm.measured.values.to_numpy(np.float64) for arm in found.arms]))
    notes = (_stale(row, levels, judged),) if judged else ()
    design_arms = MeasuredDesign.of(found)
    around = design_arms.arms() if len(design_arms.ends) > len(found.arms) else []
    around_scale = Scale.around(design_arms.frame["value"])
    return ClaimView(
        found.claim.id, found.claim, row,
        notes=tuple(filter(None, notes)),
        effects=tuple(
            _effect_row(name, values, judged, effect_scale, found.claim.unit) for name, values in levels.items()
        ),
        effect_axis=effect_scale.axis(),
        arms=tuple(_arm_row(arm, arm_scale) for arm in found.arms),
        arm_axis=arm_scale.axis(),
        figures=tuple(claim_figures(found, design_arms)),
        surroundings=tuple(_surrounding_row(arm, own, design_arms, around_scale) for arm, own in around),
        surroundings_axis=around_scale.axis(),
        seeds=len(design.seeds),
        runs=len(design.runs),
        **shared,
    )  # fmt: skip


def _stale(row: Row, levels: dict[str, Floats], judged: int) -> str:
    """Return a warning if the effect in verdicts.csv differs from the records."""
    level = str(row.get("level", ""))
    values = levels.get(level, next(iter(levels.values())))[:judged]
    if len(values) == judged and np.isclose(float(hodges_lehmann(values)), row["effect"], rtol=0, atol=10**-DECIMALS):
        return ""
    return "The records give another effect than verdicts.csv; `normbench claims verdict` updates it."


def _effect_row(label: str, values: Floats, judged: int, scale: Scale, unit: str) -> EffectRow:
    own = values[:judged] if judged else values
    low, high = (float(end) for end in interval(own))
    typical = float(hodges_lehmann(own))
    text = f"{signed(typical)} {spread(low, high)} {unit}"
    return EffectRow(label, strip(scale, values, typical, low, high, "ink", f"{label} {text}"), text, len(own))


def _arm_row(seen: MeasuredArm, scale: Scale) -> ArmRow:
    runs = seen.measured.rows
    values = np.asarray(seen.measured.values, dtype=np.float64)
    mean, text, low, high = _summary(values)
    label = in_words(dict(seen.arm)) or "all runs"
    return ArmRow(
        label,
        seen.measured.words,
        strip(scale, values, mean, low, high, _colour(runs["norm"].unique().tolist()), f"{label}: {text}"),
        mean,
        text,
        len(values),
        int(seen.measured.collapsed.sum()),
        _tuned(seen.measured),
        ", ".join(f"{edge.end} end: {edge.seeds}" for edge in seen.measured.edges),
        tuple(runs["run_id"])[:MOST_LISTED],
    )


def _colour(norms: list[Any]) -> str:
    """Return the colour of an arm: its norm's, if it has a single one."""
    return norm_style(str(norms[0])).colour if len(norms) == 1 and norms[0] else "ink"


def _summary(values: Floats) -> tuple[float, str, float, float]:
    """Return the mean, it and its 95 % t interval in words, and the ends of that."""
    mean = float(values.mean())
    sd = float(values.std(ddof=1)) if len(values) > 1 else np.nan
    low, high = (float(end) for end in t_interval(mean, sd, len(values)))
    return mean, f"{number(mean)} [{number(low)}, {number(high)}]", low, high


def _surrounding_row(arm: dict[str, Any], own: pd.DataFrame, design: MeasuredDesign, scale: Scale) -> ArmRow:
    values = own["value"].to_numpy(dtype=np.float64)
    mean, text, low, high = _summary(values)
    label = setting(arm) or "all runs"
    return ArmRow(
        label,
        design.words,
        strip(scale, values, mean, low, high, _colour([arm.get("norm", "")]), f"{label}: {text}"),
        mean,
        text,
        len(values),
        int(own["lost"].sum()),
        "",
        ", ".join(sorted(design.ends[tuple(arm.values())])),
        tuple(" ".join(own["run_id"]).split())[:MOST_LISTED],
    )


def _tuned(measured: Measured) -> str:
    """Return the values that most seeds choose, and how many do."""
    if not measured.chosen:
        return ""
    runs = measured.rows.to_dict("records")
    votes = Counter(in_words({name: _plain(run[name]) for name in measured.chosen}) for run in runs)
    (best, count), *_ = sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))
    return f"{best} ({count} of {len(runs)})"


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return f"{value:.4g}" if isinstance(value, float) else value


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


def _design_text(claim: Claim) -> str:
    """Return the judged part of a claim as YAML."""
    if claim.estimand is None:
        return yaml.safe_dump({"check": claim.check}) if claim.check else ""
    parts: dict[str, Any] = {"design": [" ".join(sweep) for sweep in claim.design]}
    if claim.over is not None:
        parts["over"] = {name: getattr(claim.over, name) for name in ("key", "lowest", "highest", "step")}
    parts["estimand"] = json.loads(json.dumps({"name": claim.estimand.name, "args": claim.estimand.args}))
    parts |= {"form": claim.form, "margin": claim.margin, "unit": claim.unit}
    return yaml.safe_dump(parts, sort_keys=False, allow_unicode=True, width=110)
