"""From tables and designs on disk to verdicts, without a training."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from normbench.claims.designs import Design, FixedFinding, keep, kept
from normbench.claims.spec import Claim, Estimand, Over
from normbench.claims.verdicts import Judged, Tables, contrast_rows, judge_study, write_verdicts
from normbench.errors import StudyError
from normbench.record.columns import CURVES, FIXED

DIFFERENCE = {
    "measure": {"name": "tuned_score"},
    "treatment": {"norm": "batch"},
    "control": {"norm": "none"},
}
CLAIM = Claim(
    "better",
    "experiment",
    "Batch norm is more accurate.",
    (),
    "supported",
    "made-up runs",
    design=(("norm=batch,none",),),
    over=Over("lr", -2, 0, 1, extend=2, span=2),
    estimand=Estimand("difference", DIFFERENCE),
    form="greater",
    margin=1.0,
    unit="accuracy points",
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
    keep(folder, CLAIM.id, Design(CLAIM.spec_sha256, tuple(range(seeds)), tuple(table["run_id"]), (-2.0, 0.0)))


def judged(folder: Path, *claims: Claim) -> dict[str, Judged]:
    return {one.claim.id: one for one in judge_study(folder, {claim.id: claim for claim in claims or (CLAIM,)})}


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
    design = kept(tmp_path, CLAIM)
    assert isinstance(design, Design)
    keep(tmp_path, CLAIM.id, replace(design, quick=True))
    assert judged(tmp_path)["better"].verdict.verdict == "not_run"


def test_another_version_of_a_claim_is_not_judged_by_old_runs(tmp_path: Path) -> None:
    """The error names the file and both versions."""
    write_study(tmp_path, 10)
    changed = replace(CLAIM, margin=0.5)
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
    among = judged(tmp_path, CLAIM, *(replace(CLAIM, id=f"other{number}") for number in range(9)))
    assert among["better"].verdict.p == alone.p
    assert among["better"].verdict.p_adjusted == pytest.approx(10 * alone.p)
    assert among["other3"].verdict.verdict == "not_run"


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
    write_verdicts(folder, judge_study(folder, claims, tables), contrast_rows(folder, claims, tables))
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
    (study / "claims" / "better.json").unlink()
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
    assert list(pd.read_csv(study / "verdicts.csv")["claim"]) == sorted(path.stem for path in SHIPPED.glob("*.yaml"))
