"""Tests of shards from before cells had names; `old_study` was trained by such a version, with these tables."""

import json
import shutil
from pathlib import Path

import pytest

from normbench.errors import StudyError
from normbench.record.store import Study
from normbench.record.tables import merge

OLD = Path(__file__).parent / "old_study"
TABLES = ("runs.csv", "curves.csv", "provenance.csv")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Return a copy of the old study: runs with probes and without, a diverged and a failed one."""
    shutil.copytree(OLD, tmp_path / "old_study")
    return Study(tmp_path / "old_study")


def test_an_old_study_has_the_same_tables(study: Study) -> None:
    """Byte for byte, quoted text and numbers with it."""
    assert merge(study) == 8
    assert [(study.folder / name).read_bytes() for name in TABLES] == [(OLD / name).read_bytes() for name in TABLES]


def test_old_shards_written_anew_have_the_same_tables(study: Study) -> None:
    """As a merge of studies does: nothing is lost between the two forms."""
    before = study.records()
    for path in sorted((study.folder / "shards").glob("*.json")):
        block, pack = int(path.name[:4]), int(path.name[5:11])
        study.write_shard(block, pack, study.shard(block, pack))
        assert isinstance(json.loads(path.read_text()), dict)
    assert study.records() == before
    merge(study)
    assert [(study.folder / name).read_bytes() for name in TABLES] == [(OLD / name).read_bytes() for name in TABLES]


def test_old_records_have_named_cells(study: Study) -> None:
    """Of the types that a training writes."""
    _, record = study.records()["f55de5131990"]
    assert (record.result["num_params"], record.result["val_loss"]) == (698, 2.228018)
    assert (record.curves["step"], record.curves["lr"]) == ([1, 2, 3], [0.1, 0.1, 0.1])
    assert len(record.curves["probe.gradients.slope"]) == 3
    assert (record.provenance["threads"], record.provenance["mode"], record.provenance["remark"]) == (1, "stacked", "")
    _, failed = study.records()["1cdb5719c2a2"]
    assert (failed.curves, failed.error) == ({}, 'ValueError: no "such", value of é (raising.py, line 10)')


@pytest.mark.parametrize(("old", "new"), [("698,10,", "698,"), ("698,10,", "698,ten,"), ('"status"', '"state"')])
def test_a_damaged_old_shard_is_named(study: Study, old: str, new: str) -> None:
    """A cell too few, a number that is none, a field that is not there."""
    path = study.folder / "shards" / "0001-000000.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(StudyError, match=r"0001-000000.json is damaged .*: delete it, and its runs are trained again"):
        study.records()
