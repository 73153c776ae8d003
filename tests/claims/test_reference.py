"""The committed records behind the committed verdicts."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
JUDGE = """
import sys

sys.modules["torch"] = None
from normbench.cli import main

sys.argv = ["normbench", "claims", "verdict", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(
    ("records", "options"),
    [(REFERENCE, []), (REFERENCE / "reference_cifar10", ["--catalogue", "cifar10"])],
    ids=["digits", "cifar10"],
)
def test_the_verdicts_follow_from_the_records(records: Path, options: list[str], tmp_path: Path) -> None:
    """Byte for byte, where torch cannot be imported."""
    study = tmp_path / records.name
    shutil.copytree(records, study)
    for table in ("verdicts.csv", "contrasts.csv"):
        (study / table).unlink()
    command = [sys.executable, "-c", JUDGE, "--study", str(study), *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for table in ("verdicts.csv", "contrasts.csv"):
        assert (study / table).read_bytes() == (records / table).read_bytes()


def test_the_records_are_small() -> None:
    """Under ten million bytes in all, as a clone carries them."""
    assert sum(path.stat().st_size for path in REFERENCE.rglob("*") if path.is_file()) < 10e6
