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

sys.argv = ["normbench", "claims", "verdict", "--study", sys.argv[1]]
main()
"""


@pytest.mark.parametrize("table", ["verdicts.csv", "contrasts.csv"])
def test_the_verdicts_follow_from_the_records(table: str, judged: Path) -> None:
    """Byte for byte, where torch cannot be imported."""
    assert (judged / table).read_bytes() == (REFERENCE / table).read_bytes()


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the reference study, judged anew."""
    study = tmp_path_factory.mktemp("judged") / "reference"
    shutil.copytree(REFERENCE, study)
    for table in ("verdicts.csv", "contrasts.csv"):
        (study / table).unlink()
    result = subprocess.run([sys.executable, "-c", JUDGE, str(study)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return study


def test_the_records_are_small() -> None:
    """Under ten million bytes in all, as a clone carries them."""
    assert sum(path.stat().st_size for path in REFERENCE.rglob("*") if path.is_file()) < 10e6
