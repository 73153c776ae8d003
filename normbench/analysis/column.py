"""What a table shows in one column."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    r"""One column of a table to be shown.

    Attributes:
        header: Its name, raw.
        cells: Its cells, raw; what stands below a `\n` of a number's cell is a remark on it.
        is_number: Whether cells stand to the right, and are never cut.
        bold: Which cells are bold; empty for none.
        key: Whether it names the rows, and is repeated where a table is shown in parts.
        breaks: Whether a number may stand above its interval.
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
