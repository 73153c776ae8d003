"""Which runs train together, and how: a rule on the plan, tested without training."""

from dataclasses import replace

import pytest

from normbench.config.sweep import expand
from normbench.packing import COMPILED_BYTES, Machine, make_packs, run_bytes
from normbench.plan import Pack
from normbench.spec import Checked, Engine

MACHINE = Machine(cores=2, compiler=True)
ENGINE = Engine(mode="auto", device="cpu", threads=None, workers=None)
RUN = expand([]).runs[0]
SMALL = Checked(RUN, multiply_adds=1e5, num_params=43_000, steps=100, structure="a")


def packs(
    count: int, known: Checked = SMALL, *, mode: str = "auto", machine: Machine = MACHINE, alone: str | None = None
) -> tuple[Pack, ...]:
    """Return the packs of `count` like runs."""
    runs = {f"{number:03d}": known for number in range(count)}
    return make_packs(runs, replace(ENGINE, mode=mode), machine, alone=alone)


@pytest.mark.parametrize(
    ("count", "known", "mode", "machine", "expected", "reason"),
    [
        (1, SMALL, "auto", MACHINE, "solo", "no other run shares its structure"),
        (15, SMALL, "auto", MACHINE, "solo", "too few for stacking alone to be faster"),
        (16, SMALL, "auto", MACHINE, "stacked", "too few steps"),
        (4, replace(SMALL, steps=100_000), "auto", MACHINE, "compiled", "400,000 steps"),
        (4, replace(SMALL, steps=100_000), "auto", Machine(2, False), "solo", "too few for stacking alone"),
        (16, replace(SMALL, steps=100_000), "auto", Machine(2, False), "stacked", "without a C++ compiler"),
        (16, replace(SMALL, steps=100_000, uncompiled="too slow"), "auto", MACHINE, "stacked", "runs; too slow"),
        (4, replace(SMALL, multiply_adds=1e9), "auto", MACHINE, "solo", "stacking saves no time"),
        (4, replace(SMALL, alone="cannot be stacked (x)"), "auto", MACHINE, "solo", "cannot be stacked (x)"),
        (4, SMALL, "solo", MACHINE, "solo", "engine.mode=solo"),
        (1, SMALL, "stacked", MACHINE, "stacked", "engine.mode=stacked"),
        (4, SMALL, "compiled", MACHINE, "compiled", "engine.mode=compiled"),
        (4, SMALL, "compiled", Machine(2, False), "stacked", "there is no C++ compiler"),
    ],
    ids=[
        "lone run", "few runs", "few steps", "many steps", "few runs, no compiler", "no compiler",
        "not worth compiling", "large", "cannot",
        "solo asked", "stacked asked", "compiled asked", "compiled asked, no compiler",
    ],
)  # fmt: skip
def test_the_mode_and_its_reason(
    count: int, known: Checked, mode: str, machine: Machine, expected: str, reason: str
) -> None:
    """The mode follows from the number of like runs, their steps and size, and the compiler; the user may override."""
    made = packs(count, known, mode=mode, machine=machine)
    assert {pack.mode for pack in made} == {expected}
    assert all(reason in pack.reason for pack in made)


def test_runs_that_are_looked_into_train_alone() -> None:
    """A log or weights of each run need each run by itself."""
    made = packs(3, alone="log.weights=final saves each run's weights")
    assert [pack.runs for pack in made] == [("000",), ("001",), ("002",)]
    assert {pack.mode for pack in made} == {"solo"}


@pytest.mark.parametrize("count", [2, 3, 9, 90, 1000])
@pytest.mark.parametrize("mode", ["stacked", "compiled"])
def test_packs_hold_every_run_once_and_serve_all_cores(count: int, mode: str) -> None:
    """Packs of nearly equal size, bounded by what their state takes, none empty, both cores busy."""
    made = packs(count, mode=mode)
    assert [run for pack in made for run in pack.runs] == [f"{number:03d}" for number in range(count)]
    assert max(len(pack.runs) for pack in made) <= 64
    assert len(made) >= min(2, count // 2)
    assert len({pack.structure for pack in made}) == 1


@pytest.mark.parametrize("activations", [2_000, 30_000, 300_000], ids=["batch 2", "batch 32", "batch 256"])
def test_a_compiled_pack_stays_in_cache(activations: int) -> None:
    """What a step touches, state and activations, takes at most COMPILED_BYTES."""
    known = replace(SMALL, steps=10_000, activations=activations)
    assert max(len(pack.runs) for pack in packs(90, known)) * run_bytes(known) <= COMPILED_BYTES


@pytest.mark.parametrize(
    ("count", "sizes"), [(90, [23] * 3 + [21]), (91, [23] * 3 + [22]), (7, [4, 3]), (400, [20] * 20)]
)
def test_compiled_packs_are_of_one_size_and_keep_both_cores_busy(count: int, sizes: list[int]) -> None:
    """As many packs as both cores share evenly; the last is filled up, so that nothing is compiled for its size."""
    made = packs(count, replace(SMALL, steps=10_000))
    assert [len(pack.runs) for pack in made] == sizes
    assert {pack.fill for pack in made} == {sizes[0]}


def test_packs_start_in_the_order_of_their_first_runs() -> None:
    """Structures do not jump the queue."""
    runs = {"1": replace(SMALL, structure="b"), "2": SMALL, "3": replace(SMALL, structure="b"), "4": SMALL}
    made = make_packs(runs, replace(ENGINE, mode="stacked"), Machine(cores=1, compiler=True))
    assert [pack.runs for pack in made] == [("1", "3"), ("2", "4")]


@pytest.mark.parametrize(
    ("count", "threads", "cost", "expected", "reason"),
    [
        (1, None, 1e5, 1, "one thread"),
        (1, None, 1e9, 2, "all 2 cores for a large model"),
        (4, None, 1e9, 1, "one thread"),
        (1, 3, 1e9, 3, "engine.threads=3"),
    ],
    ids=["small", "large and single", "large in a sweep", "asked for"],
)
def test_the_number_of_threads_has_a_reason(
    count: int, threads: int | None, cost: float, expected: int, reason: str
) -> None:
    """What the user asks for wins; else a single run of a large model gets all cores, and workers one each."""
    runs = {str(number): replace(SMALL, multiply_adds=cost) for number in range(count)}
    made = make_packs(runs, replace(ENGINE, threads=threads, mode="solo"), MACHINE)
    assert {pack.threads for pack in made} == {expected}
    assert all(reason in pack.reason for pack in made)


def test_ranks_divide_the_cores_of_a_node() -> None:
    """All ranks of a large run together get as many threads as it has."""
    machine = Machine(cores=12, compiler=True, node=8)
    (pack,) = make_packs({"1": replace(SMALL, multiply_adds=1e9)}, replace(ENGINE, ranks=4), machine, alone="ranks")
    assert (pack.ranks, pack.threads, pack.cpus) == (4, 2, 8)
    assert pack.reason == "ranks; all 8 cores for a large model"


@pytest.mark.parametrize(
    ("fit", "workers", "sizes"),
    [(100, 1, {15}), (8, 1, {8, 7, 6}), (8, 2, {4, 3, 2}), (2.5, 1, {2}), (1.5, 1, {1}), (0.1, 1, {1})],
    ids=["all", "eight", "eight of two workers", "two", "one", "not even one"],
)
def test_memory_splits_packs_and_fails_none(fit: float, workers: int, sizes: set[int]) -> None:
    """Packs of all workers stay under engine.memory; where two runs do not fit, they train one by one, and say so."""
    known = replace(SMALL, activations=10_000)
    engine = replace(ENGINE, memory=fit * run_bytes(known) / 1e9, workers=workers)
    made = make_packs({f"{number:03d}": known for number in range(30)}, engine, MACHINE)
    assert sorted(run for pack in made for run in pack.runs) == [f"{number:03d}" for number in range(30)]
    assert {len(pack.runs) for pack in made} <= sizes
    assert max(len(pack.runs) for pack in made) * workers <= max(fit, workers)
    alone = [pack for pack in made if len(pack.runs) == 1]
    assert all(pack.mode == "solo" and "over engine.memory" in pack.reason for pack in alone)
    assert all(("one run alone" in pack.reason) == (fit < 1) for pack in alone)
    assert not alone or sizes == {1}


def test_memory_without_a_bound_changes_nothing() -> None:
    """More than enough is the same as no bound at all."""
    runs = {f"{number:03d}": replace(SMALL, activations=10_000) for number in range(90)}
    assert make_packs(runs, replace(ENGINE, memory=1e6), MACHINE) == make_packs(runs, ENGINE, MACHINE)
