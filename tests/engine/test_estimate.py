"""How long a plan takes: arithmetic on figures, and what is kept of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from normbench.api import Silent
from normbench.engine.costs import (
    SHARED,
    START,
    WARM_COMPILATION,
    Kind,
    Timing,
    guess,
    learn,
    scoring,
    structure_key,
    timing_of,
    total,
)
from normbench.engine.estimate import kind_of
from normbench.engine.timings import keep_timings, read_timings
from normbench.spec import Passes

from .sessions import plan, run

KIND = Kind(
    structure="a",
    size=4,
    mode="stacked",
    threads=1,
    multiply_adds=8.45e4,
    num_params=43_018,
    steps=1000,
    evaluations=5,
    batch_size=2,
    activations=3092,
    operations=21,
    validation=Passes(1, 180),
    tests=Passes(4, 2335),
)
"""The default MLP with batch norm on digits, at batch size 2."""

BATCH_32 = replace(KIND, batch_size=32, multiply_adds=1.352e6, activations=49_472)
DEEP = replace(BATCH_32, multiply_adds=8.41e6, num_params=270_986, activations=524_608, operations=387)
RESNET = replace(BATCH_32, multiply_adds=6.06e6, num_params=19_074, activations=251_200, operations=47)
PLAIN = replace(RESNET, num_params=18_954, operations=26, tests=Passes(1, 359))
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
    assert cold == pytest.approx(START["compiled"] + 3 * eager_part + COMPILED.compilation)
    warm = total([COMPILED] * 3, {COMPILED.key: SECOND}, [COMPILED], 1)
    assert warm == pytest.approx(START["compiled"] + 6 + WARM_COMPILATION)


def test_workers_that_find_no_other_structure_compile_the_same_one() -> None:
    """Two workers compile one structure twice, two once each, and of three the last twice; a pack compiles once."""
    known = {KIND.key: SECOND}
    others = [replace(COMPILED, structure=name) for name in "bcd"]

    def compilations(packs: list[Kind]) -> float:
        eager = sum(timing_of(kind, known, [KIND]).of(kind) for kind in packs)
        return round((2 * (total(packs, known, [KIND], 2) - START["compiled"]) - eager) / COMPILED.compilation, 6)

    assert compilations(others[:1] * 4) == 2
    assert compilations(others[:2] * 4) == 2
    assert compilations(others * 4) == 4
    assert compilations([others[0], replace(others[0], steps=10)] * 4) == 2
    assert compilations(others) == 3


def test_compiling_takes_longer_for_larger_graphs() -> None:
    """What was measured on the reference study: 8 s for three layers, 20 s for 16, some 35 s for 32."""
    seconds = [replace(COMPILED, operations=operations).compilation for operations in (21, 99, 195)]
    assert seconds == pytest.approx([8, 20, 35], rel=0.2)
    assert KIND.compilation == 0


def test_what_is_not_known_follows_what_is_most_like_it() -> None:
    """A pack without a figure takes its guess, put right by the nearest that was measured; without any, the guess."""
    other = replace(KIND, structure="b")
    far = replace(KIND, structure="c", multiply_adds=1e8)
    slow = guess(KIND).times(Timing(3.0, 3.0, 3.0), by=Timing(1.0, 1.0, 1.0))
    known = {KIND.key: slow, far.key: guess(far)}
    assert timing_of(other, known, [far, KIND]).step == pytest.approx(3 * guess(other).step)
    assert timing_of(KIND, known, [far]) == slow
    assert timing_of(other, {}, []) == guess(other)


def test_a_pack_of_one_step_tells_little_about_a_step() -> None:
    """Its time is setup and scores: a pack of many steps follows another one, even if the steps are less alike."""
    single = replace(KIND, structure="b", steps=1, evaluations=1)
    long = replace(KIND, structure="c", multiply_adds=1.2 * KIND.multiply_adds)
    slow = guess(single).times(Timing(9.0, 9.0, 9.0), by=Timing(1.0, 1.0, 1.0))
    known = {single.key: slow, long.key: guess(long)}
    assert timing_of(KIND, known, [single, long]) == guess(KIND)


MEASURED = {
    "solo, batch size 2": (replace(KIND, size=1, mode="solo"), 280, 354, 4175),
    "solo": (replace(BATCH_32, size=1, mode="solo"), 371, 358, 3575),
    "solo, 64 layers": (replace(DEEP, size=1, mode="solo"), 4361, 3193, 29_540),
    "solo, maps": (replace(RESNET, size=1, mode="solo"), 2218, 1351, 18_654),
    "solo, maps without a norm": (replace(PLAIN, size=1, mode="solo"), 2075, 1310, 2047),
    "stacked, batch size 2": (replace(KIND, size=16), 2496, 5394, 74_423),
    "stacked": (replace(BATCH_32, size=16), 5349, 5568, 65_693),
    "stacked, maps without a norm": (replace(PLAIN, size=6), 7076, 8355, 15_582),
    "compiled, batch size 2": (replace(COMPILED, size=20), 433, 5394, 74_423),
    "compiled": (replace(BATCH_32, size=14, mode="compiled"), 1478, 4800, 57_000),
}
"""Microseconds of a step, an evaluation and the test scores: processor time on one core of the reference machine."""


@pytest.mark.parametrize(("kind", "step", "evaluation", "tests"), MEASURED.values(), ids=MEASURED)
def test_the_guess_is_what_was_measured(kind: Kind, step: float, evaluation: float, tests: float) -> None:
    """Each part within a factor of 1.7, without what workers cost each other, and a whole pack within 1.5."""
    guessed = guess(kind)
    parts = (guessed.step, guessed.evaluation, scoring(kind, kind.tests) * SHARED)
    for own, measured in zip(parts, (step, evaluation, tests), strict=True):
        assert 1 / 1.7 < own / SHARED / (measured * 1e-6) < 1.7
    whole = Timing(step * 1e-6, evaluation * 1e-6, tests * 1e-6).of(kind)
    assert 1 / 1.5 < (guessed.of(kind) - guessed.fixed + parts[2]) / SHARED / whole < 1.5


def test_probes_cost_passes_at_each_evaluation() -> None:
    """A backward pass on 256 samples took 5.9 ms in a net of 16 layers, and a step without probes 1.6 ms."""
    deep = replace(BATCH_32, size=1, mode="solo", multiply_adds=2.12e6, num_params=68_234, operations=99)
    probed = replace(deep, probes=Passes(4, 4 * 256))
    assert guess(probed).evaluation - guess(deep).evaluation == pytest.approx(5.9e-3, rel=0.3)
    assert guess(probed).step == guess(deep).step
    assert probed.key != deep.key


@pytest.mark.parametrize(
    ("change", "ratio"),
    [
        ({"multiply_adds": 1e9}, 100.0),
        ({"num_params": 40_000_000}, 100.0),
        ({"size": 64}, 2.0),
        ({"operations": 1000}, 10.0),
        ({"mode": "solo"}, 0.2),
    ],
    ids=["arithmetic", "memory", "runs", "operations", "one by one"],
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
    compilation = COMPILED.compilation
    assert learn(COMPILED, [compilation] * 2, {KIND.key: SECOND}, workers=2).of(COMPILED) == pytest.approx(
        0.3 * compilation
    )
    assert learn(COMPILED, [compilation + 10.0] * 2, {KIND.key: SECOND}, workers=2).of(COMPILED) == pytest.approx(10.0)
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


@pytest.mark.parametrize(("norm", "tests"), [("batch", Passes(4, 3 * 359 + 1258)), ("none", Passes(1, 359))])
def test_the_kind_of_a_pack_is_read_off_its_plan(norm: str, tests: Passes) -> None:
    """Its evaluations, the samples of each, the passes of the test scores, and those of its probes."""
    session = plan(f"norm={norm}", "batch_size=32", "steps=10", "eval_every=4", "probes=[gradients]")
    kind = kind_of(session.packs[0], session.plan)
    assert (kind.steps, kind.evaluations, kind.batch_size) == (10, 3, 32)
    assert (kind.validation, kind.tests, kind.probes) == (Passes(1, 180), tests, Passes(4, 4 * 256))
    assert kind.operations > 4


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
