"""Tests of what a table says of parts that were edited."""

import pandas as pd
import pytest

from normbench.analysis.versions import version_notes

TWO = ["sha:aaaaaaaa", "sha:bbbbbbbb"]
CASES = {
    "edited": ({"norm": ["x", "x"], "norm._content_": TWO}, 1),
    "edited since an earlier version": ({"norm": ["x", "x"], "norm._content_": [None, TWO[0]]}, 1),
    "other settings": ({"data": ["x", "x"], "data.size": [8, 16], "data._content_": TWO}, 0),
    "other names": ({"norm": ["x", "y"], "norm._content_": TWO}, 0),
    "one version": ({"norm": ["x", "x"], "norm._content_": TWO[:1] * 2}, 0),
    "no version": ({"norm": ["x", "x"]}, 0),
}


@pytest.mark.parametrize(("columns", "count"), CASES.values(), ids=CASES)
def test_a_part_with_several_versions_is_named(columns: dict[str, list[object]], count: int) -> None:
    """Where neither name nor settings tell them apart."""
    notes = version_notes(pd.DataFrame(columns))
    assert len(notes) == count
    assert all(
        note.startswith("norm=x was edited between two commands: 2 versions, distinguished by") for note in notes
    )
