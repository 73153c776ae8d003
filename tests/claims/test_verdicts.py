"""From tables and designs on disk to verdicts, without a training."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from normbench.claims.contrasts import contrast_rows
from normbench.claims.designs import Design, FixedFinding, check_catalogue, keep, kept
from normbench.claims.ledger import Entry, register
from normbench.claims.loading import with_history
from normbench.claims.spec import Cell, Claim, Estimand, Exploratory, Over
from normbench.claims.tables import Tables
from normbench.claims.verdicts import Judged, judge_study, write_verdicts
from normbench.errors import StudyError
from normbench.record.columns import CURVES, FIXED

DIFFERENCE = {
    "measure": {"name": "tuned_score"},
    "treatment": {"norm": "batch"},
    "control": {"norm": "none"},
}
SWAPPED = {"treatment": {"norm": "none"}, "control": {"norm": "batch"}}
CELL = Cell(
    "better",
    "",
    "Batch norm is more accurate.",
    "made-up runs",
    design=(("norm=batch,none",),),
    over=Over("lr", -2, 0, 1, extend=2, span=2),
    estimand=Estimand("difference", DIFFERENCE),
    form="greater",
    margin=1.0,
    unit="accuracy points",
)


def claim_of(*cells: Cell) -> Claim:
    """Return a claim whose designs are the first ones in the ledger."""
    claim = Claim(cells[0].claim, "experiment", CELL.statement, (), "supported", "made-up runs", cells=cells)
    designs = [(cell.name, cell.spec_sha256) for cell in cells]
    return with_history(claim, register((), claim.id, designs, looks=(16, 32), reason="made up"))


CLAIM = claim_of(CELL)
# Batch norm gains in one data set and loses in the other.
APART = claim_of(
    replace(CELL, name="gains"), replace(CELL, name="loses", estimand=Estimand("difference", {**DIFFERENCE, **SWAPPED}))
)
SHIPPED = Path(__file__).parents[2] / "conf" / "claim"
RATES = (0.25, 0.5, 1.0)


def write_study(folder: Path, gain: float, seeds: int = 16) -> None:
    """Write the tables of runs in which batch norm gains so many points, give or take one, at the middle rate."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).normal(size=(seeds, 2))
    rows: list[dict[str, object]] = []
    for seed in range(seeds):
        for place, norm in enumerate(("batch", "none")):
            for rate in RATES:
                accuracy = (
                    0.7 + (gain / 100 if norm == "batch" else 0) + 0.005 * noise[seed, place] - 0.1 * (rate != 0.5)
                )
                scores = dict.fromkeys([name for name in FIXED if name.endswith("accuracy")], accuracy)
                losses = dict.fromkeys([name for name in FIXED if name.endswith("loss")], 0.5)
                rows.append(
                    dict.fromkeys(FIXED) | scores | losses | {
                        "run_id": f"{norm[0]}{seed}-{rate}", "study": folder.name, "status": "finished", "model": "mlp",
                        "norm": norm, "data": "digits", "batch_size": 32, "lr": rate, "seed": seed, "steps": 10,
                        "num_params": 5, "num_classes": 10,
                    }
                )  # fmt: skip
    table = pd.DataFrame(rows, columns=list(FIXED)).astype({"steps": "Int64"})
    table.to_csv(folder / "runs.csv", index=False)
    pd.DataFrame(columns=list(CURVES)).to_csv(folder / "curves.csv", index=False)
    for cell in (CELL, *APART.cells):
        keep(folder, cell.id, Design(cell.spec_sha256, tuple(range(seeds)), tuple(table["run_id"]), (-2.0, 0.0)))


def judged(folder: Path, *claims: Claim) -> dict[str, Judged]:
    found = judge_study(folder, {claim.id: claim for claim in claims or (CLAIM,)})
    return {one.verdict.id: one for one in found}


@pytest.mark.parametrize(
    ("gain", "verdict", "outcome"),
    [
        (10, "supported", "greater"),
        (-10, "refuted", "reversed"),
        (0, "refuted", "equivalent"),
        (1, "inconclusive", "undecided"),
    ],
    ids=["beyond", "reversed", "none", "at the margin"],
)
def test_known_effects_are_judged_right(tmp_path: Path, gain: float, verdict: str, outcome: str) -> None:
    """Supported above the margin, refuted below, inconclusive at it."""
    write_study(tmp_path, gain)
    found = judged(tmp_path)["better"].verdict
    assert (found.verdict, found.outcome, found.n_seeds) == (verdict, outcome, 16)
    assert found.effect == pytest.approx(gain, abs=0.5)


FIRST = CLAIM.history[0]


@pytest.mark.parametrize(
    ("designs", "reason"),
    [
        ((), "the ledger has no row for this design"),
        ((replace(FIRST, spec_sha256="0" * 64),), "the ledger has no row for this design"),
        ((replace(FIRST, first_seed=32),), "the ledger has seeds 32 to 63 for it, and others were trained"),
        ((replace(FIRST, looks=(16, 32, 64)),), "the ledger has seeds 0 to 63 for it, and others were trained"),
        (
            (replace(FIRST, spec_sha256="0" * 64), replace(FIRST, reason="a finer grid")),
            f"it was redesigned on {FIRST.date} (a finer grid) after seeds 0 to 31 had been seen",
        ),
    ],
    ids=["no row", "another hash", "other seeds", "other looks", "seen seeds"],
)
def test_a_design_on_seen_seeds_decides_nothing(tmp_path: Path, designs: tuple[Entry, ...], reason: str) -> None:
    """However large the effect: the verdict says why, and no further look is asked for."""
    write_study(tmp_path, 10)
    found = judged(tmp_path, with_history(CLAIM, designs))["better"].verdict
    assert (found.verdict, found.outcome, found.p_adjusted) == ("inconclusive", "exploratory", 1)
    assert found.effect == pytest.approx(10, abs=0.5) and found.next_look is None
    assert f"exploratory, since {reason}, so that nothing is decided" in found.reason


def test_the_same_design_may_be_run_again_on_fresh_seeds(tmp_path: Path) -> None:
    """The last row counts, and a design that shares seeds with itself alone was not redesigned."""
    write_study(tmp_path, 10)
    seen = (replace(FIRST, first_seed=64), FIRST)
    assert judged(tmp_path, with_history(CLAIM, seen))["better"].verdict.verdict == "supported"


def test_runs_that_are_not_the_designs_are_not_looked_at(tmp_path: Path) -> None:
    """Foreign runs in a study cannot leak in."""
    write_study(tmp_path, 10)
    runs = pd.read_csv(tmp_path / "runs.csv", dtype=str)
    foreign = runs.assign(run_id="x" + runs["run_id"], test_accuracy="0.1", val_accuracy="0.99")
    pd.concat([runs, foreign]).to_csv(tmp_path / "runs.csv", index=False)
    assert judged(tmp_path)["better"].verdict.verdict == "supported"


def test_a_study_that_lacks_a_run_is_not_judged(tmp_path: Path) -> None:
    """The reason names how many are missing and the command that makes them."""
    write_study(tmp_path, 10)
    runs = pd.read_csv(tmp_path / "runs.csv", dtype=str)
    runs.iloc[1:].to_csv(tmp_path / "runs.csv", index=False)
    found = judged(tmp_path)["better"].verdict
    assert (found.verdict, found.outcome) == ("not_run", "not run")
    assert "1 of 96 runs, the first b0-0.25" in found.reason
    assert "normbench claims run better" in found.reason


def test_a_failed_run_is_missing(tmp_path: Path) -> None:
    """Never a verdict from half the data."""
    write_study(tmp_path, 10)
    runs = pd.read_csv(tmp_path / "runs.csv", dtype=str)
    runs.loc[0, "status"] = "failed"
    runs.to_csv(tmp_path / "runs.csv", index=False)
    assert judged(tmp_path)["better"].verdict.verdict == "not_run"


def test_fewer_seeds_than_the_first_look_decide_nothing(tmp_path: Path) -> None:
    """And the reason says what the look needs."""
    write_study(tmp_path, 10, seeds=8)
    found = judged(tmp_path)["better"].verdict
    assert (found.verdict, found.outcome) == ("inconclusive", "too few seeds")


def test_an_optimum_at_the_edge_decides_nothing(tmp_path: Path) -> None:
    """The grid of two octaves can grow no further here."""
    write_study(tmp_path, 10)
    runs = pd.read_csv(tmp_path / "runs.csv", dtype={"run_id": str})
    runs.loc[runs["lr"] == 1.0, ["val_accuracy", "test_accuracy"]] += 0.2
    runs.to_csv(tmp_path / "runs.csv", index=False)
    found = judged(tmp_path)["better"].verdict
    assert (found.verdict, found.outcome) == ("inconclusive", "grid edge")


def test_a_quick_design_decides_nothing(tmp_path: Path) -> None:
    """Whatever its runs show."""
    write_study(tmp_path, 10)
    design = kept(tmp_path, CELL)
    assert isinstance(design, Design)
    keep(tmp_path, CLAIM.id, replace(design, quick=True))
    assert judged(tmp_path)["better"].verdict.verdict == "not_run"


def test_another_version_of_a_claim_is_not_judged_by_old_runs(tmp_path: Path) -> None:
    """The error names the file and both versions."""
    write_study(tmp_path, 10)
    changed = claim_of(replace(CELL, margin=0.5))
    with pytest.raises(StudyError, match=rf"claims/better\.json.*another version.*{changed.spec_sha256[:12]}"):
        judged(tmp_path, changed)


def test_a_damaged_design_is_an_error(tmp_path: Path) -> None:
    """It names the file."""
    write_study(tmp_path, 10)
    (tmp_path / "claims" / "better.json").write_text('{"spec_sha256": ')
    with pytest.raises(StudyError, match=r"better\.json is damaged"):
        judged(tmp_path)


def test_a_duplicated_run_is_an_error(tmp_path: Path) -> None:
    """It names file and line."""
    write_study(tmp_path, 10)
    text = (tmp_path / "runs.csv").read_text().splitlines(keepends=True)
    (tmp_path / "runs.csv").write_text("".join([*text, text[1]]))
    with pytest.raises(StudyError, match=r"runs\.csv, line 98: run_id is 'b0-0\.25'"):
        judged(tmp_path)


def test_the_family_is_the_whole_catalogue(tmp_path: Path) -> None:
    """A claim that was not run counts as p = 1, so that judging one alone changes nothing."""
    write_study(tmp_path, 10)
    alone = judged(tmp_path)["better"].verdict
    among = judged(tmp_path, CLAIM, *(claim_of(replace(CELL, claim=f"other{number}")) for number in range(9)))
    assert among["better"].verdict.p == alone.p
    assert among["better"].verdict.p_adjusted == pytest.approx(10 * alone.p)
    assert among["other3"].verdict.verdict == "not_run"


def test_a_claim_with_cells_has_a_verdict_beside_theirs(tmp_path: Path) -> None:
    """Supported in one cell and refuted in the other it depends, and the reason says on what; no effect is averaged."""
    write_study(tmp_path, 10)
    whole, gains, loses = judge_study(tmp_path, {"better": APART})
    assert [one.verdict.verdict for one in (whole, gains, loses)] == ["depends", "supported", "refuted"]
    assert (whole.verdict.outcome, loses.verdict.outcome) == ("cells disagree", "reversed")
    assert whole.verdict.reason == "gains: supported (greater); loses: refuted (reversed)"
    assert np.isnan(whole.verdict.effect) and gains.verdict.effect == -loses.verdict.effect


def test_rows_of_cells_follow_their_claim(tmp_path: Path) -> None:
    """That of the claim as a whole has no cell and no numbers."""
    write_study(tmp_path, 10)
    extra = Exploratory("again", APART.cells[1].estimand, "points")
    claims = {"better": replace(APART, cells=(APART.cells[0], replace(APART.cells[1], exploratory=(extra,))))}
    table_bytes(tmp_path, claims)
    table = pd.read_csv(tmp_path / "verdicts.csv", dtype="str", keep_default_na=False)
    assert table["claim"].tolist() == ["better"] * 3
    assert table["cell"].tolist() == ["", "gains", "loses"]
    assert table.columns[-1] == "cell"
    empty = ["effect", "unit", "ci_low", "ci_high", "p", "p_adjusted", "n_seeds", "margin", "n_collapsed"]
    assert (table.loc[0, empty] == "").all() and (table.loc[1:, empty] != "").all(axis=None)
    assert table["spec_sha256"].nunique() == 3
    assert pd.read_csv(tmp_path / "contrasts.csv")["cell"].tolist() == ["loses"]


def test_every_cell_counts_in_the_family(tmp_path: Path) -> None:
    """Two cells are two hypotheses, whether they are one claim or two."""
    write_study(tmp_path, 10)
    found = judged(tmp_path, APART)
    assert found["better.gains"].verdict.p_adjusted == 2 * found["better.gains"].verdict.p


def test_a_cell_that_was_not_run_leaves_its_claim_open(tmp_path: Path) -> None:
    """Supported in one cell is not supported; without any cell it is not run."""
    write_study(tmp_path, 10)
    (tmp_path / "claims" / "better.loses.json").unlink()
    assert judged(tmp_path, APART)["better"].verdict.verdict == "inconclusive"
    (tmp_path / "claims" / "better.gains.json").unlink()
    assert judged(tmp_path, APART)["better"].verdict.verdict == "not_run"


def test_a_design_has_its_own_looks(tmp_path: Path) -> None:
    """One that names none has two, and its p-value is that of their shares; others are refused."""
    write_study(tmp_path, 10)
    path = tmp_path / "claims" / "better.json"
    text = json.loads(path.read_text())
    two = judged(tmp_path)["better"].verdict.p
    path.write_text(json.dumps({name: value for name, value in text.items() if name != "looks"}))
    assert judged(tmp_path)["better"].verdict.p == two
    path.write_text(json.dumps({**text, "looks": [16, 32, 64]}))
    assert judged(tmp_path)["better"].verdict.p == pytest.approx(two * 0.03 / 0.025)
    path.write_text(json.dumps({**text, "looks": [8]}))
    with pytest.raises(StudyError, match=r"better\.json is damaged \(looks: got \[8\]"):
        judged(tmp_path)


def test_a_block_of_seeds_may_begin_anywhere(tmp_path: Path) -> None:
    """A look takes the first seeds of the block, whatever their numbers."""
    write_study(tmp_path, 10, seeds=20)
    first = judged(tmp_path)["better"].verdict
    runs = pd.read_csv(tmp_path / "runs.csv", dtype={"run_id": str})
    runs.assign(seed=runs["seed"] + 96).to_csv(tmp_path / "runs.csv", index=False)
    assert judged(tmp_path)["better"].verdict == first and first.n_seeds == 16


def test_a_cell_that_the_catalogue_lacks_is_an_error(tmp_path: Path) -> None:
    """Its verdict would be lost; the design of a claim before it had cells is none of them."""
    write_study(tmp_path, 10)
    check_catalogue(tmp_path, {"better": APART})
    with pytest.raises(StudyError, match=r"better\.gains\.json: this catalogue lacks the claim"):
        check_catalogue(tmp_path, {"better": CLAIM})


def test_checks_and_literature_have_rows_too(tmp_path: Path) -> None:
    """A check is read from what it found; literature is not run."""
    write_study(tmp_path, 10)
    fact = Claim("fact", "fact", "A fact.", (), "supported", "s", check="fact")
    book = Claim("book", "literature", "A book.", (), "mixed", "s")
    assert judged(tmp_path, CLAIM, fact)["fact"].verdict.verdict == "not_run"
    keep(tmp_path, "fact", FixedFinding(fact.spec_sha256, "refuted", "cited", "It says so.", {"n": 1.0}))
    found = judged(tmp_path, CLAIM, fact, book)
    assert (found["fact"].verdict.verdict, found["fact"].verdict.outcome) == ("refuted", "cited")
    assert (found["book"].verdict.verdict, found["book"].verdict.outcome) == ("not_run", "literature")


def table_bytes(folder: Path, claims: Mapping[str, Claim]) -> list[bytes]:
    tables = Tables.of(folder)
    write_verdicts(folder, judge_study(folder, claims, tables), contrast_rows(folder, claims, tables), [])
    return [(folder / name).read_bytes() for name in ("verdicts.csv", "contrasts.csv")]


def test_verdicts_are_the_same_byte_for_byte(tmp_path: Path) -> None:
    """Judged again, and read back with the contract's columns."""
    write_study(tmp_path, 10)
    claims = {CLAIM.id: CLAIM}
    assert table_bytes(tmp_path, claims) == table_bytes(tmp_path, claims)
    (row,) = pd.read_csv(tmp_path / "verdicts.csv").to_dict("records")
    assert row["verdict"] == "supported"
    assert row["spec_sha256"] == CLAIM.spec_sha256
    assert row["ci_low"] < row["effect"] < row["ci_high"]


def test_judging_needs_no_torch(tmp_path: Path) -> None:
    """`claims verdict` works where torch cannot be imported."""
    study = tmp_path / "results" / "claims"
    write_study(study, 10)
    for path in (study / "claims").iterdir():
        path.unlink()
    (study / "verdicts.csv").write_text("claim\n")
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['torch', 'torchvision', 'hydra', 'omegaconf']))\n"
        "sys.argv = ['normbench', 'claims', 'verdict']\n"
        "from normbench.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "not run" in done.stdout
    judged_claims = pd.read_csv(study / "verdicts.csv")["claim"].unique()
    assert list(judged_claims) == sorted(path.stem for path in SHIPPED.glob("*.yaml"))
