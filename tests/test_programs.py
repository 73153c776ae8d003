"""Tests of `normbench.train` in the programs that people call it from: scripts, notebooks, pools, threads, apps."""

import asyncio
import linecache
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from hydra import initialize_config_dir
from torch import Tensor, nn

import normbench

TINY = ["steps=2", "model.width=8", "seed=range(2)"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train_in(results_dir: Path) -> pd.DataFrame:
    return normbench.train([*TINY, "engine.workers=2"], results_dir=results_dir)


def in_threads(here: Path) -> list[pd.DataFrame]:
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(train_in, (here / "one", here / "two")))


def in_a_process_pool(here: Path) -> list[pd.DataFrame]:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return [pool.apply(train_in, (here / "one",))]


def in_an_event_loop(here: Path) -> list[pd.DataFrame]:
    async def train() -> pd.DataFrame:
        return train_in(here / "one")

    return [asyncio.run(train())]


def in_a_hydra_app(here: Path) -> list[pd.DataFrame]:
    (here / "app.yaml").write_text("lr: 0.5\n")
    with initialize_config_dir(str(here), version_base="1.3", job_name="app"):
        return [train_in(here / "one")]


@pytest.mark.parametrize("inside", [in_threads, in_a_process_pool, in_an_event_loop, in_a_hydra_app])
def test_a_program_may_train_wherever_it_is(inside: Callable[[Path], list[pd.DataFrame]], here: Path) -> None:
    """Where a process may have no children it trains by itself; threads take turns."""
    expected = train_in(here / "alone")
    for rows in inside(here):
        pd.testing.assert_frame_equal(rows, expected)


def script(here: Path, text: str, *args: str, method: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the user's, whose workers are forked or spawned."""
    (here / "script.py").write_text(text)
    own = {"NORMBENCH_CACHE": str(here / "cache"), "NORMBENCH_START_METHOD": method}
    return subprocess.run(
        [sys.executable, "script.py", *args], capture_output=True, text=True, timeout=300, env={**os.environ, **own}
    )


@pytest.mark.slow
def test_the_readmes_example_trains_in_spawned_workers_as_it_stands(here: Path) -> None:
    """Workers of a script without `if __name__ == "__main__"` do not run it once more."""
    page = (Path(__file__).parent.parent / "README.md").read_text()
    text = page.partition("From Python:\n\n```python\n")[2].partition("```")[0]
    assert "normbench.train(" in text and "__main__" not in text
    tiny = text.replace('"seed=range(3)"', '"seed=range(3)", "steps=2", "engine.workers=2"')
    done = script(here, f"print('begun')\n{tiny}\nprint(len(runs))\n", method="spawn")
    assert (done.stdout, done.stderr, done.returncode) == ("begun\n6\n", "", 0)


OWN = """
import sys

from torch import nn

import normbench


def shifted(num_features, by=1.0):
    return nn.BatchNorm1d(num_features)


tiny = ["steps=2", "model.width=8", "seed=range(2)"]
rows = normbench.train([*tiny, "norm._target_=__main__.shifted", "norm.name=mine", *sys.argv[1:]])
print(*rows["status"])
"""


@pytest.mark.slow
def test_a_norm_may_stand_in_the_script(here: Path) -> None:
    """Forked workers have it; spawned ones cannot, and nothing starts."""
    spawned = script(here, OWN, "engine.workers=2", method="spawn")
    assert spawned.stderr.splitlines()[-1] == (
        "normbench.errors.ConfigError: norm._target_=__main__.shifted: workers are spawned here and cannot import it; "
        "move it to a .py file, or set engine.workers=1."
    )
    assert not (here / "results").exists()
    forked = script(here, OWN, "engine.workers=2", method="fork")
    assert (forked.stdout, forked.returncode) == ("finished finished\n", 0)


class Times(nn.Module):
    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


@pytest.mark.parametrize("workers", [1, 2])
def test_a_norm_may_stand_in_a_notebook(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changed and run again, its cell gives another run, which trains as it stands now."""
    notebook = ModuleType("__main__")
    vars(notebook)["Times"] = Times
    monkeypatch.setitem(sys.modules, "__main__", notebook)

    def run_cell(factor: int) -> pd.DataFrame:
        text, name = f"def scaled(num_features):\n    return Times({factor})\n", f"<cell {factor}>"
        monkeypatch.setitem(linecache.cache, name, (len(text), None, text.splitlines(keepends=True), name))
        exec(compile(text, name, "exec"), vars(notebook))
        own = ["norm._target_=__main__.scaled", "norm.name=mine"]
        return normbench.train([*TINY, *own, "engine.mode=solo", f"engine.workers={workers}"], force=True)

    first, second, third = run_cell(1), run_cell(0), run_cell(1)
    # The study tells the two versions apart from the second cell on.
    pd.testing.assert_frame_equal(first, third.drop(columns="norm._content_"))
    assert not set(first["run_id"]) & set(second["run_id"])
    assert (first["train_loss"] != second["train_loss"]).all()
