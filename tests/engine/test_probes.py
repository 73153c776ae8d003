"""Probes from the command to curves.csv."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from engine.sessions import plan, run, tables
from normbench.analysis.study import load_curves
from normbench.errors import ConfigError

STUDY = Path("results/default")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def probed(curves: pd.DataFrame) -> set[str]:
    """Return the probes that curves.csv has columns of."""
    return {name.split(".")[1] for name in curves.columns if name.startswith("probe.")}


def test_probes_get_columns_and_change_no_other() -> None:
    """The rows of a probed sweep are those of the same sweep without, and more columns in curves.csv."""
    run("seed=range(2)", "model.depth=3", results_dir="plain")
    run("seed=range(2)", "probes=[gradients,dead_units]", "model.depth=3")
    own, plain = tables(STUDY), tables(Path("plain/default"))
    assert own["runs"] == plain["runs"]
    curves, bare = load_curves(STUDY), load_curves(Path("plain/default"))
    assert probed(curves) == {"gradients", "dead_units"}
    pd.testing.assert_frame_equal(curves[bare.columns], bare)
    assert curves["probe.gradients.slope"].notna().all()


def test_workers_inherit_what_probes_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise each worker would import it for its first run, for seconds."""
    loaded: list[str] = []

    def load(name: str) -> ModuleType:
        loaded.append(name)
        return import_module(name)

    monkeypatch.setattr("normbench.engine.places.local.import_module", load)
    for probes, wanted in (("[]", False), ("[gradients]", True)):
        loaded.clear()
        run("seed=range(2)", f"probes={probes}", "engine.workers=2", results_dir=f"results{wanted}")
        assert ("torch._dynamo" in loaded) is wanted


def test_a_probe_that_earlier_runs_lack_trains_them_again() -> None:
    """And those they had are kept; one that they have does not."""
    run("seed=range(2)", "model.depth=3", "probes=[dead_units]")
    assert plan("seed=range(2)", "model.depth=3").to_train == 0
    assert plan("seed=range(2)", "model.depth=3", "probes=[dead_units]").to_train == 0
    assert plan("seed=range(2)", "model.depth=3", "probes=[gradients]").to_train == 2
    run("seed=1,5", "model.depth=3", "probes=[gradients]")
    curves = load_curves(STUDY)
    assert probed(curves) == {"gradients", "dead_units"}
    counts = curves.groupby("run_id")[["probe.gradients.slope", "probe.dead_units.share"]].count()
    assert sorted(map(tuple, counts.to_numpy().tolist())) == [(0, 1), (1, 0), (1, 1)]


def test_an_interrupted_block_keeps_its_probes() -> None:
    """The same command without the probes trains what the block promised, so that its runs stay of one kind."""
    axes = ("seed=range(2)", "model.depth=3", "engine.mode=solo")
    session = run(*axes, "probes=[gradients]")
    next((STUDY / "shards").iterdir()).unlink()
    assert plan(*axes).to_train == 1
    run(*axes)
    curves = load_curves(STUDY)
    assert curves["probe.gradients.slope"].notna().all()
    assert len(session.study.blocks()) == 1


def test_an_unknown_probe_is_an_error() -> None:
    """It names the nearest."""
    with pytest.raises(ConfigError, match=r"unknown probe 'gradient'.*gradients"):
        plan("probes=[gradient]")
    with pytest.raises(ConfigError, match="probes: got 'gradients', expected a list of names"):
        plan("probes=gradients")
