import io
import re
from typing import Any

import pandas as pd
import pytest
from rich.cells import cell_len

from normbench.analysis.pivot import pivot_rows
from normbench.analysis.render import FORMATS, notes, render
from normbench.analysis.table import ResultsTable, aggregate
from normbench.errors import ConfigError

from .tables import runs_table


def results(*settings: dict[str, Any], spread: float = 0.01, **options: Any) -> ResultsTable:
    """Return the table of three seeds of each setting, around an accuracy of .95."""
    scores = [{"seed": seed, "val_accuracy": 0.9, "test_accuracy": 0.95 + spread * (seed - 1)} for seed in range(3)]
    return aggregate(runs_table(*({**score, **setting} for setting in settings for score in scores)), **options)


SMALL = results({"norm": "batch", "batch_size": 2}, {"norm": "layer_channels", "batch_size": 128})
WIDE = results(
    *(
        {"norm": norm, "optimizer.weight_decay": decay, "data": "my_lab.sets.flowers"}
        for norm in ("batch", "layer_channels")
        for decay in (0.0005, 0.05)
    ),
    {"data": "digits", "status": "diverged"},
    best="lr",
)

SMALL_TEXT = """\
norm            batch_size  n  test_accuracy
────────────────────────────────────────────
batch                    2  3  0.950 ± 0.025
layer_channels         128  3  0.950 ± 0.025

test_accuracy: mean ± half-width of its 95 % t interval, over those of the n
runs that finished.
"""


def test_table() -> None:
    """A small table, with its note."""
    assert render(SMALL) == SMALL_TEXT


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 300])
def test_a_number_is_whole_at_any_width(width: int) -> None:
    """However narrow the terminal, a mean and its interval stay on one line, and no escape code is written."""
    text = render(WIDE, width=width)
    assert text.count("0.950 ± 0.025") == 4
    assert not re.search("[\x1b…]", text)


def test_a_wide_table_fits_80_columns_by_breaking_headers() -> None:
    """Long headers break before any text does, and text breaks between its parts."""
    text = render(WIDE, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(" $", text, re.MULTILINE)
    assert "optimizer.weight_decay" not in text
    assert re.search(r"^layer_ +my_lab\..*\nchannels +sets\.", text, re.MULTILINE)
    assert "optimizer.weight_decay" in render(WIDE, width=200)


def test_color_is_for_terminals() -> None:
    """Escape codes are written only when asked for."""
    assert "\x1b[" in render(SMALL, color=True)


@pytest.mark.parametrize(
    ("spread", "shown"),
    [
        pytest.param(0.01, "0.950 ± 0.025", id="three decimals"),
        pytest.param(0.0001, "0.9500 ± 0.0002", id="four for a narrow interval"),
        pytest.param(0.0, "0.950 ± 0.000", id="no spread"),
    ],
)
def test_decimals_follow_the_interval(spread: float, shown: str) -> None:
    """Accuracies have three decimals, and a fourth where the interval needs it."""
    assert shown in render(results({}, spread=spread))


def test_losses_and_steps() -> None:
    """Steps are whole, small losses keep their digits, and huge ones stay short."""
    runs = runs_table(
        {"steps_to_target": 120, "test_loss": 1e-5, "train_loss": 1e30},
        {"seed": 1, "steps_to_target": 140, "test_loss": 3e-5, "train_loss": 3e30},
    )
    assert "130 ± 127" in render(aggregate(runs, metric="steps_to_target"))
    assert "0.00002 ± 0.00013" in render(aggregate(runs, metric="test_loss"))
    assert "2e+30 ± 1.271e+31" in render(aggregate(runs, metric="train_loss"))


def test_missing_parts_are_dashes() -> None:
    """A row without a mean shows a dash, one without an interval its mean alone."""
    runs = runs_table(
        {"norm": "batch", "test_accuracy": 0.9},
        {"norm": "batch", "test_accuracy": 0.8, "seed": 1},
        {"norm": "group", "test_accuracy": 0.7},
        {"norm": "none", "status": "diverged"},
    )
    lines = [line.split(maxsplit=3)[3] for line in render(aggregate(runs)).splitlines()[2:5]]
    assert lines == ["0.850 ± 0.635           0.850", "0.700           0.700", "–           0.100"]  # noqa: RUF001


def test_best_shows_votes() -> None:
    """The chosen rate stands with its votes and how many lie at the edge."""
    text = render(results({"lr": 0.1}, {"lr": 0.2}, best="lr"))
    assert re.search(r"batch +0\.1 \(3/3\) +3 +3", text)


def test_values_of_every_kind() -> None:
    """Booleans read as in YAML, what is missing as a dash, and rates without trailing digits."""
    runs = runs_table({"norm.affine": True, "lr": 1e-05}, {"norm.affine": False, "norm_batch_size": 4, "lr": 2**-3.5})
    assert render(aggregate(runs), "markdown").splitlines()[2:] == [
        "| 4 | 0.0883883 | false | 1 | – |",  # noqa: RUF001
        "| – | 1e-05 | true | 1 | – |",  # noqa: RUF001
    ]


def test_csv_has_every_column() -> None:
    """CSV is the rows themselves, with every digit."""
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(render(WIDE, "csv"))), WIDE.rows, check_dtype=False)


def test_markdown() -> None:
    """Numbers are right-aligned, and a bar in a name does not end its cell; what ties for the best is not bold."""
    assert render(results({"norm": "a|b"}, {"norm": "c"}), "markdown").splitlines()[:3] == [
        "| norm | n | test_accuracy |",
        "| --- | ---: | ---: |",
        "| a\\|b | 3 | 0.950 ± 0.025 |",
    ]


def test_latex() -> None:
    """LaTeX has booktabs rules and escaped text."""
    assert render(results({"norm": "50%_\\x"}, {"norm": "c"}), "latex").splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"norm & n & test\_accuracy \\",
        r"\midrule",
        r"50\%\_\textbackslash{}x & 3 & 0.950 $\pm$ 0.025 \\",
        r"c & 3 & 0.950 $\pm$ 0.025 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_takes_an_empty_table(name: str) -> None:
    """A table without rows is a header, in every format."""
    assert "norm" in render(aggregate(runs_table()), name)


def test_an_unknown_format() -> None:
    """A format that is none is answered by the nearest."""
    with pytest.raises(ConfigError, match="did you mean 'markdown'"):
        render(SMALL, "markdwn")


APART = results({"norm": "batch"}, {"norm": "group"}, {"norm": "none", "status": "diverged"})


def test_the_best_is_bold_where_it_is_told_apart() -> None:
    """Two that tie are both bold beside a third that is worse; escape codes say so on a terminal alone."""
    assert render(APART, "markdown").splitlines()[2:] == [
        "| batch | 3 | 0 | **0.950 ± 0.025** | 0.950 |",
        "| group | 3 | 0 | **0.950 ± 0.025** | 0.950 |",
        "| none | 3 | 3 | – | 0.100 |",  # noqa: RUF001
    ]
    assert r"\textbf{0.950 $\pm$ 0.025}" in render(APART, "latex")
    assert "\x1b[1m" in render(APART, color=True)
    assert "\x1b" not in render(APART)


def test_the_rule_of_bold_is_told_where_it_is_seen() -> None:
    """The note stands under a table with bold in it, and under no other."""
    assert "Bold: the best of all rows" in render(APART, color=True, width=300)
    assert "Bold" not in render(APART)
    assert not any("Bold" in note for note in notes(SMALL, bold=True))
    assert any("Bold" in note for note in notes(APART, bold=True))


HOSTILE = {
    "script": "<script>alert(1)</script>",
    "signs": "a|b & c_d %e $f$ #g {h} ~i ^j \\k `l` *m* [n]",
    "line ends": "a\nb\r\tc",
    "escape codes": "\x1b[31mred\x1b[0m",
    "turned around": "\u202egnidaer",
    "long": "n" * 10_000,
    "wide": "批" * 60,
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("pivot", [None, "norm"])
def test_a_hostile_name_keeps_to_its_cell(name: str, pivot: str | None) -> None:
    """Whatever a norm is called, a table has its lines and columns, no control sign, and fits 80 columns."""
    table = results({"norm": name}, {"norm": "plain"}, pivot=pivot, by=["norm", "data"])
    for form in ("markdown", "latex", "table"):
        text = render(table, form, width=80)
        assert text.isprintable() or set(text) - set("\n") == {sign for sign in text if sign.isprintable()}
        if form == "table":
            assert max(map(cell_len, text.splitlines())) <= 80
            assert len(text.splitlines()) < 40
    lines = render(table, "markdown").splitlines()
    assert len(lines) == (4 if pivot is None else 3)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {5 if pivot is None else 4}
    assert "<" not in "".join(lines)
    bodies = [line for line in render(table, "latex").splitlines() if line.endswith(r" \\")]
    assert all(
        len(re.findall(r"(?<!\\)&", line)) == (3 if pivot is None else 2) for line in bodies[pivot is not None :]
    )
    rows = table.rows if pivot is None else pivot_rows(table)
    assert len(pd.read_csv(io.StringIO(render(table, "csv")))) == len(rows)
    if pivot is None:
        assert name in pd.read_csv(io.StringIO(render(table, "csv"), newline=""))["norm"].tolist()
