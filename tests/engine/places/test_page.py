"""README's page on clusters: its commands as they are printed, with a real Slurm, and Ray on this machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..sessions import tables
from .slurm_nodes import SlurmNodes

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_a_study_goes_from_here_to_slurm_and_to_ray(slurm: SlurmNodes, here: Path) -> None:
    """The commands of the page do that, and its tables are those of a study that stayed here."""
    page = (ROOT / "README.md").read_text().partition("\n## On a cluster\n")[2].partition("\n## ")[0]
    commands = re.findall(r"^    (normbench .*)$", page, re.MULTILINE)
    assert all(any(word in text for text in commands) for word in ("engine=slurm", "engine=ray", "status"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    last = f"{commands[-1].removesuffix(' engine=ray')} results_dir=alone"
    for command in (*commands, last):
        done = subprocess.run(["bash", "-c", command], env={**os.environ, "PATH": path}, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert tables(here / "results" / "mine") == tables(here / "alone" / "mine")
