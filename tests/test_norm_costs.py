"""What `scripts/bench --norms` measures, and where it shows it."""

import csv
from pathlib import Path

import pytest
import torch
from measure import __main__ as bench
from measure import norms
from measure.norms import BEGIN, END, SHAPES, Cost, Part

from normbench.norms import REGISTRY, BatchNorm

RESULTS = Path(__file__).parent.parent / "results"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure for a moment only, and leave the threads as they are."""
    monkeypatch.setattr(norms, "_SECONDS", 0.0)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)


def test_a_ratio_is_the_median_of_pairs() -> None:
    """Each pair gives one; times of different pairs are not mixed."""
    cost = Cost("rms", "mlp", saved=300, batch_saved=200, pairs=[(1.0, 2.0), (10.0, 10.0), (2.0, 1.0)])
    (row,) = norms.rows([cost])
    assert (row["time_ratio"], row["time_ratio_low"], row["time_ratio_high"]) == ("1", "0.5", "2")
    assert (row["time_us"], row["saved_kb"], row["saved_ratio"], row["pairs"]) == ("2e+06", "0.3", "1.5", "3")


def test_saved_bytes_are_those_of_the_known_layers() -> None:
    """A ReLU keeps its output, batch norm its input too and two numbers a channel."""
    samples, channels = SHAPES["mlp"]
    values = 4 * samples * channels
    assert norms.saved_bytes("none", "mlp") == values
    assert norms.saved_bytes("batch", "mlp") == 2 * values + 2 * 4 * channels


@pytest.mark.parametrize("name", REGISTRY)
def test_every_norm_is_measured_where_it_can_be(name: str) -> None:
    """All of them on maps, and on features those that do not average over positions."""
    maps = norms.measure(name, "resnet stage 3", pairs=1)
    assert maps is not None and maps.saved > 0 and len(maps.pairs) == 1
    features = norms.measure(name, "mlp", pairs=1)
    assert (features is None) is (name in ("instance", "frn", "evonorm_b0", "switchable"))


def test_weights_that_a_norm_changes_are_part_of_its_cost() -> None:
    """The standardised weights have a gradient too; other norms leave the layer before alone."""
    x = torch.randn(SHAPES["mlp"])
    assert [y.shape for y in Part("scaled_weight", SHAPES["mlp"])(x)] == [x.shape, (128, 128)]
    assert [y.shape for y in Part("batch", SHAPES["mlp"])(x)] == [x.shape]
    assert isinstance(Part("batch", SHAPES["mlp"]).norm, BatchNorm)


def test_the_script_writes_rows_and_prints_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line a norm, with a dash where it cannot be."""
    monkeypatch.setattr(norms, "SHAPES", {"mlp": (4, 8), "maps": (2, 8, 4, 4)})
    path = tmp_path / "costs.csv"
    assert bench.main(["--norms", "--quick", "--pairs", "1", "--output", str(path)]) == 0
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert tuple(found[0]) == norms.COLUMNS
    assert {row["norm"] for row in found} == set(REGISTRY)
    printed = capsys.readouterr().out
    assert printed.startswith("| norm | mlp, 4x8 | maps, 2x8x4x4 |\n")
    assert "| `frn` | - | " in printed
    assert norms.table(found) in printed


def test_the_page_shows_the_table_in_its_place(tmp_path: Path) -> None:
    """What stood there goes, what stands around it stays."""
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n")
    found = list(norms.rows([Cost("rms", "mlp", saved=300, batch_saved=200, pairs=[(1.0, 2.0)])]))
    for _ in range(2):
        norms.show(found, page)
    line = "| `rms` | 2.00 / 1.50 |"
    assert page.read_text() == f"before\n{BEGIN}\n| norm | mlp, 32x128 |\n|---|---|\n{line}\n\n{END}after\n"


def test_the_figures_on_the_page_are_those_of_the_csv() -> None:
    """Neither is edited without the other."""
    path = RESULTS / "reference" / "norm_costs.csv"
    shown = (RESULTS / "README.md").read_text().partition(BEGIN)[2].partition(END)[0].strip()
    if path.exists():
        with path.open(newline="") as file:
            assert shown == norms.table(list(csv.DictReader(file))).strip()
    else:
        assert shown == ""


def test_names_of_other_figures_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """They would not be measured."""
    with pytest.raises(SystemExit) as exit_:
        bench.main(["--norms", "plan"])
    assert exit_.value.code == 2
    assert "omit the names" in capsys.readouterr().err
