from typing import Any

import pytest

from normbench.analysis.table import aggregate

from .tables import runs_table

SEEDS = [{"seed": seed, "test_accuracy": 0.5 + seed / 10, "val_accuracy": 0.5} for seed in (0, 1)]


def rows(*settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return two seeds of each setting."""
    return [{**seed, **setting} for setting in settings for seed in SEEDS]


TWO_RATES = rows({"lr": 0.1}, {"lr": 0.2})

CASES = [
    pytest.param(rows({}), {}, {"n < 2": False, "Pooled": False, "chance": False, "failed": False}, id="plain"),
    pytest.param(rows({}), {}, {"test_accuracy: mean ± half-width of its 95 % t interval": True}, id="interval"),
    pytest.param(rows({})[:1], {}, {"fewer than 2 finished values": True}, id="one seed"),
    pytest.param(rows({}, {"norm": "none", "status": "diverged"}), {}, {"counted as chance": True}, id="diverged"),
    pytest.param(rows({}, {"norm": "none", "status": "failed"}), {}, {"ended in an error": True}, id="failed"),
    pytest.param(TWO_RATES, {"by": ["norm"]}, {"Pooled: a row mixes values of lr;": True}, id="pooled"),
    pytest.param(
        rows({"norm": "batch"}, {"norm": "group", "norm.groups": 4}), {"by": ["norm"]}, {"Pooled": False}, id="no mix"
    ),
    pytest.param(TWO_RATES, {"best": "lr"}, {"Pooled": False, "at edge: choices": True, "Unfair": False}, id="edge"),
    pytest.param(rows({}), {"best": "lr"}, {"at edge: unknown if": True, "at edge: choices": False}, id="one rate"),
    pytest.param(
        TWO_RATES + rows({"norm": "none"}), {"best": "lr"}, {"Unfair: not every setting": True}, id="unequal grids"
    ),
    pytest.param(
        rows({"steps_to_target": 5}) + rows({})[:1],
        {"metric": "steps_to_target"},
        {"1 of 3 finished runs never reached the target": True},
        id="censored",
    ),
    pytest.param(
        rows({"study": "a", "model.depth": 3}, {"study": "b"}),
        {},
        {"A study records only what it varies: model.depth": True},
        id="unrecorded",
    ),
]


@pytest.mark.parametrize(("runs", "options", "expected"), CASES)
def test_notes(runs: list[dict[str, Any]], options: dict[str, Any], expected: dict[str, bool]) -> None:
    """A note stands where its reason is, and only there."""
    notes = "\n".join(aggregate(runs_table(*runs), **options).notes)
    assert {text: text in notes for text in expected} == expected
