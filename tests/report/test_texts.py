"""Texts on the page."""

from pathlib import Path

import pandas as pd
import pytest
from analysis.tables import runs_table

from normbench.analysis.study import load_runs
from normbench.record.columns import CURVES
from normbench.record.texts import texts_path, write_texts
from normbench.report import texts
from normbench.report.page import page


def written(folder: Path, count: int) -> list[str]:
    """Make up a sweep whose first runs have texts, and return their ids."""
    rows = ({"norm": "layer", "seed": seed, "test_accuracy": 0.9, "val_accuracy": 0.9} for seed in range(count or 1))
    runs_table(*rows).to_csv(folder / "runs.csv", index=False)
    pd.DataFrame(columns=list(CURVES)).to_csv(folder / "curves.csv", index=False)
    ids = [str(run_id) for run_id in load_runs(folder)["run_id"][:count]]
    for run_id in ids:
        write_texts(texts_path(folder, run_id), "The likeliest.", [("</td><script>1</script>", "a\x00b\nc", "<!--")])
    return ids


def test_texts_are_shown_as_text(tmp_path: Path) -> None:
    """HTML and control characters in a text do nothing to the page."""
    (run_id,) = written(tmp_path, 1)
    html = page([tmp_path], {})
    _, _, own = html.partition("What the models write")
    assert f"<code>{run_id}</code>" in own
    assert "&lt;/td&gt;&lt;script&gt;1&lt;/script&gt;" in own
    assert "&lt;!--" in own
    assert "a\N{REPLACEMENT CHARACTER}b\nc" in own
    assert "<script>1" not in html


def test_texts_beyond_the_limit_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the folder that has them is named."""
    monkeypatch.setattr(texts, "MOST_RUNS", 2)
    written(tmp_path, 5)
    assert "The texts of 3 more runs are in texts/" in page([tmp_path], {})


def test_a_study_without_texts_has_no_such_section(tmp_path: Path) -> None:
    """Nor a heading."""
    written(tmp_path, 0)
    assert "What the models write" not in page([tmp_path], {})
