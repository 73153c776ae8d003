"""A large made-up study, never trained, for measuring merging and aggregating."""

import random
from pathlib import Path
from typing import Any

from normbench.config.sweep import expand
from normbench.record.columns import CURVES, METRIC_COLUMNS
from normbench.record.store import Record, Study
from normbench.record.tables import PROVENANCE

EVALUATIONS = 10
"""Rows of curves.csv of each run."""

PACK = 30
"""Runs of a shard."""


def make_up(folder: Path, count: int) -> Study:
    """Write plan and shards of `count` runs of 250 cells, as commands would write them, but no table.

    Args:
        folder: The study's folder.
        count: How many runs.

    Returns:
        The study.
    """
    axes = ("norm=batch,layer,none,group,group", "batch_size=2,4,8,16,32", "lr=range(1,11)", "model.depth=3")
    sweep = expand([*axes, f"seed=range({-(-count // 200)})"], multirun=True)
    draw = random.Random(0)
    study = Study(folder)
    study.create()
    runs = {
        f"{draw.getrandbits(48):012x}": {"content": "0" * 64, "config": one.as_dict()}
        for one in sweep.requested[:count]
    }
    ids = list(runs)
    packs: list[dict[str, Any]] = [
        {"runs": ids[start : start + PACK], "mode": "stacked", "threads": 1, "reason": "made up"}
        for start in range(0, len(ids), PACK)
    ]
    block = study.append_block({"created": "made up", "command": [], "changed": ["model.depth"]}, runs, packs)
    for index, pack in enumerate(packs):
        records = [_record(run_id, seed, index, draw) for seed, run_id in enumerate(pack["runs"])]
        study.write_shard(block.number, index, records)
    return study


def _record(run_id: str, seed: int, pack: int, draw: random.Random) -> Record:
    def score() -> float:
        return float(f"{draw.random():.9g}")

    scores = [name for name in METRIC_COLUMNS if name != "steps_to_target"]
    epochs = range(1, EVALUATIONS + 1)
    told = {name: "a cell of this length" for name in PROVENANCE[1:]}
    return Record(
        run_id=run_id,
        status="finished",
        result={"num_params": 43_786, "num_classes": 10, **{name: score() for name in scores}},
        curves={
            "epoch": [float(epoch) for epoch in epochs],
            "step": [39 * epoch for epoch in epochs],
            "lr": [0.1 for _ in epochs],
            **{name: [score() for _ in epochs] for name in list(CURVES)[4:]},
        },
        provenance={**told, "seed": seed, "block": 1, "pack": pack, "pack_size": PACK},
    )


MERGE = """
import sys
import time

# What a command that trains holds already when it merges.
import normbench.api

start = time.perf_counter()
from pathlib import Path

from normbench.analysis.refresh import write_tables
from normbench.analysis.study import load_runs
from normbench.analysis.table import aggregate
from normbench.record.store import Study

study = Study(Path(sys.argv[1]))
write_tables(study)
table = aggregate(load_runs(study.folder), by=None, metric="test_accuracy", best=None)
seconds = time.perf_counter() - start
# Of this process alone: getrusage would count what its parent held when it was forked.
with open("/proc/self/status") as status:
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
print(len(table.rows), seconds, int(peak) * 1024)
"""
"""Writes all tables of a study and aggregates it, torch being loaded; prints cells, seconds and peak bytes."""
