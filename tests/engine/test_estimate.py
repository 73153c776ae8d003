"""How long a plan takes: arithmetic on figures, and what is kept of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from normbench.api import Silent
from normbench.engine.costs import (
    COLD_COMPILATION,
    START,
    WARM_COMPILATION,
    Kind,
    Timing,
    guess,
    keep_timings,
    learn,
    read_timings,
    structure_key,
    timing_of,
    total,
)

from .sessions import plan, run

KIND = Kind("a", size=4, mode="stacked", threads=1, multiply_adds=1e5, num_params=40_000, steps=1000, evaluations=5)
COMPILED = replace(KIND, mode="compiled")
SECOND = Timing(step=0.001, evaluation=0.1, fixed=0.5)
"""Two seconds a pack of `KIND`."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep figures in an empty folder."""
    monkeypatch.setenv("NORMBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("packs", "workers", "expected"),
    [([], 2, 0.0), ([KIND], 1, 2.0), ([KIND] * 4, 1, 8.0), ([KIND] * 4, 2, 4.0), ([KIND], 2, 2.0)],
    ids=["nothing to do", "one pack", "one worker", "two workers", "a pack is not divided"],
)
def test_packs_are_shared_by_the_workers(packs: list[Kind], workers: int, expected: float) -> None:
    """The time of all packs is divided by the workers, but no pack is; the start comes before."""
    start = START["stacked"] if packs else 0.0
    assert total(packs, {KIND.key: SECOND}, [KIND], workers) == pytest.approx(start + expected)


def test_a_compilation_counts_once_and_less_where_it_was_made_before() -> None:
    """Packs of one structure are compiled once; a structure with a figure of its own loads what it compiled before."""
    cold = total([COMPILED] * 3, {KIND.key: Timing(0.001, 0.1, 0.5)}, [KIND], 1)
    eager_part = timing_of(COMPILED, {KIND.key: SECOND}, [KIND]).of(COMPILED)
    assert cold == pytest.approx(START["compiled"] + 3 * eager_part + COLD_COMPILATION)
    warm = total([COMPILED] * 3, {COMPILED.key: SECOND}, [COMPILED], 1)
    assert warm == pytest.approx(START["compiled"] + 6 + WARM_COMPILATION)


def test_what_is_not_known_follows_what_is_most_like_it() -> None:
    """A pack without a figure takes its guess, put right by the nearest that was measured; without any, the guess."""
    other = replace(KIND, structure="b")
    far = replace(KIND, structure="c", multiply_adds=1e8)
    slow = guess(KIND).times(Timing(3.0, 3.0, 3.0), by=Timing(1.0, 1.0, 1.0))
    known = {KIND.key: slow, far.key: guess(far)}
    assert timing_of(other, known, [far, KIND]).step == pytest.approx(3 * guess(other).step)
    assert timing_of(KIND, known, [far]) == slow
    assert timing_of(other, {}, []) == guess(other)


@pytest.mark.parametrize(
    ("change", "ratio"),
    [
        ({"multiply_adds": 1e9}, 100.0),
        ({"num_params": 40_000_000}, 100.0),
        ({"size": 64}, 2.0),
        ({"mode": "solo"}, 0.2),
    ],
    ids=["arithmetic", "memory", "runs", "one by one"],
)
def test_the_guess_grows_with_the_work(change: dict[str, float], ratio: float) -> None:
    """More arithmetic, state and runs make a step longer, a mode that stacks nothing makes it shorter."""
    changed = guess(replace(KIND, **change)).step / guess(KIND).step  # type: ignore[arg-type] # one of several types
    assert changed > ratio if ratio > 1 else changed < 1


def test_finished_packs_correct_the_figure() -> None:
    """Packs that took twice as long double each part of the figure; of many, the middle one counts."""
    known = {KIND.key: SECOND}
    assert learn(KIND, [4.0], known, workers=2) == Timing(0.002, 0.2, 1.0)
    assert learn(KIND, [90.0, 4.0, 4.0, 4.0, 4.0], known, workers=2).of(KIND) == pytest.approx(4.0)


def test_the_compilation_is_no_part_of_a_figure() -> None:
    """Where each worker had one pack, each compiled; of more packs, some are free of it."""
    assert learn(COMPILED, [14.0, 14.0], {KIND.key: SECOND}, workers=2).of(COMPILED) == pytest.approx(4.2)
    assert learn(COMPILED, [20.0, 20.0], {KIND.key: SECOND}, workers=2).of(COMPILED) == pytest.approx(10.0)
    assert learn(COMPILED, [14.0, 14.0, 3.0], {KIND.key: SECOND}, workers=2).of(COMPILED) == pytest.approx(3.0)


def test_figures_are_kept_by_machine() -> None:
    """What is kept is read again, for its machine alone; newer figures replace older ones."""
    keep_timings("here", {KIND.key: SECOND, COMPILED.key: SECOND})
    keep_timings("here", {KIND.key: Timing(1.0, 2.0, 3.0)})
    keep_timings("there", {KIND.key: SECOND})
    assert read_timings("here") == {COMPILED.key: SECOND, KIND.key: Timing(1.0, 2.0, 3.0)}
    assert read_timings("nowhere") == {}


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "\udcff", '{"here": 3}', '{"here": {"k": null, "good": [1, 2, 3]}}',
        '{"here": {"k": [1], "good": [1, 2, 3]}}', '{"here": {"k": [0, "x", NaN], "good": [1, 2, 3]}}',
    ],
    ids=["empty", "cut off", "a list", "null", "not UTF-8", "no figures", "null figure", "one number", "no numbers"],
)  # fmt: skip
def test_a_damaged_file_does_no_harm(cache: Path, text: str) -> None:
    """What can be read is used, the rest is as if it were not there, and the next figures are kept again."""
    cache.mkdir()
    (cache / "step-times.json").write_bytes(text.encode(errors="surrogateescape"))
    assert set(read_timings("here").values()) <= {Timing(1.0, 2.0, 3.0)}
    keep_timings("here", {KIND.key: SECOND})
    assert read_timings("here")[KIND.key] == SECOND
    assert isinstance(json.loads((cache / "step-times.json").read_text()), dict)


def test_a_cache_that_cannot_be_written_is_no_error(cache: Path) -> None:
    """An estimate is a courtesy: a file where the folder should be costs the figures and nothing else."""
    cache.write_text("")
    keep_timings("here", {KIND.key: SECOND})
    assert read_timings("here") == {}


def test_a_structure_is_known_by_what_a_step_costs() -> None:
    """The budget does not matter, batch and data do."""
    base = {"batch_size": 2, "steps": 3, "epochs": None, "content": "a"}
    same = base | {"steps": None, "epochs": 5}
    assert structure_key(json.dumps(base)) == structure_key(json.dumps(same))
    for other in ({"batch_size": 4}, {"content": "b"}):
        assert structure_key(json.dumps(base)) != structure_key(json.dumps(base | other))


def test_a_plan_is_calibrated_once_and_its_runs_correct_that() -> None:
    """The first plan measures its packs, the second knows them; trained packs change the figures."""
    session = plan("engine.mode=stacked", "seed=range(4)")
    assert "guess" in session.estimate().source
    first = session.estimate(calibrate=True)
    assert "calibration" in first.source
    assert first.workers == 1
    assert session.estimate(calibrate=True) == session.estimate()
    session.study.create()
    session.keep_times(session.execute(Silent()))
    assert plan("engine.mode=stacked", "seed=range(4)", force=True).estimate().seconds != first.seconds


def test_a_calibration_changes_no_bits(tmp_path: Path) -> None:
    """Runs that were calibrated before come out as those that were not; threads and random state are left alone."""
    plain = run("engine.mode=stacked", "seed=range(2)", "model.dropout=0.1", results_dir="plain")
    session = plan("engine.mode=stacked", "seed=range(2)", "model.dropout=0.1", results_dir="calibrated")
    before = torch.random.get_rng_state(), torch.get_num_threads()
    session.estimate(calibrate=True)
    assert torch.equal(before[0], torch.random.get_rng_state()) and before[1] == torch.get_num_threads()
    session.study.create()
    session.execute(Silent())
    assert session.rows().equals(plain.rows())
