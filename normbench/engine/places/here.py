"""One seat in this process."""

from collections.abc import Iterator

import torch

from normbench.engine.device import make_deterministic
from normbench.engine.places.place import Duty, Report, Seat, carry_out
from normbench.engine.schedule import Assignment


class Here:
    """Trains what it is given when its report is asked for."""

    def __init__(self, duty: Duty, device: torch.device) -> None:
        """Set up the device.

        Args:
            duty: The instructions.
            device: Where to train.
        """
        self._duty = duty
        self.seats = [Seat(device)]
        make_deterministic(device)

    def give(self, seat: Seat, assignment: Assignment) -> None:
        """Take an assignment."""
        seat.take(assignment)

    def reports(self, timeout: float) -> Iterator[tuple[Seat, Assignment, Report]]:
        """Train the assignment, however long it takes."""
        (seat,) = self.seats
        if (assignment := seat.clear()) is not None:
            yield seat, assignment, carry_out(assignment, self._duty, seat.device)

    def recall(self) -> None:
        """Do nothing: what was given has begun."""
