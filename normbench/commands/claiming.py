"""What `normbench claims` does: train the missing runs of cells, look again at undecided ones, judge."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from normbench.analysis.refresh import refresh
from normbench.api import Session, open_session
from normbench.claims.designs import Design, FixedFinding, check_catalogue, keep, kept
from normbench.claims.family import STANDARD_LOOKS
from normbench.claims.judgement import Judgement
from normbench.claims.ledger import TRIAL_SEEDS
from normbench.claims.signed_rank import hodges_lehmann
from normbench.claims.spec import Cell, Claim, Over
from normbench.claims.tables import Tables, contrast_of
from normbench.claims.verdicts import Judged, judge_study
from normbench.commands.terminal import SweepView, say
from normbench.config.compose import Compositions
from normbench.config.sweep import Sweep, expand, joined
from normbench.config.texts import literal
from normbench.engine.interrupt import Detached, OutOfTime
from normbench.engine.prepare import prepare
from normbench.errors import ConfigError, NormbenchError, StudyError
from normbench.plan import Plan, merged
from normbench.properties import CHECKS
from normbench.record.store import Study


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

    @property
    def cells(self) -> list[Cell]:
        """The cells of the chosen claims."""
        return [cell for name in self.chosen for cell in self.claims[name].cells]

    def sweep(self, cell: Cell, seeds: Iterable[int], over: Over | None) -> Sweep:
        """Return every run of a cell's design.

        Raises:
            ConfigError: If normbench lacks something that the design needs.
        """
        # The location of the data is not part of what is compared, and private.
        hidden = {"data.root", *(text.lstrip("+~").partition("=")[0] for text in self.settings)}
        place = (f"study={literal(self.study.name)}", f"results_dir={literal(str(self.study.parent))}")
        sweeps = [
            expand(
                (*overrides, *self.settings, *place),
                multirun=True,
                config_dir=self.config_dir,
                composed=self.composed,
            )
            for overrides in cell.sweeps(seeds, over)
        ]
        return joined(sweeps, hidden=hidden)

    def session(self, due: Iterable[tuple[Cell, Design]]) -> tuple[Session, list[tuple[Cell, Design]]]:
        """Plan designs of cells together: runs that they share are trained once.

        Args:
            due: Each cell with the seeds and the grid to train.

        Returns:
            The session, and each cell with its design and the run_ids of that.

        Raises:
            NormbenchError: As for `sweep`, or if the records of the study are damaged.
        """
        return _together([(cell, design, *self._plan(cell, design)) for cell, design in due])

    def _plan(self, cell: Cell, design: Design) -> tuple[Sweep, Plan]:
        sweep = self.sweep(cell, design.seeds, _grid(cell, design))
        return sweep, prepare(sweep.requested, sweep.settings, multirun=True)

    def begin(self) -> None:
        """Plan one seed of each chosen design, to find errors before anything starts; create the study.

        Raises:
            ConfigError: If normbench lacks something that a design needs.
            StudyError: If the study's records are damaged, compressed, or of claims not in the catalogue, or if its
                folder is not writable.
        """
        check_catalogue(self.study, self.claims)
        planned: list[_Planned] = []
        for cell in self.cells:
            design = first_look(cell)
            design = replace(design, seeds=design.seeds[:1])
            try:
                planned.append((cell, design, *self._plan(cell, design)))
            except NormbenchError as error:
                raise ConfigError(f"{cell.id} cannot be run: {error}") from error
        if planned:
            _together(planned)
        Study(self.study).create()


_Planned = tuple[Cell, Design, Sweep, Plan]


def _together(planned: Sequence[_Planned]) -> tuple[Session, list[tuple[Cell, Design]]]:
    """Return one session, which reads the study once, and each cell with its design and the run_ids of that."""
    session = open_session(
        [text for cell, design, _, _ in planned for text in sum(cell.sweeps(design.seeds, _grid(cell, design)), ())],
        sweep=joined([sweep for _, _, sweep, _ in planned]),
        plan=merged([plan for _, _, _, plan in planned]),
    )
    return session, [(cell, replace(design, runs=tuple(plan.runs))) for cell, design, _, plan in planned]


def run_claims(request: Request, *, minutes: float | None) -> tuple[list[Judged], list[str]]:
    """Train the missing runs of the chosen claims, look by look, and judge.

    Args:
        request: What to judge.
        minutes: Time after which nothing new is started; None sets no limit.

    Returns:
        The verdicts of the whole catalogue, and the failed runs.

    Raises:
        NormbenchError: If the records are damaged or cannot be written.
    """
    problems: list[str] = []
    for claim in (request.claims[name] for name in request.chosen):
        if claim.check:
            _check(claim, request.study)
    until = time.monotonic() + 60 * minutes if minutes is not None else math.inf
    due = [(cell, 0) for cell in request.cells]
    try:
        while due:
            # In a limited time some claims are to be whole at its end; without a limit all share their packs.
            for together in [due] if minutes is None else _by_claim(due):
                _train_looks(request, together, problems, until)
            due = _next_look(request)
    except OutOfTime:
        say(f"the {minutes:g} minutes are over; the same command continues from here.")
        return judge(request.study, request.claims), problems
    except Detached as left:
        say(str(left))
        return judge(request.study, request.claims), problems
    judged = judge(request.study, request.claims)
    silent = [one for one in judged if one.cell in request.cells and one.verdict.verdict == "not_run"]
    return judged, problems + [f"{one.verdict.id}: {one.verdict.reason}" for one in silent]


def first_look(cell: Cell) -> Design:
    """Return the design of the first look at a cell that has none yet, its runs left out.

    The ledger says which seeds it is judged on, and when it is looked at.
    """
    entry = cell.registered
    first, looks = (entry.first_seed, entry.looks) if entry else (0, STANDARD_LOOKS)
    return Design(cell.spec_sha256, tuple(range(first, first + looks[0])), (), _ends(cell.over), looks=looks)


def _next_look(request: Request) -> list[tuple[Cell, int]]:
    """Return the chosen cells that are undecided and have a look left, and how many seeds it takes."""
    judged = judge_study(request.study, request.claims, strict=False)
    return [
        (one.cell, one.verdict.next_look)
        for one in judged
        if one.cell is not None and one.cell in request.cells and one.verdict.next_look is not None
    ]


def judge(study: Path, claims: Mapping[str, Claim]) -> list[Judged]:
    """Judge a catalogue from the records of a study; write verdicts.csv and contrasts.csv."""
    if note := refresh(study):
        say(note)
    judgement = Judgement.of(study, claims, Tables.of(study), strict=False)
    judgement.write(study)
    return judgement.judged


def try_claims(request: Request) -> tuple[list[str], list[str]]:
    """Train the chosen claims on two seeds that no verdict uses.

    Returns:
        One line per claim with its effect on those seeds, which decides nothing; and the failed runs.
    """
    lines: list[str] = []
    problems: list[str] = []
    session, planned = request.session((cell, replace(first_look(cell), seeds=TRIAL_SEEDS)) for cell in request.cells)
    problems += carry_out(session, planned)
    tables = Tables.of(request.study)
    for cell, design in planned:
        try:
            contrast = contrast_of(cell.estimand, design, tables)
        except StudyError as error:
            lines.append(f"{cell.id}: {error}")
            continue
        effects = hodges_lehmann(np.atleast_2d(contrast.values.to_numpy(dtype=np.float64).T))
        edges = "".join(f"; at the {edge.end} end of the grid: {edge.arm}" for edge in contrast.edges)
        lines.append(f"{cell.id}: {', '.join(f'{effect:+.3g}' for effect in effects)} {cell.unit}{edges}")
    return lines, problems


def _by_claim(due: Sequence[tuple[Cell, int]]) -> list[list[tuple[Cell, int]]]:
    return [list(own) for _, own in groupby(due, key=lambda one: one[0].claim)]


def _train_looks(request: Request, due: Sequence[tuple[Cell, int]], problems: list[str], until: float) -> None:
    """Train cells on the first seeds of their blocks; extend each grid while an optimum or limit is at an end of it.

    Seeds and rates that a cell already has stay part of its design.
    """
    designs: list[tuple[Cell, Design]] = []
    for cell, count in due:
        begun = _so_far(cell, request.study)
        block = range(begun.seeds[0], begun.seeds[0] + max(count, len(begun.seeds)))
        designs.append((cell, replace(begun, seeds=tuple(block))))
    while designs:
        session, planned = request.session(designs)
        try:
            problems += carry_out(session, planned, until)
        finally:
            # Also of a command that was stopped: what is whole can be judged.
            ended = session.study.ended()
            for cell, design in planned:
                if all(run_id in ended for run_id in design.runs):
                    keep(request.study, cell.id, design)
        tables = Tables.of(request.study)
        longer = ((cell, _extended(cell, design, tables)) for cell, design in planned)
        designs = [(cell, design) for cell, design in longer if design is not None]


def _extended(cell: Cell, design: Design, tables: Tables) -> Design | None:
    """Return a design with a longer grid if an optimum or limit is at an end of it, and the grid may be extended."""
    try:
        edges = contrast_of(cell.estimand, design, tables).open_edges
    except StudyError:
        return None  # Its verdict gives the reason.
    grid = longer = _grid(cell, design)
    for end in sorted({edge.end for edge in edges}):
        longer = (longer and longer.extended(end)) or longer
    if longer == grid or longer is None:
        return None
    say(f"{cell.id}: {edges[0].arm} is at the {edges[0].end} end of its grid, which is extended for every arm")
    return replace(design, over=_ends(longer))


def _so_far(cell: Cell, study: Path) -> Design:
    """Return the design of a cell as it stands: with at least the seeds of its first look, or as few as it was kept."""
    try:
        return kept(study, cell) or first_look(cell)
    except StudyError:
        return first_look(cell)  # What is kept is of another version of the claim.


def _grid(cell: Cell, design: Design) -> Over | None:
    """Return the tuned grid of a design."""
    if cell.over is None or not design.over:
        return cell.over
    return replace(cell.over, lowest=design.over[0], highest=design.over[1])


def _ends(grid: Over | None) -> tuple[float, ...]:
    return (grid.lowest, grid.highest) if grid else ()


def carry_out(session: Session, planned: Sequence[tuple[Cell, Design]], until: float = math.inf) -> list[str]:
    """Train the missing runs of designs, and return the failures.

    Args:
        session: The designs, planned together.
        planned: Each cell with its design.
        until: When to stop.

    Raises:
        OutOfTime: If time.monotonic passes `until` before all runs are trained; finished runs are kept.
    """
    name = planned[0][0].id if len(planned) == 1 else f"{len(planned)} cells"
    with session.alone(say) as ready:
        if ready.to_train:
            say(f"{name}: {len(ready.plan.runs)} runs, {ready.to_train} to train")
            with SweepView(ready.to_train, None) as view:
                ready.keep_times(ready.execute(view, until))
    refresh(session.study.folder)
    failed = sorted(session.failures().items())
    owner = {run_id: cell.id for cell, design in reversed(planned) for run_id in design.runs} if failed else {}
    return [f"{owner[run_id]}: run {run_id} failed: {error}" for run_id, error in failed]


def _check(claim: Claim, study: Path) -> None:
    found = CHECKS[claim.check]()
    numbers = {name: float(number) for name, number in found.numbers.items()}
    keep(study, claim.id, FixedFinding(claim.spec_sha256, found.verdict, found.outcome, found.evidence, numbers))
