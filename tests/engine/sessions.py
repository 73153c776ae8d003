"""Small commands, planned and carried out as the command line does it."""

from collections.abc import Sequence
from pathlib import Path

from normbench.api import Session, Silent, open_session

TINY = {"steps": 3, "model.width": 8, "model.depth": 1, "engine.workers": 1, "engine.mode": "solo"}

FAILING_RANK = """import torch.distributed as dist
from torch import nn

class Failing(nn.Identity):
    def forward(self, x):
        if dist.is_initialized() and dist.get_rank() == 1:
            raise RuntimeError('no luck')
        return x
"""
"""A module with a norm that fails in the second of two ranks."""


def plan(*overrides: str, results_dir: str = "results", force: bool = False, multirun: bool = True) -> Session:
    """Return a session of tiny runs of which nothing has started; overrides win over `TINY`."""
    given = {override.partition("=")[0] for override in overrides}
    if "engine=slurm" in overrides:
        given.add("engine.workers")
    tiny = [f"{key}={value}" for key, value in TINY.items() if key not in given]
    return open_session([*tiny, f"results_dir={results_dir}", *overrides], multirun=multirun, force=force)


def run(*overrides: str, results_dir: str = "results", force: bool = False, multirun: bool = True) -> Session:
    """Return a session of tiny runs that has been carried out."""
    session = plan(*overrides, results_dir=results_dir, force=force, multirun=multirun)
    session.study.create()
    session.execute(Silent())
    return session


def tables(folder: Path, names: Sequence[str] = ("runs", "curves", "summary")) -> dict[str, bytes]:
    """Return the bytes of a study's tables."""
    return {name: (folder / f"{name}.csv").read_bytes() for name in names}
