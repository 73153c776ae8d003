"""A recorded run is trained again from its plan and compared with its record."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from engine.sessions import TINY, run
from hypothesis import given
from hypothesis import strategies as st

from normbench import cli
from normbench.commands.rerun import RerunResult, describe, find_run, rerun
from normbench.config.sweep import expand
from normbench.engine.device import find_compiler
from normbench.errors import ConfigError, StudyError
from normbench.record.store import Study
from normbench.spec import Component, Requested

RESULTS = Path("results")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand in an empty folder, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def edit_shards(old: str, new: str, count: int = -1) -> None:
    """Replace a text in all shards, where it must stand."""
    for path in RESULTS.rglob("shards/*.json"):
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, count))


def again(prefix: str) -> RerunResult:
    return rerun(find_run(prefix, None, RESULTS), trust=False)


@pytest.mark.parametrize("mode", ["solo", "stacked", pytest.param("compiled", marks=pytest.mark.slow)])
def test_a_rerun_gives_the_same_bits_and_writes_nothing(mode: str) -> None:
    """Each run of a sweep comes out as recorded, in its mode and pack, from a prefix of its id."""
    if mode == "compiled" and find_compiler() is None:
        pytest.skip("needs a C++ compiler")
    session = run(
        *("norm=batch,group", "seed=range(3)", "eval_every=1", "model.dropout=0.1", "data.augment=crop"),
        *("model.width=32", f"engine.mode={mode}"),
    )
    before = contents(RESULTS)
    for known in session.plan.runs:
        comparison = again(known[:8])
        assert (comparison.recorded.run_id, comparison.cells, comparison.origins) == (known, (), ())
        assert list(describe(comparison))[1:] == ["identical, bit for bit"]
        assert comparison.recorded.origin["mode"] == mode
    assert contents(RESULTS) == before


@pytest.mark.parametrize("mode", ["solo", "stacked"])
def test_a_run_with_probes_comes_out_the_same(mode: str) -> None:
    """What its probes found is compared too, of runs that have some and of runs that have others."""
    probes = ("probes=[gradients,statistics_gap]", "eval_every=1", f"engine.mode={mode}", "model.width=32")
    session = run(*probes, "norm=batch,none", "seed=range(2)")
    for known in session.plan.runs:
        assert again(known).cells == ()
    study = Study(RESULTS / "default")
    one, *others = study.shard(1, 0)
    slope = "probe.gradients.slope"
    study.write_shard(1, 0, [replace(one, curves={**one.curves, slope: [7.5, *one.curves[slope][1:]]}), *others])
    assert [(cell.what, cell.then) for cell in again(one.run_id).cells] == [(f"{slope} at step 1", "7.5")]


def test_a_diverged_run_diverges_again() -> None:
    """Divergence is a result, at the same step."""
    (known,) = run("lr=1e30", "model.depth=3").plan.runs
    comparison = again(known)
    assert comparison.recorded.record.status == "diverged"
    assert comparison.cells == ()


def test_another_record_is_told_cell_by_cell() -> None:
    """The table names column and step, then and now, and that nothing else has changed."""
    (known,) = run(multirun=False).plan.runs
    edit_shards('"lr":[0.1]', '"lr":[0.5]')
    comparison = again(known)
    assert [(cell.what, cell.then, cell.now) for cell in comparison.cells] == [("lr at step 3", "0.5", "0.1")]
    text = "\n".join(describe(comparison))
    assert "1 cell of runs.csv and curves.csv differ" in text
    assert "are unchanged" in text


def test_a_missing_evaluation_differs() -> None:
    """A record whose curve is shorter is not the same."""
    (known,) = run("eval_every=1", multirun=False).plan.runs
    study = Study(RESULTS / "default")
    (one,) = study.shard(1, 0)
    study.write_shard(1, 0, [replace(one, curves={name: column[:-1] for name, column in one.curves.items()})])
    assert {cell.what for cell in again(known).cells} >= {"step at step 3", "val_loss at step 3"}


@pytest.mark.parametrize("column", ["git_commit", "git_diff", "torch", "compiler", "device_name"])
def test_what_has_changed_since_is_named(column: str) -> None:
    """Versions, commit, device and compiler of then and now stand side by side."""
    (known,) = run(multirun=False).plan.runs
    study = Study(RESULTS / "default")
    (one,) = study.shard(1, 0)
    study.write_shard(1, 0, [replace(one, provenance={**one.provenance, column: "older"})])
    comparison = again(known)
    assert [(origin.what, origin.then) for origin in comparison.origins] == [(column, "older")]
    assert "changed since then:" in list(describe(comparison))


def test_todays_yaml_decides_nothing(here: Path) -> None:
    """The config comes from the frozen plan, also where the key had no column."""
    folder = here / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("# @package _global_\noptimizer:\n  momentum: 0.5\n")
    from normbench.api import Silent, open_session

    session = open_session(
        ["+experiment=mine", *(f"{key}={value}" for key, value in TINY.items())], config_dir=here / "conf"
    )
    session.study.create()
    session.execute(Silent())
    (folder / "mine.yaml").unlink()
    (known,) = session.plan.runs
    comparison = again(known)
    assert comparison.recorded.runs[known].run.optimizer.args["momentum"] == 0.5
    assert comparison.cells == ()


def test_an_unknown_run_names_the_nearest() -> None:
    """A slip of the finger is found without looking into the files."""
    (known,) = run(multirun=False).plan.runs
    with pytest.raises(StudyError, match=f"nearest: {known}"):
        find_run(known[:-1] + "z", None, RESULTS)


def test_an_ambiguous_prefix_is_an_error() -> None:
    """The ids it may mean are listed."""
    known = run("seed=range(2)").plan.runs
    with pytest.raises(StudyError, match=f"2 runs in .* begin with '': {', '.join(sorted(known))}$"):
        find_run("", None, RESULTS)


def test_a_run_without_a_record_cannot_be_compared() -> None:
    """A run that is only planned has nothing to compare with."""
    (known,) = run(multirun=False).plan.runs
    next(RESULTS.rglob("shards/*.json")).unlink()
    with pytest.raises(StudyError, match=f"run {known} is planned in results/default but has no record yet"):
        find_run(known, None, RESULTS)


def test_the_study_that_has_the_record_is_taken() -> None:
    """Two studies may plan one run, of which one has trained it."""
    (known,) = run("study=a", multirun=False).plan.runs
    run("study=b", multirun=False)
    next(Path("results/a/shards").glob("*.json")).unlink()
    assert find_run(known, None, RESULTS).study.name == "b"
    with pytest.raises(StudyError, match="no record yet"):
        find_run(known, "a", RESULTS)


OWN = """
from normbench.norms.none import NoNorm

class Mine(NoNorm):
    SCALE = 1
"""


def test_code_of_a_record_runs_only_where_it_is_trusted(here: Path) -> None:
    """A stranger's record must not run a stranger's code, and a changed source is named."""
    (here / "own_norm.py").write_text(OWN)
    (known,) = run("norm._target_=own_norm.Mine", "norm.name=mine", multirun=False).plan.runs
    recorded = find_run(known, None, RESULTS)
    with pytest.raises(ConfigError, match=r"names code to run: own_norm\.Mine\. Give --trust"):
        rerun(recorded, trust=False)
    assert rerun(recorded, trust=True).origins == ()
    (here / "own_norm.py").write_text(OWN.replace("1", "2"))
    (origin,) = rerun(recorded, trust=True).origins
    assert (origin.what, origin.now) == ("source of own_norm.Mine", "changed")


def test_a_path_through_normbench_is_not_trusted_either() -> None:
    """A dotted path that begins with normbench reaches whatever its modules import."""
    (known,) = run(multirun=False).plan.runs
    path = RESULTS / "default" / "plan.jsonl"
    text = path.read_text()
    target = "normbench.record.provenance.subprocess.run"
    path.write_text(text.replace('"data":{"name":"digits"', f'"data":{{"name":"digits","_target_":"{target}"'))
    with pytest.raises(ConfigError, match="names code to run"):
        again(known)


def test_other_data_are_refused() -> None:
    """A run on other data is another run."""
    (known,) = run(multirun=False).plan.runs
    path = RESULTS / "default" / "plan.jsonl"
    content = Study(RESULTS / "default").blocks()[0].runs[known]["content"]
    path.write_text(path.read_text().replace(content, "0" * 64))
    with pytest.raises(StudyError, match=f"the data of run {known} have changed: their hash was 000000000000"):
        again(known)


@pytest.mark.parametrize(("edit", "code"), [(False, 0), (True, 1)], ids=["same", "different"])
def test_the_exit_code_tells(
    edit: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script can see whether a run was reproduced."""
    (known,) = run(multirun=False).plan.runs
    if edit:
        edit_shards("finished", "diverged")
    monkeypatch.setattr("sys.argv", ["normbench", "rerun", known[:6]])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert (exit_.value.code or 0) == code
    assert ("identical, bit for bit" in capsys.readouterr().out) is not edit


def test_every_shipped_run_survives_its_own_dict() -> None:
    """What plan.jsonl holds is the run, whatever the groups."""
    groups = [f"{group}=glob(*)" for group in ("model", "norm", "data", "optimizer", "schedule")]
    more = ("lr=1e-5,0.1", "steps=5", "probes=[gradients]")
    runs = [one for group in groups for one in expand([group, *more], multirun=True).requested]
    assert len(runs) > 50
    for own in runs:
        assert Requested.from_dict(json.loads(json.dumps(own.as_dict()))) == own


TEXTS = st.text(max_size=5)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


@given(
    st.builds(
        Component,
        TEXTS,
        st.dictionaries(TEXTS.filter(lambda key: key not in ("name", "_target_")), VALUES, max_size=4),
        st.none() | TEXTS,
    )
)
def test_any_component_survives_its_own_dict(component: Component) -> None:
    """A user's own arguments may be lists and dicts, and numbers keep their type."""
    back = Component.from_dict(json.loads(json.dumps(component.as_dict())))
    assert back == component
    assert repr(back) == repr(component)
