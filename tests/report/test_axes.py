"""Which factor goes where."""

import pandas as pd
from analysis.tables import runs_table

from normbench.report.axes import Axes, choose, telling


def grid() -> pd.DataFrame:
    """Return runs of two norms at three batch sizes, each with a budget of its own, and two rates."""
    return runs_table(
        *(
            {"norm": norm, "batch_size": size, "steps": 1000 // size, "lr": lr}
            for norm in ("batch", "none")
            for size in (2, 8, 32)
            for lr in (0.1, 0.2)
        )
    )


def test_a_budget_that_follows_the_batch_size_is_no_factor() -> None:
    """It tells no arms apart that the batch size does not."""
    assert telling(grid(), leave_out=["lr"]) == ["norm", "batch_size"]


def test_a_budget_of_its_own_is_a_factor() -> None:
    """Two budgets at one batch size are two arms."""
    runs = grid()
    assert "steps" in telling(pd.concat([runs, runs.assign(steps=7)], ignore_index=True), leave_out=["lr"])


def test_the_number_with_most_values_is_x_and_the_norm_is_the_colour() -> None:
    """The rest makes panels."""
    runs = grid()
    assert choose(runs, ["norm", "batch_size", "lr"]) == Axes("batch_size", "norm", ("lr",))


def test_the_tuned_key_can_be_asked_for() -> None:
    """Then the batch size makes the panels."""
    assert choose(grid(), ["norm", "batch_size"], x="lr") == Axes("lr", "norm", ("batch_size",))


def test_without_a_number_there_is_no_x() -> None:
    """Norms alone are a table."""
    assert choose(grid(), ["norm"]) == Axes(None, "norm", ())


def test_without_norms_the_first_factor_is_the_colour() -> None:
    """Such as two sizes of an optimizer's dial."""
    runs = grid().assign(**{"optimizer.nesterov": ["true", "false"] * 6})
    assert choose(runs, ["batch_size", "optimizer.nesterov"]) == Axes("batch_size", "optimizer.nesterov", ())
