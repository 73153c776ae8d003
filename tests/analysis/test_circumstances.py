from typing import Any

import pandas as pd
import pytest

from normbench.analysis.circumstances import compare_speed, compare_verdicts, compare_versions
from normbench.analysis.study import VERDICT_TYPES


def verdicts(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return verdicts with these values, in the dtypes of a file."""
    given = [{"claim": "c", "verdict": "supported", "effect": 0.1, "spec_sha256": "x", **row} for row in rows]
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in given], dtype=dtype) for name, dtype in VERDICT_TYPES.items()}
    )


def test_a_verdict_that_changed() -> None:
    """Old and new stand side by side, with whether the claim itself is the same."""
    a = verdicts({"claim": "x"}, {"claim": "y"}, {"claim": "z"})
    b = verdicts({"claim": "y", "verdict": "refuted", "effect": -0.2}, {"claim": "z", "spec_sha256": "other"})
    rows = compare_verdicts(a, b).set_index("claim")
    assert rows["changed"].to_dict() == {"x": False, "y": True, "z": False}
    assert rows[["verdict_a", "verdict_b"]].to_numpy()[1].tolist() == ["supported", "refuted"]
    assert rows[["effect_a", "effect_b"]].to_numpy()[1].tolist() == [0.1, -0.2]
    assert rows["same_spec"].tolist()[1:] == [True, False]
    assert rows["same_spec"].isna().tolist() == rows["verdict_b"].isna().tolist() == [True, False, False]


def test_claims_that_have_no_spec_to_differ() -> None:
    """Without a hash nobody knows whether the claim is the same."""
    rows = compare_verdicts(verdicts({"spec_sha256": None}), verdicts({"spec_sha256": "x"}))
    assert rows["same_spec"].isna().all()


def provenance(*rows: dict[str, Any]) -> pd.DataFrame:
    given = [
        {"mode": "solo", "pack_size": 1, "wall_time_s": 1.0, "torch": "2.9", "device": "cpu", **row} for row in rows
    ]
    return pd.DataFrame(given).astype({"pack_size": "Int64"})


def test_speed_is_a_run_s_share_of_its_pack() -> None:
    """The medians of each mode and of all, and their ratio."""
    a = provenance({"wall_time_s": 2.0}, {"wall_time_s": 4.0}, {"mode": "stacked", "pack_size": 10, "wall_time_s": 5.0})
    b = provenance({"wall_time_s": 6.0}, {"mode": "compiled", "pack_size": 4, "wall_time_s": 1.0})
    rows = compare_speed(a, b).set_index("mode")
    assert rows.loc[["solo"]].to_numpy().tolist() == [[2, 1, 3, 6, 2]]
    assert rows.loc["stacked", "seconds_a"] == pytest.approx(0.5)
    assert rows["ratio"].isna().to_dict() == {"compiled": True, "solo": False, "stacked": True, "all": False}
    assert rows.loc["stacked", "runs_b"] == 0
    assert rows.loc["all", "runs_a"] == 3


def test_no_times_at_all() -> None:
    """Without provenance there are no rows."""
    assert compare_speed(provenance({})[:0], provenance({})[:0]).empty


def test_only_what_differs_is_a_version_to_name() -> None:
    """Each with all of its values."""
    rows = compare_versions(provenance({}, {"torch": "2.10"}), provenance({"torch": "2.10"}))
    assert rows.to_numpy().tolist() == [["torch", "2.10, 2.9", "2.10"]]


def test_a_study_without_provenance_differs_in_nothing_known() -> None:
    """What was never recorded is no difference."""
    assert compare_versions(provenance({}), provenance({})[:0]).empty
