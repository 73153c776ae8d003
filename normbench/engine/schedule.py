"""Which worker gets which work: packs in the order of the plan, and single runs of packs whose worker was killed."""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from normbench.engine.attempt import Trained
from normbench.engine.prepare import Work


@dataclass(frozen=True, slots=True)
class Assignment:
    """Work for a worker: a pack by its place in the list of work, or one run of it.

    Attributes:
        place: Place of the pack.
        run_id: The one run to train; None trains them all.
    """

    place: int
    run_id: str | None = None


class WorkQueue:
    """The work not yet given to workers."""

    def __init__(self, work: Sequence[Work]) -> None:
        """Begin with all packs."""
        self._work = work
        self._packs: dict[str, deque[int]] = {}
        for place, item in enumerate(work):
            self._packs.setdefault(item.pack.structure, deque()).append(place)
        self._again: deque[Assignment] = deque()
        self._parts: dict[int, dict[str, Trained]] = {}

    def take(self, last: str | None, others: Collection[str | None], *, new: bool) -> Assignment | None:
        """Return the next assignment of a worker; None if there is none.

        Args:
            last: Structure of its last pack: packs with the same structure need no new compilation.
            others: Current structures of the other workers.
            new: Whether packs may be started; otherwise only those in progress are finished.
        """
        if self._again:
            return self._again.popleft()
        if not new or not self._packs:
            return None
        free = (structure for structure in self._packs if structure not in others)
        structure = last if last in self._packs else next(free, next(iter(self._packs)))
        assert structure is not None
        place = self._packs[structure].popleft()
        if not self._packs[structure]:
            del self._packs[structure]
        return Assignment(place)

    def split(self, place: int) -> None:
        """Schedule the runs of a pack again, each alone, before anything else."""
        self._parts[place] = {}
        self._again.extend(Assignment(place, run_id) for run_id in self._work[place].runs)

    def gather(self, place: int, trained: Trained) -> list[Trained] | None:
        """Store a run that was trained alone; return all runs of its pack once the last has ended."""
        parts = self._parts[place]
        parts[trained.run_id] = trained
        if len(parts) < len(self._work[place].runs):
            return None
        del self._parts[place]
        return [parts[run_id] for run_id in self._work[place].runs]
