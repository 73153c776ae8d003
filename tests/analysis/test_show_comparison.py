import io
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from normbench.analysis.comparison import Comparison, compare_studies
from normbench.analysis.render import FORMATS
from normbench.analysis.show_comparison import SECTIONS, show_comparison
from normbench.errors import ConfigError, StudyError

from .tables import write_study

VERDICT = "claim,kind,verdict,outcome,effect,unit,ci_low,ci_high,n_seeds,spec_sha256\n"


def study(folder: Path, shift: float = 0.0, torch: str = "2.9", verdict: str = "supported", spec: str = "x") -> Path:
    """Write a study of two norms and three seeds: the second norm's accuracies shifted by 0, 1 and 2 times as much."""
    rows: list[dict[str, Any]] = [
        {
            "run_id": f"{norm}{seed:06}",
            "norm": norm,
            "seed": seed,
            "test_accuracy": 0.9 + shift * seed * (norm == "group"),
        }
        for norm in ("batch", "group")
        for seed in range(3)
    ]
    write_study(folder, *rows)
    (folder / "verdicts.csv").write_text(f"{VERDICT}hurts,experiment,{verdict},clear,0.39,points,0.3,0.5,16,{spec}\n")
    head = "run_id,mode,pack_size,wall_time_s,torch,device,git_commit\n"
    commit = "0123456789" * 4
    (folder / "provenance.csv").write_text(
        head + "".join(f"{row['run_id']},solo,1,2.0,{torch},cpu,{commit}\n" for row in rows)
    )
    return folder


@pytest.fixture
def changed(tmp_path: Path) -> Comparison:
    """Return a comparison in which everything changed."""
    a = study(tmp_path / "old")
    return compare_studies(a, study(tmp_path / "new", shift=0.01, torch="2.10", verdict="refuted", spec="y"))


def test_what_changed_is_told(changed: Comparison) -> None:
    """The changed cell with its interval, the verdict before and after, the ratio of times, and the versions."""
    text = show_comparison(changed)
    assert re.search(r"group +3 +0\.900 +0\.910 +\+0\.010 \[-0\.015, \+0\.035\]", text)
    assert not re.search(r"^batch", text, re.MULTILINE)
    assert "the same in every seed: 1." in text
    assert "Runs in both: 6, identical in every digit of every metric: 4." in text.replace("\n", " ")
    wide = show_comparison(changed, width=200)
    assert re.search(
        r"^hurts +supported → refuted +\+0\.39 \[\+0\.3, \+0\.5\] points, n 16 .* changed$", wide, re.MULTILINE
    )
    assert re.search(r"solo +6 +2 +6 +2 +1\.00", text)
    assert re.search(r"torch +2\.9 +2\.10", text)
    assert "git_commit" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_copy_has_nothing_to_tell(tmp_path: Path) -> None:
    """Of two equal studies no cell, no verdict and no version is shown, and that is said."""
    text = show_comparison(compare_studies(study(tmp_path / "old"), study(tmp_path / "new")))
    assert "every metric: 6." in text.replace("\n", " ")
    assert "the same in every seed: 2." in text
    assert "Claims and cells in both: 1, with a different verdict: 0" in text
    assert "No recorded version" in text
    assert "exclude" not in text


@pytest.mark.parametrize("form", FORMATS)
def test_every_format(changed: Comparison, form: str) -> None:
    """Each format has the change; only one table is in CSV, with every row."""
    text = show_comparison(changed, form)
    assert "group" in text and text.endswith("\n")
    if form == "csv":
        assert pd.read_csv(io.StringIO(text))["norm"].tolist() == ["batch", "group"]
    if form == "latex":
        assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 4
        assert all(line[0] in "%\\" or line.endswith(r" \\") for line in text.splitlines() if line)


@pytest.mark.parametrize("part", SECTIONS)
def test_a_part_alone(changed: Comparison, part: str) -> None:
    """Each part can be had by itself, in CSV too."""
    assert len(show_comparison(changed, show=[part])) < len(show_comparison(changed))
    assert len(pd.read_csv(io.StringIO(show_comparison(changed, "csv", [part])))) >= 1


def test_an_unknown_part(changed: Comparison) -> None:
    """The parts are named."""
    with pytest.raises(ConfigError, match="did you mean 'verdicts'"):
        show_comparison(changed, show=["verdict"])


def test_studies_of_one_name_are_told_by_their_folders(tmp_path: Path) -> None:
    """Two machines' `quickstart` are not one."""
    found = compare_studies(study(tmp_path / "one" / "quickstart"), study(tmp_path / "two" / "quickstart"))
    assert found.names == (str(tmp_path / "one" / "quickstart"), str(tmp_path / "two" / "quickstart"))


def test_a_study_is_not_compared_with_itself(tmp_path: Path) -> None:
    """The same folder twice is a mistake."""
    folder = study(tmp_path / "old")
    with pytest.raises(StudyError, match="was given twice"):
        compare_studies(folder, tmp_path / "old" / ".." / "old")


def test_tables_that_are_not_there_are_said_to_be_missing(tmp_path: Path) -> None:
    """A stranger's runs.csv alone can be compared, and what it lacks is told."""
    bare = write_study(tmp_path / "bare", {"run_id": "batch000000", "test_accuracy": 0.5})
    text = show_comparison(compare_studies(study(tmp_path / "old"), bare))
    assert "B was never judged" in text and "A was never judged" not in text
    assert re.search(r"batch +1 +0\.900 +0\.500 +-0\.400$", text, re.MULTILINE)


def test_another_device_is_no_comparison_of_speed(tmp_path: Path) -> None:
    """Where the device differs the ratio is said to tell no cause."""
    a, b = study(tmp_path / "old"), study(tmp_path / "new")
    path = b / "provenance.csv"
    path.write_text(path.read_text().replace(",cpu,", ",cuda,"))
    assert "Not the same machine or threads: device differ" in show_comparison(compare_studies(a, b))
    assert "Not the same machine" not in show_comparison(compare_studies(a, study(tmp_path / "third")))
