"""The page from the files of a study."""

import gzip
import lzma
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from analysis.tables import regression_rows, runs_table, write_regression
from commands import Command

from normbench.claims.designs import Design, kept
from normbench.claims.loading import load_claims
from normbench.claims.spec import Claim, Curve
from normbench.errors import StudyError
from normbench.record.columns import CURVES
from normbench.report import sweep_view
from normbench.report.contents import read_study
from normbench.report.page import page
from report.made_up import SHIPPED, alone, in_two_cells, judged_study, tables

NAMES = (
    "small_batch_hurts", "faster_convergence", "higher_lr", "regularizes", "eval_consistent", "vanishing_exploding",
    "bn_causes_gradient_issues", "ics_is_mechanism", "init_robustness", "scale_invariance",
)  # fmt: skip


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Claim], str]:
    """Return a judged study of ten claims, the catalogue and its page."""
    folder = tmp_path_factory.mktemp("results") / "claims"
    shipped = alone()
    mechanism = shipped["ics_is_mechanism"]
    # Made-up studies have no runs for its check.
    unchecked = replace(mechanism, cells=(replace(mechanism.cells[0], manipulation=None),))
    claims = judged_study(folder, NAMES, seeds=16, **(shipped | {"ics_is_mechanism": unchecked}))
    return folder, claims, page([folder], claims)


def sweep(folder: Path, runs: pd.DataFrame) -> Path:
    """Write a study of these runs, without curves."""
    folder.mkdir(parents=True, exist_ok=True)
    runs.to_csv(folder / "runs.csv", index=False, lineterminator="\n")
    pd.DataFrame(columns=list(CURVES)).to_csv(folder / "curves.csv", index=False, lineterminator="\n")
    return folder


def rates_by_norm(**more: object) -> pd.DataFrame:
    rows = [
        {"norm": norm, "batch_size": size, "lr": lr, "seed": seed, "test_accuracy": 0.9, "val_accuracy": 0.9, **more}
        for norm in ("batch", "none")
        for size in (2, 32)
        for lr in (0.25, 0.5, 1.0)
        for seed in range(3)
    ]
    return runs_table(*rows)


def section(text: str, claim: str) -> str:
    """Return a claim's own section of a page."""
    start = text.index(f'<section class="claim" id="s0-{claim}"')
    return text[start : text.index("</section>", start)]


def test_a_page_is_the_same_bytes_for_the_same_records(judged: tuple[Path, dict[str, Claim], str]) -> None:
    """It holds no date and no random name."""
    folder, claims, text = judged
    assert page([folder], claims) == text


def test_kinds_stand_apart(judged: tuple[Path, dict[str, Claim], str]) -> None:
    """What is computed, looked up or only published is not shown as estimated."""
    text = judged[2]
    headings = ["Estimated from runs", "Proved or computed", "Facts", "Known from the literature only"]
    places = [text.index(f"<h2>{heading}</h2>") for heading in headings]
    assert places == sorted(places)
    estimated, proved = text[places[0] : places[1]], text[places[1] : places[2]]
    assert "s0-row-small_batch_hurts" in estimated and "s0-row-scale_invariance" not in estimated
    assert "s0-row-scale_invariance" in proved and "largest error" in proved


def test_a_source_without_figures_shows_what_it_says(judged: tuple[Path, dict[str, Claim], str]) -> None:
    """And one with figures shows both."""
    text = judged[2]
    assert "Understanding Batch Normalization. <i>without batch norm" in text
    assert "section 4.2.2: Inception on ImageNet trains at a rate of 0.045 (BN-x30)" in text


def test_every_effect_stands_beside_its_interval_and_n(judged: tuple[Path, dict[str, Claim], str]) -> None:
    """And no p-value is on the page."""
    folder, _, text = judged
    verdicts = pd.read_csv(folder / "verdicts.csv").set_index("claim")
    effect = float(verdicts["effect"]["small_batch_hurts"])
    assert "n&nbsp;=&nbsp;16" in section(text, "small_batch_hurts")
    assert f"<b>{effect:+.3g}</b>" in section(text, "small_batch_hurts")
    assert not re.search(r"\bp *=", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    assert "Nadeau &amp; Bengio 2003" in text


@pytest.mark.parametrize(
    ("claim", "figures"),
    [
        ("small_batch_hurts", ["batch_size", "tuning"]),
        ("faster_convergence", ["survival", "tuning"]),
        ("higher_lr", ["batch_size", "tuning"]),
        ("regularizes", ["gap", "norm_batch_size", "tuning"]),
        ("eval_consistent", ["norm_batch_size", "tuning"]),
        ("vanishing_exploding", ["model.depth"]),
        ("init_robustness", ["model.init_scale", "tuning"]),
    ],
)
def test_figures_follow_the_design(judged: tuple[Path, dict[str, Claim], str], claim: str, figures: list[str]) -> None:
    """The factor that varies, the curves of the tuned key, stairs for steps to a target, the gap for a gap."""
    found = re.findall(rf'<figure id="s0-{claim}-([^"]+)"', section(judged[2], claim))
    assert found == figures


def with_args(claim: Claim, **args: object) -> Claim:
    """Return a claim whose estimand has other arguments."""
    (cell,) = claim.cells
    estimand = replace(cell.estimand, args={**cell.estimand.args, **args})
    return replace(claim, cells=(replace(cell, estimand=estimand),))


def test_tuning_is_shown_by_what_was_tuned_by(tmp_path: Path) -> None:
    """Where a claim chooses by the validation loss, the figure shows that, and not the accuracy."""
    shipped = alone()["small_batch_hurts"]
    measure = {**shipped.cells[0].estimand.args["measure"], "by": "val_loss"}
    claim = with_args(shipped, measure=measure)
    claims = judged_study(tmp_path / "s", [claim.id], seeds=4, **{claim.id: claim})
    text = section(page([tmp_path / "s"], claims), claim.id)
    tuning = text[text.index(f'<figure id="s0-{claim.id}-tuning"') :]
    assert "val_loss against lr" in tuning and "val_accuracy" not in tuning
    assert "Diverged runs count as chance." in tuning


def test_a_gap_is_shown_in_the_metric_that_was_judged(tmp_path: Path) -> None:
    """Of accuracies in points, training less validation, in the table of arms and in the figure."""
    claim = with_args(alone()["regularizes"], metric="accuracy")
    claims = judged_study(tmp_path / "s", [claim.id], seeds=4, **{claim.id: claim})
    text = section(page([tmp_path / "s"], claims), claim.id)
    assert "gap of accuracy in points at equal training loss" in text
    assert "train_accuracy \N{MINUS SIGN} val_accuracy in points" in text and "val_loss" not in text


def test_every_run_of_a_design_can_be_looked_up(judged: tuple[Path, dict[str, Claim], str]) -> None:
    """Its tuning figure lists all, the comparison those that the verdict rests on."""
    folder, claims, text = judged
    design = kept(folder, claims["faster_convergence"].cells[0])
    assert isinstance(design, Design)
    assert all(run_id in section(text, "faster_convergence") for run_id in design.runs)


def test_compressed_tables_are_not_said_to_take_more_runs(tmp_path: Path) -> None:
    """Training again makes a study of its own."""
    folder = tmp_path / "reference"
    claims = judged_study(folder, ["affine_helps"])
    plain = page([folder], claims)
    assert "normbench rerun RUN_ID" in plain and "claims run affine_helps --study reference" in plain
    for name in ("runs.csv", "curves.csv"):
        (folder / f"{name}.xz").write_bytes(lzma.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    packed = page([folder], claims)
    assert "a study of its own" in packed and "claims run affine_helps</code>" in packed
    assert "normbench rerun RUN_ID" not in packed and "--study reference" not in packed


def test_settings_stand_as_they_are_typed(tmp_path: Path) -> None:
    """A switch as in YAML, a whole size without a point."""
    text = page([tmp_path], judged_study(tmp_path, ["affine_helps", "larger_batch_faster"]))
    assert "norm.affine=true" in text and "batch_size=512" in text
    assert not re.search(r"=(True|False|None)\b|batch_size=\d+\.", text)


def test_claims_that_contradict_each_other_stand_side_by_side(judged: tuple[Path, dict[str, Claim], str]) -> None:
    """Each with its scope."""
    _, claims, text = judged
    own = section(text, "vanishing_exploding")
    against = own[own.index("Contradicting claims") :]
    assert "bn_causes_gradient_issues" in against
    assert claims["bn_causes_gradient_issues"].scope.replace("'", "&#39;") in against


def test_exploratory_contrasts_are_named_as_such(judged: tuple[Path, dict[str, Claim], str]) -> None:
    """They decide nothing."""
    own = section(judged[2], "small_batch_hurts")
    assert "the same against layer norm" in own[own.index("they decide nothing") :]


def test_a_claim_without_a_margin_has_no_place_on_the_common_axis(judged: tuple[Path, dict[str, Claim], str]) -> None:
    """The margin of ics_is_mechanism is 0: there is no ratio."""
    row = judged[2].partition('id="s0-row-ics_is_mechanism"')[2].partition("</tr>")[0]
    assert "effect ÷ margin is undefined" in row and "<svg" not in row


def test_what_a_refuted_claim_cannot_exclude_is_said(judged: tuple[Path, dict[str, Claim], str]) -> None:
    """With the share of seeds that may collapse."""
    own = section(judged[2], "init_robustness")
    assert "What it cannot exclude:" in own and "of seeds" in own


def test_a_verdict_older_than_the_records_is_told(tmp_path: Path) -> None:
    """Figures come from runs.csv, verdicts from verdicts.csv: they must not disagree silently."""
    claims = judged_study(tmp_path, ["affine_helps"])
    assert "judges anew" not in page([tmp_path], claims)
    verdicts = pd.read_csv(tmp_path / "verdicts.csv")
    verdicts.loc[verdicts["claim"] == "affine_helps", "effect"] += 1
    verdicts.to_csv(tmp_path / "verdicts.csv", index=False)
    assert "`normbench claims verdict` updates it" in page([tmp_path], claims)


def test_a_claim_that_the_catalogue_lacks_is_shown_and_told(tmp_path: Path) -> None:
    """A stranger's study may have claims of its own."""
    claims = judged_study(tmp_path, ["affine_helps"])
    del claims["affine_helps"]
    text = page([tmp_path], claims)
    assert "The catalogue has no claim with this id" in section(text, "affine_helps")


@pytest.fixture(scope="module")
def celled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Claim]]:
    """Return a judged study of a claim of two cells that come out against each other, and the catalogue."""
    folder = tmp_path_factory.mktemp("results") / "claims"
    claim = in_two_cells(load_claims(SHIPPED)["higher_lr"])
    return folder, judged_study(folder, [claim.id], higher_lr=claim)


def test_cells_stand_under_their_claim(celled: tuple[Path, dict[str, Claim]]) -> None:
    """In the table with a row each, and with a section each that has effect, arms and figures; the claim has none."""
    text = page([celled[0]], celled[1])
    places = [text.index(f'id="s0-row-higher_lr{name}"') for name in ("", ".digits_mlp", ".digits_deep")]
    assert places == sorted(places)
    row = text[places[0] : places[1]]
    assert "◐ depends" in row and "digits_mlp: supported" in row and "n&nbsp;=" not in row
    whole = text[text.index('<section class="claim" id="s0-higher_lr"') :]
    first, second = (
        whole.index(f'<section class="cell" id="s0-higher_lr.{name}"') for name in ("digits_mlp", "digits_deep")
    )
    assert whole[:first].count("seed by seed") == 0
    for own, scope in ((whole[first:second], "A made-up MLP."), (whole[second:], "A made-up deep MLP.")):
        assert scope in own and "<h5>The effect, seed by seed</h5>" in own and "<h5>What is compared</h5>" in own
        assert "<figure id=" in own
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_a_claim_has_its_curve_and_the_history_of_its_designs(tmp_path: Path) -> None:
    """A panel per cell with the judged dose marked, and the seeds that each design was judged on."""
    claim = in_two_cells(load_claims(SHIPPED)["higher_lr"])
    curve = Curve("threshold of trained", ("measure", "threshold"), (0.3, 0.5, 0.9))
    claim = replace(claim, cells=tuple(replace(cell, curves=(curve,)) for cell in claim.cells))
    claims = judged_study(tmp_path / "claims", [claim.id], higher_lr=claim)
    assert len(pd.read_csv(tmp_path / "claims" / "doses.csv")) == 6
    judged_at = [row["dose"] for row in read_study(tmp_path / "claims", claims).doses if row["primary"]]
    assert judged_at == [0.5, 0.5]
    text = page([tmp_path / "claims"], claims)
    whole = text[text.index('<section class="claim" id="s0-higher_lr"') :]
    doses = whole[whole.index("<h4>Dose and response</h4>") : whole.index('<section class="cell"')]
    assert "digits_mlp" in doses and "digits_deep" in doses and "Effect against threshold of trained" in doses
    designs = whole[whole.index("designs of this claim, with the seeds") :]
    assert "(2)</summary>" in designs and designs.count("<td>0 to 31</td>") == 2 and "made up" in designs


def test_a_claim_of_cells_counts_once(celled: tuple[Path, dict[str, Claim]]) -> None:
    """In the tally at the head of the page."""
    text = page([celled[0]], celled[1])
    tally = text[text.index('<div class="tally">') :].partition("</div>")[0]
    assert f"Of {sum(bool(claim.cells) for claim in celled[1].values())} claims" in tally
    assert '<span>1 <span class="badge depends">' in " ".join(tally.split())


def test_a_cell_that_the_catalogue_lacks_is_told(celled: tuple[Path, dict[str, Claim]]) -> None:
    """Its row stays."""
    folder, claims = celled
    known = claims["higher_lr"]
    fewer = {**claims, "higher_lr": replace(known, cells=known.cells[:1])}
    assert "The catalogue has no cell of this name" in page([folder], fewer)


def test_an_older_study_without_cells_has_its_page(tmp_path: Path) -> None:
    """The column came later."""
    claims = judged_study(tmp_path, ["small_batch_hurts"], seeds=16, **alone())
    text = page([tmp_path], claims)
    for name in ("verdicts.csv", "contrasts.csv"):
        pd.read_csv(tmp_path / name, dtype="str", keep_default_na=False).drop(columns="cell").to_csv(
            tmp_path / name, index=False
        )
    assert page([tmp_path], claims) == text


def test_runs_that_are_missing_are_told(tmp_path: Path) -> None:
    """The verdict stands as it was judged; its figures cannot be drawn."""
    claims = judged_study(tmp_path, ["affine_helps"])
    runs = pd.read_csv(tmp_path / "runs.csv", dtype=str, keep_default_na=False)
    runs.iloc[1:].to_csv(tmp_path / "runs.csv", index=False)
    assert "missing: 1 of" in section(page([tmp_path], claims), "affine_helps")


def test_a_damaged_file_of_verdicts_is_an_error_that_names_it(tmp_path: Path) -> None:
    """And the command that writes it again."""
    claims = judged_study(tmp_path, ["affine_helps"])
    text = (tmp_path / "verdicts.csv").read_text()
    (tmp_path / "verdicts.csv").write_text(text.replace("accuracy points,", "accuracy points,x", 1))
    with pytest.raises(StudyError, match=r"verdicts\.csv is damaged.*claims verdict"):
        page([tmp_path], claims)


def test_an_ordinary_sweep_has_tables_and_figures_by_its_axes(tmp_path: Path) -> None:
    """Accuracy against batch size and against rate, a colour a norm."""
    text = page([sweep(tmp_path, rates_by_norm())], {})
    assert re.findall(r'<figure id="s0-s0-([^"]+)"', text) == ["batch_size", "lr"]
    assert "Each seed at its own best lr" in text and "Every cell" in text
    assert "Estimated from runs" not in text
    assert all(f"{place:012x}" in text for place in range(36))


def test_a_task_without_accuracy_is_shown_by_its_first_metric(tmp_path: Path) -> None:
    """Tables, figures and learning curves of r2, as it is and not in points; below 0 is a place on the scale."""
    study = write_regression(tmp_path / "curve")
    text = page([study], {})
    assert re.findall(r'<figure id="s0-s0-([^"]+)"', text) == ["lr", "learning"]
    assert "<th>test_r2<svg" in text and "test_r2 against lr" in text and "val_r2 against step" in text
    assert "accuracy" not in text and "in points" not in text
    assert "0.81 [0.7852, 0.8348]" in text


def test_tasks_of_a_study_have_tables_of_their_own(tmp_path: Path) -> None:
    """No axis is shared by accuracies and errors, and no row."""
    rows = [{**row, "task": "targets"} for row in regression_rows()]
    images = [
        {"task": "images", "norm": norm, "seed": seed, "val_accuracy": 0.5, "test_accuracy": 0.5}
        for norm in ("batch", "none")
        for seed in range(3)
    ]
    text = page([sweep(tmp_path, runs_table(*rows, *images))], {})
    assert re.findall(r"<th>(test_[^<]+)<svg", text) == ["test_accuracy, points", "test_r2", "test_r2"]
    assert re.findall(r'<figure id="s0-s0-([^"]+)"', text) == ["r2-lr"]


def test_a_single_run_has_a_page(tmp_path: Path) -> None:
    """With nothing to compare, but with its number."""
    text = page([sweep(tmp_path, runs_table({"test_accuracy": 0.75, "val_accuracy": 0.5}))], {})
    assert ">75<" in text


def test_failed_runs_are_counted_and_named(tmp_path: Path) -> None:
    """And are left out of every number."""
    runs = runs_table(
        {"test_accuracy": 0.5, "val_accuracy": 0.5}, {"status": "failed", "seed": 1, "error": "<b>boom</b>"}
    )
    text = page([sweep(tmp_path, runs)], {})
    assert "1 run failed" in text and "&lt;b&gt;boom&lt;/b&gt;" in text


def test_a_study_of_failures_alone_has_a_page(tmp_path: Path) -> None:
    """There is nothing to draw."""
    text = page([sweep(tmp_path, runs_table({"status": "failed", "error": "no"}))], {})
    assert "1 run failed" in text


def test_a_study_that_is_only_planned_has_a_page(tmp_path: Path) -> None:
    """It says that there are no runs yet."""
    (tmp_path / "plan.jsonl").write_text("")
    assert "<dt>runs</dt><dd><bdi>0</bdi></dd>" in page([tmp_path], {})


def test_a_claim_judged_in_another_version_is_told(tmp_path: Path) -> None:
    """Its figures would be of another design."""
    claims = judged_study(tmp_path, ["affine_helps"], seeds=2, affine_helps=alone()["affine_helps"])
    (cell,) = claims["affine_helps"].cells
    claims["affine_helps"] = replace(claims["affine_helps"], cells=(replace(cell, margin=2.0),))
    assert "The verdict is for another version of the claim" in section(page([tmp_path], claims), "affine_helps")


PROVENANCE = 'run_id,pack_size,mode,wall_time_s,normbench,device_name\na,1,solo,0.5,9.8.7,"A, ""fast"" CPU"\n'


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_where_the_runs_come_from_is_told(tmp_path: Path, ending: str) -> None:
    """Also by a study that keeps its tables compressed."""
    data = PROVENANCE.encode()
    (sweep(tmp_path, rates_by_norm()) / f"provenance.csv{ending}").write_bytes(gzip.compress(data) if ending else data)
    text = page([tmp_path], {})
    assert "9.8.7" in text and "A, &#34;fast&#34; CPU" in text


@pytest.mark.parametrize(
    ("damaged", "message"),
    [("", "line 1"), (PROVENANCE.replace("solo", '"solo'), "below line 1"), ("run_id\na\n", "line 1: missing columns")],
    ids=["empty", "quote", "columns"],
)
def test_a_damaged_provenance_is_an_error_that_names_the_line(tmp_path: Path, damaged: str, message: str) -> None:
    """As of any other table."""
    (sweep(tmp_path, rates_by_norm()) / "provenance.csv").write_text(damaged)
    with pytest.raises(StudyError, match=rf"provenance\.csv, {message}"):
        page([tmp_path], {})


def test_an_unknown_verdict_is_an_error_that_names_what_is_allowed(tmp_path: Path) -> None:
    """Rather than a claim that is silently left out."""
    claims = judged_study(tmp_path, ["affine_helps"], seeds=2)
    text = (tmp_path / "verdicts.csv").read_text()
    (tmp_path / "verdicts.csv").write_text(text.replace(",inconclusive,", ",perhaps,", 1))
    with pytest.raises(StudyError, match=r"verdict is 'perhaps'; allowed: supported, refuted"):
        page([tmp_path], claims)


HOSTILE = ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "$\\frac{1}{0}$", "שלום עולם", "{{ 7*7 }}"]


@pytest.mark.parametrize("name", [*HOSTILE, "long" * 2500], ids=[*HOSTILE, "long"])
def test_hostile_names_are_shown_as_text(tmp_path: Path, name: str) -> None:
    """In legends, tables, figures and the study's own columns."""
    runs = rates_by_norm(**{"optimizer.note": "x"})
    runs.loc[runs["norm"] == "batch", ["norm", "optimizer.note"]] = name
    text = page([sweep(tmp_path, runs)], {})
    assert "<script>alert" not in text and "<img" not in text and ">49<" not in text
    shown = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
    assert (name[:70] if len(name) > 80 else shown.replace("'", "&#39;")) in text
    assert len(text) < 2_000_000


def test_no_address_is_ever_asked_for(judged: tuple[Path, dict[str, Claim], str]) -> None:
    """Nothing is loaded, and the page forbids it besides."""
    text = judged[2]
    assert not re.search(r'(?:src|href)="(?!#|data:)', text) and "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "default-src 'none'" in text


def test_several_studies_are_one_page(tmp_path: Path) -> None:
    """Their anchors do not clash."""
    folders = [sweep(tmp_path / name, rates_by_norm()) for name in ("first", "second")]
    text = page(folders, {})
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert "<title>first, second" in text


def test_the_command_writes_the_page_into_the_study(normbench: Command, tmp_path: Path) -> None:
    """Or where -o says; it prints where."""
    sweep(tmp_path / "results" / "mine", rates_by_norm())
    assert normbench("report", "mine").out == "results/mine/report.html\n"
    assert normbench("report", "mine", "-o", "there.html").out == "there.html\n"
    assert Path("there.html").read_bytes() == Path("results/mine/report.html").read_bytes()
    sweep(tmp_path / "results" / "other", rates_by_norm())
    assert normbench("report").out == "results/report.html\n"


def test_the_command_names_an_unknown_study(normbench: Command) -> None:
    """With exit code 2 and no file."""
    result = normbench("report", "nowhere")
    assert result.code == 2 and "no study 'nowhere'" in result.err


def test_more_rows_than_a_table_takes_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the file that has them is named."""
    monkeypatch.setattr(sweep_view, "MOST_ROWS", 5)
    assert "7 more rows are in summary.csv" in page([sweep(tmp_path, rates_by_norm())], {})


def test_ids_beyond_the_limit_become_a_filter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of a hundred thousand runs must stay small."""
    monkeypatch.setattr("normbench.report.page.MOST_IDS", 10)
    assert "Too many to list" in page([sweep(tmp_path, rates_by_norm())], {})


def test_made_up_studies_are_real_ones(tmp_path: Path) -> None:
    """The fixture's files pass the readers that real ones pass."""
    judged_study(tmp_path, ["affine_helps"], affine_helps=alone()["affine_helps"])
    assert len(tables(tmp_path).runs) == 16 * 2 * 7
