import io
import re
from typing import Any

import pandas as pd
import pytest
from rich.cells import cell_len

from normbench.analysis.render import notes, render
from normbench.analysis.table import ResultsTable, aggregate
from normbench.errors import ConfigError

from .tables import runs_table


def pivoted(*settings: dict[str, Any], **options: Any) -> ResultsTable:
    """Return a pivoted table of three seeds of each setting, around an accuracy of .95 or its own."""
    rows = [
        {
            "seed": seed,
            "val_accuracy": 0.9,
            **setting,
            "test_accuracy": setting.get("test_accuracy", 0.95) + 0.01 * seed,
        }
        for setting in settings
        for seed in range(3)
    ]
    return aggregate(runs_table(*rows), **{"pivot": "norm", **options})


SMALL = pivoted(
    {"norm": "batch", "batch_size": 2, "test_accuracy": 0.5},
    {"norm": "none", "batch_size": 2},
    {"norm": "batch", "batch_size": 128},
)


def test_the_values_become_columns() -> None:
    """A row a batch size and a column a norm; where a cell was never run it is empty, and the best of a row is bold."""
    assert render(SMALL, "markdown").splitlines() == [
        "| batch_size | batch | none |",
        "| ---: | ---: | ---: |",
        "| 2 | 0.510 ± 0.025 | **0.960 ± 0.025** |",
        "| 128 | 0.960 ± 0.025 |  |",
    ]


def test_numbers_bear_the_name_of_their_column() -> None:
    """A column of a number says which number it is."""
    table = pivoted({"lr": 0.1}, {"lr": 0.25}, pivot="lr")
    assert render(table, "markdown").splitlines()[0] == "| lr=0.1 | lr=0.25 |"


def test_latex_names_the_metric_above_the_columns() -> None:
    """Two header lines, the first over the columns of the pivot."""
    assert render(SMALL, "latex").splitlines()[:6] == [
        r"\begin{tabular}{rrr}",
        r"\toprule",
        r"& \multicolumn{2}{c}{test\_accuracy by norm} \\",
        r"\cmidrule(lr){2-3}",
        r"batch\_size & batch & none \\",
        r"\midrule",
    ]


def test_what_must_be_said_of_a_cell_stands_in_it() -> None:
    """Diverged runs and choices at the edge are told below the number, in brackets outside a terminal."""
    table = pivoted({"norm": "a"}, {"norm": "b", "status": "diverged"})
    assert render(table, "markdown").splitlines()[2] == "| **0.960 ± 0.025** | – (3/3 diverged) |"  # noqa: RUF001
    assert re.search(r"0\.960 ± 0\.025 +–\n +3/3 diverged", render(table))  # noqa: RUF001
    chosen = pivoted({"norm": "a", "lr": 0.1}, {"norm": "a", "lr": 0.2}, {"norm": "b", "lr": 0.1}, best="lr")
    assert "(3/3 at edge)" in render(chosen, "markdown")


def test_the_number_of_runs_is_told() -> None:
    """The usual number in a note, another one in its cell."""
    table = aggregate(
        runs_table(*({"norm": norm, "seed": seed} for norm, n in (("a", 3), ("b", 3), ("c", 2)) for seed in range(n))),
        pivot="norm",
    )
    assert "n = 3 runs per cell" in notes(table, bold=False)[0]
    assert "(n 2)" in render(table, "markdown")
    assert render(table, "markdown").count("(n ") == 1


def test_csv_has_every_number_under_its_value() -> None:
    """Wide CSV: the keys, then each number of each value, with every digit."""
    table = pd.read_csv(io.StringIO(render(SMALL, "csv")))
    assert table["batch_size"].tolist() == [2, 128]
    assert table["mean[norm=batch]"].tolist() == pytest.approx([0.51, 0.96], abs=1e-12)
    assert table["n[norm=batch]"].tolist() == [3, 3]
    assert table["mean[norm=none]"].isna().tolist() == [False, True]
    assert table["among_best[norm=none]"].tolist()[0]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_table_too_wide_comes_in_parts(width: int) -> None:
    """Of twenty norms, each part fits and repeats the keys; every number is there once, and whole."""
    names = [f"norm{number:02}" for number in range(20)]
    table = pivoted(*({"norm": name, "batch_size": size} for name in names for size in (2, 128)))
    text = render(table, width=width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert text.count("0.960") == 40 and text.count("± 0.025") == 40
    assert all(text.count(name) == 1 for name in names)
    assert text.count("batch") > 1


def test_a_table_without_keys_comes_in_parts_too() -> None:
    """Where the pivot is all that tells rows apart, the single line is cut as well."""
    table = pivoted(*({"norm": f"norm{number:02}"} for number in range(20)))
    assert max(map(cell_len, render(table, width=80).splitlines())) <= 80


def test_five_norms_fit_80_columns_in_one_part() -> None:
    """Intervals go below their means before a table comes in parts."""
    table = pivoted(*({"norm": f"norm_{name}", "batch_size": size} for name in "abcde" for size in (2, 128)))
    text = render(table, width=80)
    assert text.count("batch_size") + text.count("batch_\n") == 1
    assert max(map(cell_len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"pivot": "nrom"}, "did you mean 'norm'", id="unknown"),
        pytest.param({"pivot": "lr", "best": "lr"}, "cannot be both tuned and grouped by", id="chosen"),
    ],
)
def test_a_pivot_that_cannot_be(options: dict[str, Any], message: str) -> None:
    """An unknown column, and one that is tuned, are refused."""
    with pytest.raises(ConfigError, match=message):
        pivoted({}, **options)


def test_a_pivot_joins_the_columns_that_tell_rows_apart() -> None:
    """It need not be named in `by`, and may be all of it."""
    assert pivoted({"norm": "a"}, {"norm": "b"}, by=["batch_size"]).by == ("batch_size", "norm")
    assert len(render(pivoted({"norm": "a"}, {"norm": "b"}, by=["norm"]), "markdown").splitlines()) == 3
