"""A hundred thousand runs."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from normbench.record.columns import CURVES, FIXED
from normbench.report.page import page

SECONDS, BYTES = 60, 10_000_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("norms", "rates", "seeds"),
    [
        pytest.param(10, 20, 50, marks=pytest.mark.full),
        (10, 100, 10),
        pytest.param(100, 100, 1, marks=pytest.mark.full),
    ],
)
def test_a_hundred_thousand_runs_are_a_page_in_a_minute(tmp_path: Path, norms: int, rates: int, seeds: int) -> None:
    """Many seeds, or many cells: a file under 10 MB. The seconds are those of the one core that it takes."""
    sizes = 100_000 // (norms * rates * seeds)
    grid = pd.MultiIndex.from_product(
        [[f"norm{place}" for place in range(norms)], range(1, sizes + 1), np.geomspace(1e-4, 10, rates), range(seeds)],
        names=["norm", "batch_size", "lr", "seed"],
    ).to_frame(index=False)
    rng = np.random.default_rng(0)
    accuracy = rng.random(len(grid))
    runs = grid.assign(
        run_id=[f"{place:012x}" for place in range(len(grid))], study="big", status="finished", model="mlp",
        data="digits", steps=100, num_params=10, num_classes=10,
        **{name: accuracy for name, column in FIXED.items() if column.role == "metric" and name != "steps_to_target"},
    ).reindex(columns=list(FIXED))  # fmt: skip
    lost = rng.random(len(runs)) < 0.1
    runs.loc[lost, "status"] = "diverged"
    runs.loc[lost, [name for name, column in FIXED.items() if column.role == "metric"]] = np.nan
    runs.to_csv(tmp_path / "runs.csv", index=False)
    curves = pd.concat([runs.assign(epoch=1.0, step=step)[list(CURVES)] for step in (1, 2, 3, 4, 5)])
    curves.to_csv(tmp_path / "curves.csv", index=False)
    start = time.process_time()
    text = page([tmp_path], {})
    assert time.process_time() - start < SECONDS
    assert len(text.encode()) < BYTES
