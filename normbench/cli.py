"""The command line: wiring only. Nothing heavy is imported before a command needs it."""

import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from normbench.commands import cursor
from normbench.commands.explain import explain
from normbench.commands.guiding import FIRST_STEPS, Guided
from normbench.commands.paths import HomePath
from normbench.commands.reporting import report
from normbench.commands.shells import completion, teach_click
from normbench.commands.status import status
from normbench.commands.streams import show_anything
from normbench.commands.studies import dashboard, merge
from normbench.commands.tabulating import aggregate, compare
from normbench.errors import ConfigError, NormbenchError, StudyError, nearest


@click.group(
    cls=Guided,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=FIRST_STEPS,
)
@click.version_option(package_name="normbench", message="normbench %(version)s")
def cli() -> None:
    """Run normalization ablations in PyTorch: train sweeps, keep their records, compare norms."""


def _planning(command: Any) -> Any:
    """Add the arguments that `train` and `plan` share."""
    for option in (
        click.option("--cfg", is_flag=True, help="Print the resolved config as YAML and stop."),
        click.option("--force", is_flag=True, help="Train finished runs again."),
        click.option("--config-dir", type=HomePath(), help="Your own conf folder, searched before the shipped one."),
        click.option(
            "-m", "--multirun", is_flag=True, help="Run a sweep: keys may have several values. May appear anywhere."
        ),
        click.argument("overrides", nargs=-1, metavar="[OVERRIDE]...", shell_complete=cursor.overrides),
    ):
        command = option(command)
    return command


@cli.command(epilog="Example: normbench train -m norm=batch,group batch_size=2,128 seed=0,1,2")
@_planning
def train(overrides: tuple[str, ...], multirun: bool, config_dir: Path | None, force: bool, cfg: bool) -> int:
    """Train one run, or a sweep with -m. Runs already done in the study are not trained again."""
    if cfg:
        return _print_config(overrides, multirun, config_dir)
    from normbench.api import open_session
    from normbench.commands.closing import print_estimate, print_outcome, print_plan_notes, print_time
    from normbench.commands.terminal import SweepView, say
    from normbench.engine.interrupt import Detached
    from normbench.engine.ranks import leading

    session = open_session(overrides, multirun=multirun, config_dir=config_dir, force=force)
    if not click.get_current_context().with_resource(leading(session.sweep.settings.engine)):
        return 0
    session.study.create()
    with session.alone(say) as ready:
        print_plan_notes(ready)
        expected = ready.estimate() if ready.to_train > 1 else None
        print_estimate(expected)
        try:
            with SweepView(ready.to_train, expected.seconds if expected else None) as view:
                work = ready.execute(view)
        except NormbenchError as error:
            return _complain(error, code=1)
        except Detached as left:
            say(str(left))
            return 0
        ready.keep_times(work)
        print_time(view.seconds, expected)
    click.get_current_context().obj = session.study.folder
    return print_outcome(session, width=_width(), color=sys.stdout.isatty())


@cli.command(epilog="Example: normbench plan -m 'norm=glob(*)' model=mlp,resnet 'seed=range(10)'")
@_planning
def plan(overrides: tuple[str, ...], multirun: bool, config_dir: Path | None, force: bool, cfg: bool) -> int:
    """Show what `train` would do with the same arguments. Nothing is trained."""
    if cfg:
        return _print_config(overrides, multirun, config_dir)
    from normbench.api import open_session
    from normbench.commands.closing import print_plan

    print_plan(open_session(overrides, multirun=multirun, config_dir=config_dir, force=force))
    return 0


@cli.command("list", epilog="Example: normbench list norms")
@click.argument("kind", required=False, metavar="[KIND]", shell_complete=cursor.kinds)
@click.option("--config-dir", type=HomePath(), help="Your own conf folder; its additions are listed too.")
def list_(kind: str | None, config_dir: Path | None) -> int:
    """List the choices of KIND, one per line.

    KIND is norms, models, data, experiments, claims or another. Without KIND, list the kinds.
    """
    from normbench.commands.listing import LISTED, choices, choices_table, kinds

    if kind == "claims":
        from normbench.claims.show import claims_table

        print(claims_table(_catalogue("", config_dir), _width()), end="")
        return 0
    if kind is not None and kind not in LISTED:
        raise ConfigError(f"unknown kind {kind!r}{nearest(kind, LISTED)}")
    print(choices_table(choices(kind, config_dir) if kind else kinds(config_dir), _width()), end="")
    return 0


for command in (aggregate, compare, completion, dashboard, explain, merge, report, status):
    cli.add_command(command)


@cli.group(epilog="Example: normbench claims run small_batch_hurts")
def claims() -> None:
    """List claims about batch norm, train and judge them."""


_CATALOGUE = (
    click.option("--catalogue", default="", metavar="NAME", help="The claims in conf/claim/NAME, such as cifar10."),
    click.option("--config-dir", type=HomePath(), help="Your own conf folder: its claim/ comes first."),
)


def _claims_place(command: Any) -> Any:
    """Add the options that say where claims and their records are."""
    for option in (
        click.option(
            "--study",
            help="A folder, or a name under --results-dir. Default: claims, or claims_NAME with a catalogue.",
        ),
        click.option("--results-dir", type=HomePath(), default=Path("results"), show_default=True),
        *_CATALOGUE,
    ):
        command = option(command)
    return command


@claims.command("list", epilog="Example: normbench claims list")
@_CATALOGUE[0]
@_CATALOGUE[1]
def claims_list(catalogue: str, config_dir: Path | None) -> int:
    """List every claim."""
    from normbench.claims.show import claims_table

    print(claims_table(_catalogue(catalogue, config_dir), _width()), end="")
    return 0


@claims.command("verdict", epilog="Example: normbench claims verdict small_batch_hurts")
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=cursor.claim)
@_claims_place
def claims_verdict(
    ids: tuple[str, ...], study: str | None, results_dir: Path, catalogue: str, config_dir: Path | None
) -> int:
    """Judge from existing records. Show all claims, or the named ones in detail."""
    from normbench.claims.judgement import Judgement
    from normbench.claims.tables import Tables
    from normbench.commands.judging import check_study

    known = _catalogue(catalogue, config_dir)
    _require_claims(ids, known, catalogue, config_dir)
    folder = _claims_folder(study, results_dir, catalogue)
    check_study(folder, known, catalogue)
    judgement = Judgement.of(folder, known, Tables.of(folder))
    judgement.write(folder)
    _show_verdicts(judgement.judged, judgement.contrasts, ids)
    return 0


@claims.command("publish", epilog="Example: normbench claims publish published/claims")
@click.argument("folder", type=HomePath(), metavar="FOLDER")
@_claims_place
def claims_publish(folder: Path, study: str | None, results_dir: Path, catalogue: str, config_dir: Path | None) -> int:
    """Judge, and write verdicts and their records to FOLDER.

    Writes compressed tables of what the verdicts and their figures are made from.
    """
    from normbench.commands.judging import check_study
    from normbench.commands.publishing import publish

    known, source = _catalogue(catalogue, config_dir), _claims_folder(study, results_dir, catalogue)
    check_study(source, known, catalogue)
    publish(source, folder.absolute(), known)
    print(folder)
    return 0


@claims.command("run", epilog="Example: normbench claims run small_batch_hurts higher_lr")
@click.argument("ids", nargs=-1, metavar="[ID]... [OVERRIDE]...", shell_complete=cursor.claim)
@click.option("--all", "every", is_flag=True, help="Every claim of the catalogue.")
@click.option("--quick", is_flag=True, help="Two seeds that no verdict uses: a trial that decides nothing.")
@click.option("--reason", metavar="TEXT", help="Why a design was changed; it is then judged on fresh seeds.")
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), metavar="MINUTES", help="Stop after this time.")
@click.option("--cfg", is_flag=True, help="Print the resolved configs of the designs as YAML and stop.")
@_claims_place
def claims_run(
    ids: tuple[str, ...],
    every: bool,
    quick: bool,
    reason: str | None,
    budget: float | None,
    cfg: bool,
    study: str | None,
    results_dir: Path,
    catalogue: str,
    config_dir: Path | None,
) -> int:
    """Train the runs that claims lack, and judge. OVERRIDE may set keys of engine and log, and where data are."""
    settings = tuple(text for text in ids if "=" in text)
    names = [text for text in ids if "=" not in text]
    known = _catalogue(catalogue, config_dir)
    _require_claims(names, known, catalogue, config_dir)
    if wrong := [text for text in settings if not text.startswith(_NO_SCIENCE)]:
        raise ConfigError(f"{wrong[0]}: a claim's design is fixed; only engine, log and data.root may be set here.")
    if every == bool(names):
        raise ConfigError("name the claims to run, or give --all." if not every else "give names or --all, not both.")
    from normbench.commands import claiming
    from normbench.commands.closing import complain_of
    from normbench.commands.registering import register_designs

    chosen = [name for name in known if every or name in names]
    folder = _claims_folder(study, results_dir, catalogue)
    request = claiming.Request(known, chosen, folder, config_dir, settings)
    if cfg:
        for cell in request.cells:
            seeds = claiming.first_look(cell).seeds
            print(f"# {cell.id}\n{request.sweep(cell, seeds, cell.over).config}", end="")
        return 0
    request.begin()
    if quick:
        lines, problems = claiming.try_claims(request)
        print("two seeds, which decide nothing; their typical effect:")
        for line in lines:
            print(line)
        return complain_of(problems)
    request = register_designs(request, reason)
    known = request.claims
    try:
        judged, problems = claiming.run_claims(request, minutes=budget)
    except StudyError as error:
        return _complain(error, code=1)
    from normbench.claims.contrasts import contrast_rows
    from normbench.claims.tables import Tables

    contrasts = contrast_rows(request.study, known, Tables.of(request.study)) if names else []
    _show_verdicts(judged, contrasts, names)
    return complain_of(problems)


@claims.command("calibrate", epilog="Example: normbench claims calibrate --families 1000")
@click.option(
    "--families", type=click.IntRange(min=1), default=1000, show_default=True, help="Simulated families of each kind."
)
@click.option("--study", default="calibration", show_default=True, help="Where the real runs and calibration.csv go.")
@click.option("--results-dir", type=HomePath(), default=Path("results"), show_default=True)
def claims_calibrate(families: int, study: str, results_dir: Path) -> int:
    """Judge cases with known answers.

    These are simulated claims, real seeds against each other, and a broken batch norm.
    """
    from normbench.claims.show import rates_table
    from normbench.commands.calibrating import calibrate
    from normbench.commands.claiming import Request

    rates, broken = calibrate(
        Request(_catalogue("", None), (), _study_folder(study, results_dir), None), families=families
    )
    print(rates_table(rates), end="")
    for verdict in broken:
        print(f"{verdict.id}: {verdict.verdict} ({verdict.outcome}), {verdict.reason}")
    wrong = [verdict.verdict for verdict in broken] != ["supported", "refuted"]
    return 1 if wrong or any(rate.held is False for rate in rates) else 0


_NO_SCIENCE = ("engine.", "engine=", "log.", "data.root=", "data.download=")
"""Prefixes of the overrides that change no run_id."""


def _catalogue(name: str, config_dir: Path | None) -> Any:
    """Return the claims of the shipped conf folder and of the user's own; the latter override."""
    from normbench.claims.loading import find_catalogues, load_claims
    from normbench.config.shipped import shipped_conf

    catalogues = find_catalogues(shipped_conf(), config_dir)
    if name not in catalogues:
        raise ConfigError(f"unknown catalogue {name!r}{nearest(name, filter(None, catalogues))}")
    return load_claims(*catalogues[name])


def _require_claims(ids: Any, known: Any, catalogue: str, config_dir: Path | None) -> None:
    from normbench.claims.loading import find_catalogues, unknown_claim
    from normbench.config.shipped import shipped_conf

    for name in ids:
        if name not in known:
            raise unknown_claim(name, catalogue, find_catalogues(shipped_conf(), config_dir))


def _claims_folder(study: str | None, results_dir: Path, catalogue: str) -> Path:
    return _study_folder(study or "_".join(filter(None, ("claims", catalogue))), results_dir)


def _study_folder(study: str, results_dir: Path) -> Path:
    return Path(study) if os.sep in study else results_dir / study


def _show_verdicts(judged: Any, contrasts: Any, ids: Any) -> None:
    from normbench.claims.show import details, tally, verdict_table

    for name in ids:
        own, rows = [one for one in judged if one.claim.id == name], [row for row in contrasts if row["claim"] == name]
        others = [one for one in judged if one.claim.id in own[0].claim.contradicts and not one.name]
        print(details(own, rows, others, _width()), end="")
    if not ids:
        print(verdict_table(judged, _width()), end="")
        print(tally(judged))


@cli.command(epilog="Example: normbench rerun 5fbf4657 --study quickstart")
@click.argument("run_id", shell_complete=cursor.run)
@click.option("--study", help="Its study: a folder, or a name under --results-dir. Default: search all.")
@click.option("--results-dir", type=HomePath(), default=Path("results"), show_default=True)
@click.option("--trust", is_flag=True, help="Run the code that the record names by _target_.")
def rerun(run_id: str, study: str | None, results_dir: Path, trust: bool) -> int:
    """Train a recorded run again and compare. Keeps its mode and pack, compares bit for bit, writes nothing.

    RUN_ID may be shortened as long as it names one run only.
    """
    from normbench.commands.rerun import describe, find_run
    from normbench.commands.rerun import rerun as train_again

    comparison = train_again(find_run(run_id, study, results_dir), trust=trust)
    for text in describe(comparison):
        print(text)
    return 1 if comparison.cells else 0


@cli.command(epilog="Example: normbench doctor --data-root ~/data")
@click.option("--data-root", type=HomePath(), default=Path("data"), show_default=True)
def doctor(data_root: Path) -> int:
    """Show versions, device, threads, compiler and data sets. Also show what would be slow or missing."""
    from normbench.commands.doctor import findings

    for name, value in findings(data_root):
        print(f"{name:<14}{value}")
    return 0


def main() -> None:
    """Run the command line and exit with code 0, 1, 2 or 130."""
    # The user's own modules (`norm._target_=my_norms.Mine`) are in the current directory; last, they shadow nothing.
    sys.path.append(os.getcwd())
    teach_click()
    show_anything()
    try:
        code = cli.main(prog_name="normbench", standalone_mode=False)
    except NormbenchError as error:
        code = _complain(error, code=2)
    except click.ClickException as error:
        error.show()
        code = 2
    except (KeyboardInterrupt, click.Abort):
        print("interrupted: finished runs are kept; the same command continues from there.", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def _complain(error: NormbenchError, *, code: int) -> int:
    if os.environ.get("NORMBENCH_DEBUG") == "1":
        traceback.print_exception(error)
    else:
        print(f"normbench: {error}", file=sys.stderr)
    return code


def _print_config(overrides: tuple[str, ...], multirun: bool, config_dir: Path | None) -> int:
    from normbench.config.sweep import expand

    print(expand(overrides, multirun=multirun, config_dir=config_dir).config, end="")
    return 0


def _width() -> int:
    return shutil.get_terminal_size().columns
