"""Tests of the file with the jobs of a study."""

from pathlib import Path

import pytest

from normbench.errors import StudyError
from normbench.record.jobs import JobFile, QueuedJob

JOBS = [QueuedJob("Slurm job 1_0", 1, 0, None, "jobs/1_0.err"), QueuedJob("Slurm job 2", 1, 0, "abc", "jobs/2.err")]


def test_jobs_are_read_in_the_order_in_which_they_were_queued(tmp_path: Path) -> None:
    """A study that never had one has none."""
    file = JobFile(tmp_path)
    assert file.read() == []
    file.add(JOBS[:1])
    file.add(JOBS[1:])
    assert file.read() == JOBS


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    """Its writer was killed."""
    file = JobFile(tmp_path)
    file.add(JOBS)
    text = (tmp_path / "jobs.jsonl").read_text()
    (tmp_path / "jobs.jsonl").write_text(text[:-10])
    assert file.read() == JOBS[:1]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """It is not the study's fault alone: the user must know which file."""
    (tmp_path / "jobs.jsonl").write_text("{}\n")
    with pytest.raises(StudyError, match=r"jobs\.jsonl is damaged"):
        JobFile(tmp_path).read()
