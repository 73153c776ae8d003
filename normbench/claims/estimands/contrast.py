"""What an estimand returns: one number per seed, and what else the judge must know."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pandas as pd

from normbench.errors import StudyError

if TYPE_CHECKING:
    from normbench.claims.estimands.arms import MeasuredArm

_NAMED = 8
"""Missing cells that a message names; the rest is counted."""


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """An arm whose optimum or limit is at an end of its grid, and so may be beyond it.

    Attributes:
        arm: The arm in words, such as ``batch_size=2, norm=batch``.
        end: Which end of the grid.
        seeds: How many seeds have it there.
        trains: Whether any of these seeds' runs there is trained; where none is, a longer grid may still find one, and
            once the grid can grow no further, that nothing trains is the answer.
    """

    arm: str
    end: Literal["high", "low"]
    seeds: int
    trains: bool = True


@dataclass(frozen=True, eq=False)
class Contrast:
    """The primary contrast of a claim.

    Attributes:
        values: Indexed by seed: for the form `greater` a Series, positive where the seed favours the claim; for the
            form `equivalent` a DataFrame with one column per level.
        collapsed: Indexed by seed: whether a run that the seed is scored on was not trained (diverged, or final
            training accuracy at most halfway between chance and 1).
        edges: Arms whose optimum or limit some seed has at an end of the grid.
        arms: What was compared, in the order of the terms; an arm may be in several.
        room: How far the better arm's typical value (Hodges & Lehmann) is from the best possible one, the smallest over
            levels; None where the measure has no best value or the comparison is no difference of two arms.
    """

    SHARE_AT_EDGE: ClassVar[float] = 0.1

    values: "pd.Series[float] | pd.DataFrame"
    collapsed: "pd.Series[bool]"
    edges: tuple[Edge, ...] = ()
    arms: "tuple[MeasuredArm, ...]" = ()
    room: float | None = None

    @property
    def open_edges(self) -> tuple[Edge, ...]:
        """The edges with more than a tenth of the seeds: one seed in sixteen does not move a typical effect."""
        return tuple(edge for edge in self.edges if edge.seeds > self.SHARE_AT_EDGE * len(self.values))


class MissingCells(StudyError):
    """Runs that a claim needs are not there, or failed: the verdict is `not_run`.

    Attributes:
        cells: What is missing, one text per cell and seed.
    """

    def __init__(self, cells: Iterable[str]) -> None:
        """Name what is missing.

        Args:
            cells: At least one text, such as ``norm=batch, lr=0.5, seed=3``.
        """
        self.cells = tuple(dict.fromkeys(cells))
        more = len(self.cells) - _NAMED
        tail = f"; and {more} more" if more > 0 else ""
        super().__init__(f"missing: {'; '.join(self.cells[:_NAMED])}{tail}")


def in_words(values: "dict[str, Any]") -> str:
    """Return config values as text, such as ``lr=0.5, seed=3``."""
    return ", ".join(f"{key}={_in_words(value)}" for key, value in values.items())


def _in_words(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)
