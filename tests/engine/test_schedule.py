"""Tests of the order in which packs are given out."""

from normbench.engine.attempt import Trained
from normbench.engine.prepare import Work
from normbench.engine.schedule import Assignment, WorkQueue
from normbench.plan import Pack
from normbench.record.store import Record
from normbench.training.outcome import Outcome

from .sessions import plan


def packs(*structures: str, size: int = 1) -> list[Work]:
    (one,) = plan("seed=0").plan.runs.values()
    made = []
    for place, structure in enumerate(structures):
        runs = {f"{place}{number}": one for number in range(size)}
        made.append(Work(1, place, Pack(tuple(runs), "solo", 1, "", structure), runs))
    return made


def trained(run_id: str) -> Trained:
    return Trained(run_id, Outcome("failed"), Record(run_id, "failed", {}, {}, {}))


def test_packs_without_structure_go_out_in_order() -> None:
    """Until none is left."""
    schedule = WorkQueue(packs("", "", ""))
    assert [schedule.take(None, (), new=True) for _ in range(4)] == [Assignment(0), Assignment(1), Assignment(2), None]


def test_a_worker_keeps_to_its_structure() -> None:
    """Then takes one that no other worker is at, then any."""
    schedule = WorkQueue(packs("a", "a", "b", "c"))
    assert schedule.take("b", (), new=True) == Assignment(2)
    assert schedule.take("b", ("a",), new=True) == Assignment(3)
    assert schedule.take("c", ("a",), new=True) == Assignment(0)


def test_runs_of_a_lost_pack_come_first_and_are_gathered() -> None:
    """Also where no pack may be begun; the pack is whole when its last run has ended, in the order of its runs."""
    schedule = WorkQueue(packs("", "", size=2))
    schedule.take(None, (), new=True)
    schedule.split(0)
    assert [schedule.take(None, (), new=False) for _ in range(3)] == [Assignment(0, "00"), Assignment(0, "01"), None]
    second, first = trained("01"), trained("00")
    assert schedule.gather(0, second) is None
    assert schedule.gather(0, first) == [first, second]
    assert schedule.take(None, (), new=True) == Assignment(1)
