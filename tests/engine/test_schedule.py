"""Tests of the order in which packs are given out."""

from normbench.engine.attempt import Trained
from normbench.engine.schedule import Assignment, WorkQueue
from normbench.engine.work import Work
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
    work = packs("", "", "")
    queue = WorkQueue(work)
    assert [queue.take(None, (), new=True) for _ in range(4)] == [*map(Assignment, work), None]


def test_a_seat_keeps_to_its_structure() -> None:
    """Then takes one that no other seat is at, then any."""
    work = packs("a", "a", "b", "c")
    queue = WorkQueue(work)
    assert queue.take("b", (), new=True) == Assignment(work[2])
    assert queue.take("b", ("a",), new=True) == Assignment(work[3])
    assert queue.take("c", ("a",), new=True) == Assignment(work[0])


def test_runs_of_a_dead_pack_come_first_and_are_gathered() -> None:
    """Also where no pack may be begun; the pack is whole when its last run has ended, in the order of its runs."""
    work = packs("", "", size=2)
    queue = WorkQueue(work)
    queue.take(None, (), new=True)
    queue.split(work[0])
    taken = [queue.take(None, (), new=False) for _ in range(3)]
    assert taken == [Assignment(work[0], "00"), Assignment(work[0], "01"), None]
    second, first = trained("01"), trained("00")
    assert queue.gather(work[0], second) is None
    assert queue.gather(work[0], first) == [first, second]
    assert queue.take(None, (), new=True) == Assignment(work[1])


def test_a_lost_pack_is_repeated_whole() -> None:
    """Before anything else, and so many times only: a pack may be what its nodes die of."""
    work = packs("", "", size=2)
    queue = WorkQueue(work)
    for _ in range(3):
        assert queue.take(None, (), new=True) == Assignment(work[0])
        again = queue.repeat(Assignment(work[0]), most=2)
    assert not again
    assert queue.take(None, (), new=True) == Assignment(work[1])
