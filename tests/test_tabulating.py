"""The commands that print tables, as a user meets them."""

from pathlib import Path

import pytest
from analysis.tables import write_regression, write_study
from commands import Command


@pytest.fixture
def two(tmp_path: Path) -> None:
    """Leave two studies of two norms: in the second, group norm is worse in every seed."""
    for name, loss in (("old", 0.0), ("new", 0.2)):
        write_study(
            tmp_path / "results" / name,
            *(
                {"run_id": f"{norm}{seed}", "norm": norm, "seed": seed, "test_accuracy": score + seed / 100}
                for norm, score in (("batch", 0.7), ("group", 0.9 - loss), ("none", 0.3))
                for seed in range(4)
            ),
        )


@pytest.mark.usefixtures("two")
def test_aggregate_pivots(normbench: Command) -> None:
    """--pivot puts norms side by side, and the best is bold where that can be seen, which a note explains."""
    result = normbench("aggregate", "old", "--pivot", "norm", "--format", "markdown")
    assert result.out.splitlines()[0] == "| batch | group | none |"
    assert "**0.915 ± 0.021**" in result.out and result.out.count("**") == 2
    assert "Bold: the best of each row" in result.err
    assert "\x1b" not in normbench("aggregate", "old", "--pivot", "norm").out


def test_a_task_without_accuracy_has_tables_too(normbench: Command, tmp_path: Path) -> None:
    """By its first metric, or any other that its runs have, in that metric's digits."""
    write_regression(tmp_path / "results" / "curve")
    table = normbench("aggregate", "curve", "--best", "lr")
    assert table.code == 0 and "test_r2" in table.out and "0.810 ± 0.025" in table.out
    assert "own validation r2" in " ".join(table.out.split())
    pivoted = normbench("aggregate", "curve", "--metric", "test_mse", "--pivot", "norm", "--format", "markdown")
    assert "**0.380 ± 0.050**" in pivoted.out
    other = normbench("aggregate", "curve", "--metric", "test_rmse")
    assert other.code == 2 and "did you mean 'test_mse'" in other.err
    write_regression(tmp_path / "results" / "again")
    assert normbench("compare", "curve", "again").out.startswith("test_r2: A = curve, B = again")


def test_the_rule_of_bold_is_in_the_help(normbench: Command) -> None:
    """A reader of a table can look up what bold means."""
    text = " ".join(normbench("aggregate", "--help").out.split())
    assert "cannot be told from it" in text and "paired by seed" in text


@pytest.mark.usefixtures("two")
def test_compare_tells_what_changed(normbench: Command) -> None:
    """One norm got worse, the others did not."""
    result = normbench("compare", "old", "new")
    assert result.code == 0
    assert "-0.200 [-0.200, -0.200]" in result.out
    assert "Runs in both: 12" in result.out
    assert normbench("compare", "old", "new", "--format", "csv").out.startswith("norm,n_a,n_b,")


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param(["compare", "old", "old"], "was given twice", id="one study"),
        pytest.param(["compare", "old", "nwe"], "did you mean 'new'?", id="unknown study"),
        pytest.param(["compare", "old"], "Missing argument 'STUDY_B'", id="only one"),
        pytest.param(
            ["compare", "old", "new", "--metric", "test_acuracy"], "did you mean 'test_accuracy'", id="metric"
        ),
        pytest.param(["compare", "old", "new", "--by", "nrom"], "did you mean 'norm'", id="column"),
        pytest.param(["compare", "old", "new", "--format", "excel"], "unknown format 'excel'", id="format"),
        pytest.param(["compare", "old", "new", "--show", "verdict"], "did you mean 'verdicts'", id="part"),
        pytest.param(["aggregate", "old", "--pivot", "nrom"], "did you mean 'norm'", id="pivot"),
    ],
)
def test_what_cannot_be_is_told(normbench: Command, args: list[str], message: str) -> None:
    """Code 2, one line, no traceback, no table."""
    result = normbench(*args)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""
