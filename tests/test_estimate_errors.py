"""What `scripts/bench --estimates` measures: the time estimate against the recorded times of a study."""

import csv
from dataclasses import replace
from math import log2
from pathlib import Path

import pytest
import torch
from measure import __main__ as bench
from measure import estimates
from measure.estimates import Timed

from normbench.api import Silent, open_session
from normbench.engine.costs import Kind, guess
from normbench.spec import Passes

KIND = Kind(
    structure="a",
    size=8,
    mode="stacked",
    threads=1,
    multiply_adds=1.4e6,
    num_params=43_000,
    steps=500,
    evaluations=5,
    batch_size=32,
    activations=50_000,
    operations=21,
    validation=Passes(1, 180),
    tests=Passes(1, 360),
)
REFERENCE = Path(__file__).parent.parent / "results" / "reference" / "estimates.csv"


def packs(*slower: float) -> list[Timed]:
    """Return packs of different structures that took so many times their guess."""
    return [
        Timed(replace(KIND, structure=str(place)), "mlp", "batch", times * guess(KIND).of(KIND), compiles=False)
        for place, times in enumerate(slower)
    ]


def test_errors_are_in_octaves() -> None:
    """A machine twice as slow is an octave for every guess, none after scaling and none by the nearest pack."""
    row = next(estimates.rows(packs(2.0, 2.0, 2.0)))
    assert (row["group"], row["packs"]) == ("all", "3")
    assert (row["guess_median"], row["guess_q90"]) == ("1.00", "1.00")
    assert (row["scaled_median"], row["corrected_median"]) == ("0.00", "0.00")
    assert float(row["measured_s"]) == pytest.approx(2 * float(row["guess_s"]), rel=1e-3)


def test_a_pack_is_not_corrected_by_its_own_structure() -> None:
    """Each of two is corrected by the other: what only itself knows remains."""
    one, other = estimates.estimates(packs(1.0, 4.0))
    assert log2(one[2] / other[2]) == pytest.approx(2.0)
    assert one[2] == pytest.approx(4 * one[0])


def test_the_first_pack_of_a_structure_compiles() -> None:
    """Its guess has the compilation, and later ones have not."""
    compiled = replace(KIND, mode="compiled")
    first, later = (Timed(compiled, "mlp", "batch", 1.0, compiles=one) for one in (True, False))
    found = estimates.estimates([first, later])
    assert found[0][0] - found[1][0] == pytest.approx(compiled.compilation)


def test_the_script_measures_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It finds every pack with its kind, and writes and prints a table."""
    monkeypatch.setenv("NORMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    sweep = ["model.width=8", "model.depth=1", "steps=3", "norm=batch,none", "engine.workers=1", "seed=range(2)"]
    session = open_session([*sweep, f"results_dir={tmp_path}", "study=small"], multirun=True)
    session.study.create()
    session.execute(Silent())
    session.rows()
    path = tmp_path / "estimates.csv"
    assert bench.main(["--estimates", str(tmp_path / "small"), "--output", str(path)]) == 0
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert tuple(found[0]) == estimates.COLUMNS
    by_group = {(row["group"], row["value"]): row["packs"] for row in found}
    assert by_group["all", ""] == by_group["mode", "solo"] == "4"
    assert by_group["norm", "batch"] == by_group["norm", "none"] == "2"
    assert "written" in capsys.readouterr().out


def test_the_reference_study_bears_the_model_out() -> None:
    """Corrected by the nearest pack, most estimates are within a factor of 1.5, and their sum within a quarter."""
    with REFERENCE.open(newline="") as file:
        whole = next(csv.DictReader(file))
    assert whole["group"] == "all"
    assert float(whole["corrected_median"]) < log2(1.5)
    assert float(whole["corrected_s"]) == pytest.approx(float(whole["measured_s"]), rel=0.25)


def test_names_of_other_figures_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """They would not be measured."""
    with pytest.raises(SystemExit) as exit_:
        bench.main(["--estimates", "study", "plan"])
    assert exit_.value.code == 2
    assert "omit" in capsys.readouterr().err
