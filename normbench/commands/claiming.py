"""What `normbench claims` does: train the missing runs of claims, take a second look at undecided ones, judge."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from normbench.analysis.refresh import refresh
from normbench.api import Session, open_session
from normbench.claims.designs import Design, FixedFinding, check_catalogue, keep, kept
from normbench.claims.family import LOOKS
from normbench.claims.judge import second_look
from normbench.claims.signed_rank import hodges_lehmann
from normbench.claims.spec import Claim, Over
from normbench.claims.verdicts import Judged, Tables, contrast_of, contrast_rows, judge_study, write_verdicts
from normbench.commands.terminal import SweepView, say
from normbench.config.compose import Compositions
from normbench.config.sweep import Sweep, expand
from normbench.config.texts import literal
from normbench.engine.interrupt import OutOfTime
from normbench.errors import ConfigError, NormbenchError, StudyError
from normbench.properties import CHECKS
from normbench.record.store import Study

FIRST_SEEDS = range(LOOKS[0].seeds)
"""Seeds of the first look."""

TRIAL_SEEDS = (1000, 1001)
"""Seeds of a quick run; no verdict uses them."""


@dataclass(frozen=True)
class Request:
    """What to judge, and where.

    Attributes:
        claims: The whole catalogue.
        chosen: Ids of the claims to run.
        study: Where runs and verdicts go.
        config_dir: A user's own conf folder.
        settings: Overrides of `engine`, `log`, `data.root` and `data.download`.
        composed: Cache of composed configs, shared by all claims.
    """

    claims: Mapping[str, Claim]
    chosen: Sequence[str]
    study: Path
    config_dir: Path | None
    settings: tuple[str, ...] = ()
    composed: Compositions = field(default_factory=dict)

    def sweep(self, claim: Claim, seeds: Iterable[int], over: Over | None) -> Sweep:
        """Return every run of a claim's design.

        Raises:
            ConfigError: If normbench lacks something that the design needs.
        """
        # The location of the data is not part of a design, and private.
        given = {text.lstrip("+~").partition("=")[0] for text in self.settings}
        place = (f"study={literal(self.study.name)}", f"results_dir={literal(str(self.study.parent))}")
        sweeps = [
            expand(
                (*overrides, *self.settings, *place),
                multirun=True,
                config_dir=self.config_dir,
                composed=self.composed,
            )
            for overrides in claim.sweeps(seeds, over)
        ]
        return Sweep(
            requested=tuple(one for sweep in sweeps for one in sweep.requested),
            settings=sweeps[0].settings,
            changed=tuple(sorted({key for sweep in sweeps for key in sweep.changed} - given)),
            multirun=True,
            notes=tuple(dict.fromkeys(note for sweep in sweeps for note in sweep.notes)),
            config="---\n".join(sweep.config for sweep in sweeps),
        )

    def session(self, claim: Claim, seeds: Sequence[int], over: Over | None) -> Session:
        """Plan a claim's design.

        Raises:
            NormbenchError: As for `sweep`, or if the records of the study are damaged.
        """
        return open_session(sum(claim.sweeps(seeds, over), ()), sweep=self.sweep(claim, seeds, over))

    def begin(self) -> None:
        """Plan one seed of each chosen design, to find errors before anything starts; create the study.

        Raises:
            ConfigError: If normbench lacks something that a design needs.
            StudyError: If the study's records are damaged, compressed, or of claims not in the catalogue, or if its
                folder is not writable.
        """
        check_catalogue(self.study, self.claims)
        for claim in (self.claims[name] for name in self.chosen):
            try:
                if claim.design:
                    self.session(claim, FIRST_SEEDS[:1], claim.over)
            except StudyError:
                raise
            except NormbenchError as error:
                raise ConfigError(f"{claim.id} cannot be run: {error}") from error
        Study(self.study).create()


def run_claims(request: Request, *, minutes: float | None) -> tuple[list[Judged], list[str]]:
    """Train the missing runs of the chosen claims, in two looks, and judge.

    Args:
        request: What to judge.
        minutes: Time after which nothing new is started; None sets no limit.

    Returns:
        The verdicts of the whole catalogue, and the failed runs.

    Raises:
        NormbenchError: If the records are damaged or cannot be written.
    """
    problems: list[str] = []
    chosen = [request.claims[name] for name in request.chosen]
    for claim in chosen:
        if claim.check:
            _check(claim, request.study)
    experiments = [claim for claim in chosen if claim.kind == "experiment"]
    judged: list[Judged] = []
    until = time.monotonic() + 60 * minutes if minutes is not None else math.inf
    try:
        for look in LOOKS:
            for claim in experiments:
                _train_look(request, claim, look.seeds, problems, until)
            judged = judge_study(request.study, request.claims, strict=False)
            undecided = set(second_look([one.verdict for one in judged if one.claim.kind == "experiment"]))
            experiments = [claim for claim in experiments if claim.id in undecided]
    except OutOfTime:
        say(f"the {minutes:g} minutes are over; the same command continues from here.")
        return judge(request.study, request.claims), problems
    judged = judge(request.study, request.claims)
    silent = [one for one in judged if one.claim.design and one.claim.id in request.chosen]
    problems += [f"{one.claim.id}: {one.verdict.reason}" for one in silent if one.verdict.verdict == "not_run"]
    return judged, problems


def judge(study: Path, claims: Mapping[str, Claim]) -> list[Judged]:
    """Judge a catalogue from the records of a study; write verdicts.csv and contrasts.csv."""
    if note := refresh(study):
        say(note)
    tables = Tables.of(study)
    judged = judge_study(study, claims, tables, strict=False)
    write_verdicts(study, judged, contrast_rows(study, claims, tables))
    return judged


def try_claims(request: Request) -> tuple[list[str], list[str]]:
    """Train the chosen claims on two seeds that no verdict uses.

    Returns:
        One line per claim with its effect on those seeds, which decides nothing; and the failed runs.
    """
    lines: list[str] = []
    problems: list[str] = []
    for claim in (request.claims[name] for name in request.chosen):
        if claim.kind != "experiment":
            continue
        assert claim.estimand is not None
        design = _train(request, claim, TRIAL_SEEDS, claim.over, problems)
        try:
            contrast = contrast_of(claim.estimand, design, Tables.of(request.study))
        except StudyError as error:
            lines.append(f"{claim.id}: {error}")
            continue
        effects = hodges_lehmann(np.atleast_2d(contrast.values.to_numpy(dtype=np.float64).T))
        edges = "".join(f"; at the {edge.end} end of the grid: {edge.arm}" for edge in contrast.edges)
        lines.append(f"{claim.id}: {', '.join(f'{effect:+.3g}' for effect in effects)} {claim.unit}{edges}")
    return lines, problems


def _train_look(request: Request, claim: Claim, count: int, problems: list[str], until: float) -> None:
    """Train a claim on the first seeds; extend its grid while an arm's optimum or limit is at an end of it.

    Seeds and rates that it already has stay part of its design.
    """
    assert claim.estimand is not None
    grid, seen = _so_far(claim, request.study)
    seeds = range(max(count, seen))
    while True:
        design = _train(request, claim, seeds, grid, problems, until)
        keep(request.study, claim.id, design)
        try:
            edges = contrast_of(claim.estimand, design, Tables.of(request.study)).open_edges
        except StudyError:
            return  # Its verdict gives the reason.
        longer = grid
        for end in sorted({edge.end for edge in edges}):
            longer = (longer and longer.extended(end)) or longer
        if longer == grid or longer is None:
            return
        say(f"{claim.id}: {edges[0].arm} is at the {edges[0].end} end of its grid, which is extended for every arm")
        grid = longer


def _so_far(claim: Claim, study: Path) -> tuple[Over | None, int]:
    """Return the current grid of a claim, and its number of seeds."""
    try:
        design = kept(study, claim)
    except StudyError:
        # From another version of the claim: start again.
        return claim.over, 0
    if not isinstance(design, Design):
        return claim.over, 0
    if claim.over is None or not design.over:
        return claim.over, len(design.seeds)
    return replace(claim.over, lowest=design.over[0], highest=design.over[1]), len(design.seeds)


def _train(
    request: Request,
    claim: Claim,
    seeds: Sequence[int],
    grid: Over | None,
    problems: list[str],
    until: float = math.inf,
) -> Design:
    """Train the missing runs of a design."""
    session = request.session(claim, seeds, grid)
    problems += carry_out(session, claim, until)
    ends = (grid.lowest, grid.highest) if grid else ()
    return Design(claim.spec_sha256, tuple(seeds), tuple(session.plan.runs), ends)


def carry_out(session: Session, claim: Claim, until: float = math.inf) -> list[str]:
    """Train the missing runs of a design, and return the failures.

    Raises:
        OutOfTime: If time.monotonic passes `until` before all runs are trained; finished runs are kept.
    """
    with session.alone(say) as ready:
        if ready.to_train:
            say(f"{claim.id}: {len(ready.plan.runs)} runs, {ready.to_train} to train")
            with SweepView(ready.to_train, None) as view:
                ready.keep_times(ready.execute(view, until))
    refresh(session.study.folder)
    return [f"{claim.id}: run {run_id} failed: {error}" for run_id, error in sorted(session.failures().items())]


def _check(claim: Claim, study: Path) -> None:
    found = CHECKS[claim.check]()
    numbers = {name: float(number) for name, number in found.numbers.items()}
    keep(study, claim.id, FixedFinding(claim.spec_sha256, found.verdict, found.outcome, found.evidence, numbers))
