from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normbench.analysis.cells import cells, config_columns, factors, ranks, require
from normbench.errors import ConfigError

from .tables import runs_table


def test_factors_are_what_differs() -> None:
    """A factor is a config column with two values; seeds, results and names are none."""
    runs = runs_table(
        {"norm": "batch", "seed": 0, "test_accuracy": 0.5, "study": "a", "num_params": 1},
        {"norm": "none", "seed": 1, "test_accuracy": 0.6, "study": "b", "num_params": 2},
    )
    assert factors(runs) == ["norm"]


def test_a_missing_value_is_a_value() -> None:
    """None beside 4 makes a factor and a cell of its own, the last."""
    runs = runs_table({"norm_batch_size": None}, {"norm_batch_size": 4}, {"norm_batch_size": None})
    numbers, keys = cells(runs)
    assert factors(runs) == ["norm_batch_size"]
    assert numbers.tolist() == [1, 0, 1]
    assert keys["norm_batch_size"].isna().tolist() == [False, True]


def test_a_metric_is_no_config_column() -> None:
    """A further metric and its chance level tell no cells apart; a task does."""
    runs = runs_table({"val_miou": 0.5, "test_map_batch": 0.1, "chance_miou": 0.1, "task": "dense"})
    assert config_columns(runs)[-2:] == ["steps", "task"]


def test_config_columns_hold_every_dotted_name() -> None:
    """A column that the contract does not fix is config."""
    assert config_columns(runs_table({"model.depth": 3}))[-2:] == ["steps", "model.depth"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([128, 2, 32], [2, 0, 1], id="numbers"),
        pytest.param(["128", "auto", "4", "32"], [2, 3, 0, 1], id="numbers as text before words"),
        pytest.param(["none", "batch", None], [1, 0, 2], id="missing last"),
        pytest.param(["007", "7"], [1, 0], id="zero-padded is text"),
        pytest.param(["1e-05", "0.1", "-3"], [1, 2, 0], id="floats as text"),
        pytest.param([True, False], [1, 0], id="booleans"),
    ],
)
def test_ranks(values: list[Any], expected: list[int]) -> None:
    """Numbers come by size, then text, then what is missing."""
    assert ranks(pd.Series(values)).tolist() == expected


@given(st.lists(st.tuples(st.sampled_from(["b", "a", None]), st.integers(-2, 2), st.integers(0, 1)), max_size=40))
def test_cells_are_those_of_a_loop(rows: list[tuple[str | None, int, int]]) -> None:
    """Cell numbers are places in the sorted list of distinct settings."""
    runs = pd.DataFrame(rows, columns=["x", "y", "z"])
    settings = sorted(set(rows), key=lambda row: (row[0] is None, row[0] or "", *row[1:]))
    numbers, keys = cells(runs, ["x", "y", "z"])
    assert numbers.tolist() == [settings.index(row) for row in rows]
    assert keys.astype(object).where(keys.notna(), None).apply(tuple, axis=1).tolist() == settings


def test_one_cell_where_nothing_tells_runs_apart() -> None:
    """Without columns to tell runs apart, they are one cell."""
    numbers, keys = cells(runs_table({}, {}), [])
    assert np.array_equal(numbers, [0, 0])
    assert keys.shape == (1, 0)


def test_require_names_the_nearest() -> None:
    """An unknown name is answered by the nearest."""
    with pytest.raises(ConfigError, match=r"unknown metric 'test_acuracy'; did you mean 'test_accuracy'\?"):
        require("test_acuracy", ["test_accuracy", "val_loss"], "metric")
