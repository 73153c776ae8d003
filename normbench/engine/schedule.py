"""Which seat gets which work: packs in the order of the plan, and again what was lost or whose process died."""

from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from normbench.engine.attempt import Trained
from normbench.engine.work import Work


@dataclass(frozen=True, slots=True)
class Assignment:
    """Work for one seat: a pack, or one run of it.

    Attributes:
        work: The pack.
        run_id: The one run to train; None trains them all.
    """

    work: Work
    run_id: str | None = None


class WorkQueue:
    """The work not yet given out."""

    def __init__(self, work: Sequence[Work]) -> None:
        """Begin with all packs."""
        self._packs: dict[str, deque[Work]] = {}
        for item in work:
            self._packs.setdefault(item.pack.structure, deque()).append(item)
        self._again: deque[Assignment] = deque()
        self._losses: Counter[tuple[int, int, str | None]] = Counter()
        self._parts: dict[tuple[int, int], dict[str, Trained]] = {}

    def has_any(self, *, new: bool) -> bool:
        """Return whether `take` would return an assignment."""
        return bool(self._again or (new and self._packs))

    def take(self, last: str | None, others: Collection[str | None], *, new: bool) -> Assignment | None:
        """Return the next assignment of a seat; None if there is none.

        Args:
            last: Structure of its last pack: packs with the same structure need no new compilation.
            others: Structures of the other seats.
            new: Whether packs may be started; otherwise only those in progress are finished.
        """
        if self._again:
            return self._again.popleft()
        if not new or not self._packs:
            return None
        free = (structure for structure in self._packs if structure not in others)
        structure = last if last in self._packs else next(free, next(iter(self._packs)))
        assert structure is not None
        item = self._packs[structure].popleft()
        if not self._packs[structure]:
            del self._packs[structure]
        return Assignment(item)

    def split(self, item: Work) -> None:
        """Schedule the runs of a pack again, each alone, before anything else."""
        self._parts[_key(item)] = {}
        self._again.extend(Assignment(item, run_id) for run_id in item.runs)

    def repeat(self, assignment: Assignment, most: int) -> bool:
        """Schedule a lost assignment again, before anything else, unless it has been lost `most` times before."""
        key = (*_key(assignment.work), assignment.run_id)
        self._losses[key] += 1
        if self._losses[key] > most:
            return False
        self._again.append(assignment)
        return True

    def gather(self, item: Work, trained: Trained) -> list[Trained] | None:
        """Store a run that was trained alone; return all runs of its pack once the last has ended."""
        parts = self._parts[_key(item)]
        parts[trained.run_id] = trained
        if len(parts) < len(item.runs):
            return None
        del self._parts[_key(item)]
        return [parts[run_id] for run_id in item.runs]


def _key(item: Work) -> tuple[int, int]:
    return item.block, item.index
