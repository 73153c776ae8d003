"""`normbench claims publish`: the records of a judged study, in files small enough for a repository."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from commands import Command
from report.made_up import alone, judged_study

from normbench.claims.designs import Design, kept
from normbench.claims.judgement import Judgement
from normbench.claims.spec import Claim
from normbench.claims.tables import Tables
from normbench.commands.publishing import publish
from normbench.errors import StudyError
from normbench.record.store import Study
from normbench.report.page import page

NAMES = ("affine_hurts_gradients", "regularizes", "scale_invariance", "vanishing_exploding")
"""A claim that reads probes, with doses and a manipulation; one that reads losses; one that reads no runs; and one of
whose arms only a figure shows most."""

JUDGED = ("verdicts.csv", "contrasts.csv", "doses.csv")
TABLES = ("runs.csv", "curves.csv", "provenance.csv")


def text(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype="str", keep_default_na=False)


def one_more_run(study: Path) -> None:
    """Add a run that no design names, and the table of where runs were trained."""
    for name in ("runs.csv", "curves.csv"):
        table = text(study / name)
        extra = table[table["run_id"] == table["run_id"].iloc[0]].assign(run_id="0123456789ab")
        pd.concat([table, extra]).to_csv(study / name, index=False, lineterminator="\n")
    origin = text(study / "runs.csv")[["run_id", "seed"]]
    origin = origin.assign(mode="solo", pack_size=1, wall_time_s=0.1, device_name='a "fast" one, of 2')
    origin.to_csv(study / "provenance.csv", index=False, lineterminator="\n")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Claim]]:
    """Return a judged study, its published records in a folder of the same name, and the catalogue."""
    root = tmp_path_factory.mktemp("records")
    study, folder = root / "results" / "mine", root / "published" / "mine"
    claims = judged_study(study, NAMES, vanishing_exploding=alone()["vanishing_exploding"])
    one_more_run(study)
    publish(study, folder, claims)
    return study, folder, claims


def test_published_records_give_the_same_verdicts(
    published: tuple[Path, Path, dict[str, Claim]], tmp_path: Path
) -> None:
    """Contrasts and doses too, byte for byte, from the compressed tables alone."""
    study, folder, claims = published
    again = shutil.copytree(folder, tmp_path / "mine")
    for name in JUDGED:
        (again / name).unlink()
    Judgement.of(again, claims, Tables.of(again)).write(again)
    for name in JUDGED:
        assert (again / name).read_bytes() == (folder / name).read_bytes() == (study / name).read_bytes()
        assert len(text(again / name)) > 1


def test_published_records_give_the_same_figures(published: tuple[Path, Path, dict[str, Claim]]) -> None:
    """Those of arms that no verdict reads too."""
    study, folder, claims = published
    drawn, again = (re.findall("<svg.*?</svg>", page([one], claims), re.DOTALL) for one in (study, folder))
    assert len(drawn) > 5 and drawn == again


def test_what_nothing_reads_is_left_out(published: tuple[Path, Path, dict[str, Claim]]) -> None:
    """Runs that no design names, and cells of curves; all others are as they were written."""
    study, folder, claims = published
    designs = [kept(study, cell) for name in NAMES for cell in claims[name].cells]
    named = {run_id for design in designs if isinstance(design, Design) for run_id in design.runs}
    for name in TABLES[::2]:
        table = text(study / name)
        expected = table[table["run_id"].isin(named)].reset_index(drop=True)
        pd.testing.assert_frame_equal(text(folder / f"{name}.xz"), expected.assign(**study_of(expected)))
    whole, curves = (text(path).set_index(["run_id", "step"]) for path in (study / TABLES[1], folder / "curves.csv.xz"))
    assert "probe.gradients.slope" in curves and "probe.dead_units.share" not in curves
    assert 0 < len(curves) < len(whole)
    whole, curves = (one[~one.index.duplicated(keep="last")] for one in (whole, curves))  # a run of one step has two
    assert ((curves == whole.loc[curves.index, curves.columns]) | (curves == "")).all(axis=None)
    assert set(curves.columns[(curves == "").all()]) == {"lr"}


def study_of(runs: pd.DataFrame) -> dict[str, str]:
    """Return the column that names the study, if there is one: it is the folder's name."""
    return {"study": "mine"} if "study" in runs else {}


def test_a_folder_of_another_name_is_a_study_of_that_name(
    published: tuple[Path, Path, dict[str, Claim]], tmp_path: Path
) -> None:
    """Judged again, its tables are the same."""
    _, first, claims = published
    folder = tmp_path / "reference"
    publish(first, folder, claims)
    assert set(text(folder / "verdicts.csv")["study"]) == set(text(folder / "runs.csv.xz")["study"]) == {"reference"}
    before = [(folder / name).read_bytes() for name in JUDGED]
    Judgement.of(folder, claims, Tables.of(folder)).write(folder)
    assert [(folder / name).read_bytes() for name in JUDGED] == before


def test_records_are_published_over_earlier_ones(
    published: tuple[Path, Path, dict[str, Claim]], tmp_path: Path
) -> None:
    """From themselves they are the same; a design that the study lacks goes, a file of another kind stays."""
    _, first, claims = published
    folder = shutil.copytree(first, tmp_path / "mine")
    (folder / "claims" / "gone.json").write_text("{}")
    (folder / "README.md").write_text("mine")
    publish(first, folder, claims)
    assert contents(folder) == contents(first) | {Path("README.md"): b"mine"}


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


REFUSED = {
    "no study": ("rm -r", "out", "no study 'results/claims'; create it with"),
    "not run": ("claims", "out", "no claim was run in 'results/claims'"),
    "no table": ("provenance.csv", "out", "results/claims has no provenance.csv"),
    "a study": ("", "results/claims", "results/claims has runs.csv, so it is a study that is trained into"),
    "a file": ("", "file/out", "file/out: Not a directory; name another folder"),
    "no folder": ("", None, "Missing argument 'FOLDER'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_study_or_folder_is_answered_in_a_line(normbench: Command, case: str) -> None:
    """With code 2, and nothing is written."""
    lacking, folder, message = REFUSED[case]
    study = Path("results/claims")
    (study / "claims").mkdir(parents=True)
    (study / "claims" / "scale_invariance.json").write_text("{}")
    for name in TABLES:
        (study / name).write_text("")
    Path("file").write_text("")
    if lacking == "rm -r":
        shutil.rmtree(study)
    elif lacking == "claims":
        shutil.rmtree(study / "claims")
    elif lacking:
        (study / lacking).unlink()
    before = set(Path().rglob("*"))
    result = normbench("claims", "publish", *([folder] if folder else []))
    assert result.code == 2 and message in result.err and "Traceback" not in result.err
    assert set(Path().rglob("*")) == before


def test_the_command_publishes_a_study_by_its_name(normbench: Command) -> None:
    """The claims of the catalogue that were not run are in verdicts.csv, as such."""
    assert normbench("claims", "run", "scale_invariance").code == 0
    assert normbench("train", "steps=1", "study=claims").code == 0
    result = normbench("claims", "publish", "out")
    assert (result.code, result.out) == (0, "out\n"), result.err
    found = text(Path("out/verdicts.csv")).set_index("claim")["verdict"]
    assert found["scale_invariance"] == "supported"
    assert set(found[["regularizes"]]) == {"not_run"}
    assert len(text(Path("out/runs.csv.xz"))) == 0


def test_a_study_in_use_is_not_published(published: tuple[Path, Path, dict[str, Claim]], tmp_path: Path) -> None:
    """Its tables may be rewritten between two reads."""
    study, _, claims = published
    with Study(study).held(), pytest.raises(StudyError, match=r"a command is using .*: publish it when"):
        publish(study, tmp_path / "records", claims)
