from pathlib import Path

import pytest

from normbench.analysis.folders import find_studies
from normbench.errors import StudyError

from .tables import write_study


def test_a_name_or_a_folder_is_a_study(tmp_path: Path) -> None:
    """A study is found by its name under the results, and by its path; twice the same is once."""
    folder = write_study(tmp_path / "mine", {})
    assert find_studies(["mine", str(folder)], tmp_path) == [folder]


def test_a_folder_elsewhere_is_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path from where the user stands is found, and a name under the results wins over it."""
    elsewhere = write_study(tmp_path / "elsewhere", {})
    results = write_study(tmp_path / "results" / "mine", {}).parent
    write_study(tmp_path / "mine", {})
    monkeypatch.chdir(tmp_path)
    found = find_studies(["elsewhere", "mine"], results)
    assert [folder.resolve() for folder in found] == [elsewhere, results / "mine"]


def test_no_name_means_all_studies(tmp_path: Path) -> None:
    """All folders with a plan or with runs are studies, and other folders are none."""
    write_study(tmp_path / "b", {})
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "plan.jsonl").touch()
    (tmp_path / "figures").mkdir()
    assert [folder.name for folder in find_studies([], tmp_path)] == ["a", "b"]


def test_a_misspelt_study_is_answered_by_the_nearest(tmp_path: Path) -> None:
    """The message names the nearest study and all others."""
    write_study(tmp_path / "small_batch", {})
    write_study(tmp_path / "depth", {})
    with pytest.raises(StudyError, match=r"did you mean 'small_batch'\? Known: depth, small_batch"):
        find_studies(["smal_batch"], tmp_path)


def test_a_folder_without_records_is_no_study(tmp_path: Path) -> None:
    """A folder that holds neither runs nor a plan is refused as such."""
    with pytest.raises(StudyError, match=r"is not a study: it has neither runs\.csv nor plan\.jsonl"):
        find_studies([str(tmp_path)], tmp_path / "results")


@pytest.mark.parametrize("names", [[], ["mine"]])
def test_no_results_at_all(tmp_path: Path, names: list[str]) -> None:
    """Where nothing was trained yet, the message says where it looked."""
    with pytest.raises(StudyError, match=r"no study.* under .*nowhere"):
        find_studies(names, tmp_path / "nowhere")
