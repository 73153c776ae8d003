"""What a table shows in one column."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    r"""One column of a table to be shown.

    Attributes:
        header: Its name, raw.
        cells: Its cells, raw; text after a `\n` in a number's cell is a remark on the number.
        is_number: Whether cells are right-aligned and never cut.
        bold: Which cells are bold; empty for none.
        key: Whether it names the rows, and is repeated if a table is shown in parts.
        breaks: Whether a number may be shown above its interval.
    """

    header: str
    cells: Sequence[str]
    is_number: bool
    bold: Sequence[bool] = ()
    key: bool = False
    breaks: bool = False

    def is_bold(self, place: int) -> bool:
        """Return whether a cell is bold."""
        return bool(self.bold) and self.bold[place]
