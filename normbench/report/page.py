"""The report page: all results in one self-contained file."""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from normbench.analysis.folders import is_packed
from normbench.claims.assertions import Assertion
from normbench.claims.spec import VERDICTS, Claim
from normbench.report.assertions import sentences
from normbench.report.claim_view import ClaimView, claim_views, margin_scale
from normbench.report.contents import Contents, read_study
from normbench.report.draw import draw
from normbench.report.legend import swatch
from normbench.report.palette import theme_css
from normbench.report.panels import Figure
from normbench.report.pictures import PictureTable, picture_tables
from normbench.report.sweep_view import SweepSection, sweep_sections
from normbench.report.text import clean, number, short, signed, spread
from normbench.report.texts import WrittenTexts, written_texts

_FOLDER = Path(__file__).parent

MOST_IDS = 20_000
"""Up to this many runs of a figure are listed by id; beyond, the filter that selects them is shown."""

KIND_TITLES: Mapping[str, str] = {
    "experiment": "Estimated from runs",
    "property": "Proved or computed",
    "fact": "Facts",
    "literature": "Known from the literature only",
}


@dataclass(frozen=True, eq=False)
class StudyView:
    """A study as the template expects it.

    Attributes:
        name: The folder's.
        anchor: Of its section.
        facts: Counts and provenance, by name.
        claims: Its claims by kind, in the order of `KIND_TITLES`.
        detailed: The claims that have their own section.
        axis: The common axis of the effects.
        tally: Number of estimated claims per verdict.
        sweeps: The sections of an ordinary study; empty for a judged one.
        texts: What its models write; none of a judged study.
        pictures: What its models make of pictures; none of a judged study.
        command: The overrides that repeat its last sweep.
        packed: Whether its tables are compressed, so that no run can be added.
        failed: run_id and error of the failed runs that are listed.
        n_failed: How many failed.
    """

    name: str
    anchor: str
    facts: tuple[tuple[str, str], ...]
    claims: tuple[tuple[str, tuple[ClaimView, ...]], ...]
    detailed: tuple[ClaimView, ...]
    axis: str
    tally: tuple[tuple[str, int], ...]
    sweeps: tuple[SweepSection, ...]
    texts: WrittenTexts
    pictures: tuple[PictureTable, ...]
    command: str
    packed: bool
    failed: tuple[tuple[str, str], ...]
    n_failed: int


def page(folders: Sequence[Path], claims: Mapping[str, Claim], assertions: Sequence[Assertion] = ()) -> str:
    """Return the page of some studies.

    Args:
        folders: The studies.
        claims: The catalogue.
        assertions: What popular texts say, for the table of sentences and verdicts.

    Raises:
        StudyError: A file of a study is missing or damaged.
        ConfigError: A claim names a sentence that does not exist.
    """
    studies = [_study_view(read_study(folder, claims), f"s{place}") for place, folder in enumerate(folders)]
    judged = [(study.anchor, view) for study in studies for _, views in study.claims for view in views]
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    style = theme_css() + (_FOLDER / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = _environment().from_string((_FOLDER / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        studies=studies, kinds=KIND_TITLES, title=_title(folders), script=Markup(script), style=Markup(style),
        digest=digest, said=sentences(assertions, claims, judged), said_in=judged[0][0] if judged else "",
    )  # fmt: skip


def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    filters = {
        "short": short, "clean": clean, "number": number, "signed": signed, "svg": Markup,
        "swatch": swatch,
    }  # fmt: skip
    environment.filters.update(filters)
    environment.globals.update(drawn=_drawn, listing=_listing, spread=spread)
    return environment


def _title(folders: Sequence[Path]) -> str:
    return ", ".join(folder.name or str(folder) for folder in folders)


def _drawn(figure: Figure, anchor: str) -> list[Markup]:
    """Return the panels of a figure as SVG."""
    return [Markup(draw(panel, f"{anchor}-{figure.id}-{place}")) for place, panel in enumerate(figure.panels)]


def _listing(figure: Figure) -> bool:
    """Return whether the runs behind a figure are few enough to be listed."""
    return sum(len(ids) for panel in figure.panels for _, ids in panel.behind) <= MOST_IDS


def _study_view(study: Contents, anchor: str) -> StudyView:
    runs = study.tables.runs
    views = claim_views(study)
    failed = runs[runs["status"] == "failed"] if len(runs) else runs
    views = sorted(views, key=lambda view: VERDICTS.index(str(view.row["verdict"])))
    by_kind = {kind: tuple(view for view in views if view.kind == kind) for kind in KIND_TITLES}
    tally = Counter(str(view.row["verdict"]) for view in by_kind["experiment"])
    return StudyView(
        study.folder.name,
        anchor,
        _facts(study),
        tuple((kind, own) for kind, own in by_kind.items() if own),
        tuple(view for view in views if view.has_section),
        margin_scale(study.verdicts).axis(),
        tuple((name, tally[name]) for name in VERDICTS if tally[name]),
        sweep_sections(anchor, runs, study.tables.curves.whole()) if len(runs) and not views else (),
        written_texts(study.folder, runs if not views else runs.head(0)),
        picture_tables(study.folder, runs if not views else runs.head(0)),
        " ".join(study.command),
        is_packed(study.folder),
        tuple(zip(failed["run_id"].head(50), failed["error"].fillna("").head(50), strict=True)) if len(failed) else (),
        len(failed),
    )


def _facts(study: Contents) -> tuple[tuple[str, str], ...]:
    """Return the first facts about a study: its size, where it ran, and which code ran it."""
    runs = study.tables.runs
    counts: dict[str, Any] = {"runs": f"{len(runs):,}"}
    if len(runs):
        counts |= {str(status): f"{count:,}" for status, count in runs["status"].value_counts().sort_index().items()}
        counts["seeds"] = f"{runs['seed'].nunique():,}"
        counts["data"] = ", ".join(sorted(map(str, runs["data"].dropna().unique())))
    found = study.provenance
    words = {"normbench": "normbench", "torch": "torch", "device_name": "device", "platform": "platform"}
    counts |= {words[name]: "; ".join(found[name]) for name in words if found.get(name)}
    if commits := found.get("git_commit"):
        dirty = " (some with uncommitted changes)" if "true" in found.get("git_dirty", ()) else ""
        counts["commit"] = ", ".join(commit[:12] for commit in commits) + dirty
    return tuple((name, str(value)) for name, value in counts.items())
