"""The committed records behind the committed verdicts."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from normbench.claims.loading import find_catalogues, load_claims
from normbench.commands.claiming import Request
from normbench.config.shipped import shipped_conf
from normbench.engine.work import load_data
from normbench.norms import REGISTRY
from normbench.plan import run_id
from normbench.spec import Run

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
CONTENTS = {"pydoc_topics": "c536a2eba7d4862ff1e7713ab84d88966f4dd0d91e59c070641d87a14aae4b67"}
"""Of the data that trained the records and differ between versions of Python, in windows of 32 characters."""
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


def test_designs_expand_to_the_ids_of_the_records(tmp_path: Path) -> None:
    """A key that came later, the task among them, changes no id: each recorded design names the runs that it named."""
    claims = load_claims(*find_catalogues(shipped_conf(), None)[""])
    cells = {cell.id: cell for claim in claims.values() for cell in claim.cells}
    request, designs = Request(claims, (), tmp_path, None), 0
    for path in sorted((REFERENCE / "claims").glob("*.json")):
        kept = json.loads(path.read_text())
        if "runs" not in kept:
            continue
        cell = cells[path.stem]
        over = cell.over and replace(cell.over, lowest=kept["over"][0], highest=kept["over"][1])
        runs = request.sweep(cell, kept["seeds"], over).runs
        found = {run_id(planned(run), CONTENTS.get(run.data.name) or load_data(run.data).content) for run in runs}
        assert found == set(kept["runs"]), cell.id
        designs += 1
    assert designs == 92


def planned(run: Run) -> Run:
    """Return a run as a plan holds it: without a norm batch size if the norm has no batch statistics."""
    return run if getattr(REGISTRY[run.norm.name], "batch_statistics", False) else replace(run, norm_batch_size=None)
