"""Tests of parts that change under their names: each version is a cell of its own, and equal ones are one."""

from pathlib import Path
from typing import Any

import pytest

from normbench.record.store import Study
from normbench.record.tables import merge
from normbench.record.versions import edited, version

from .test_tables import config, record, rows

Entry = dict[str, Any]

NORM = {"name": "mine", "_target_": "mine.Norm", "gain": 1}


def norm(source: str | None, **changes: Any) -> Entry:
    own = {"sources": {"norm._target_": source * 64}} if source else {}
    return {"content": "c" * 64, **own, "config": config(norm={**NORM, **changes})}


def data(content: str, root: str | None, **changes: Any) -> Entry:
    part = {"name": "image_folder", "root": root, "download": False, **changes}
    return {"content": content * 64, "config": config(data=part)}


def merged(folder: Path, *entries: Entry, changed: list[str] | None = None) -> list[dict[str, str]]:
    """Return runs.csv of a study with a block an entry."""
    study = Study(folder / "mine")
    study.create()
    for place, entry in enumerate(entries):
        study.append_block({"changed": changed or []}, {f"{place}": entry}, [])
        study.write_shard(place + 1, 0, [record(f"{place}")])
    merge(study)
    return rows(study)


def test_an_edited_source_is_a_cell_of_its_own(tmp_path: Path) -> None:
    """Two norms under one name would else be averaged; what normbench ships has no version."""
    shipped = {"content": "c" * 64, "config": config()}
    table = merged(tmp_path, norm("1"), norm("2"), norm("1"), shipped)
    assert [row["norm._content_"] for row in table] == ["sha:11111111", "sha:22222222", "sha:11111111", ""]
    assert "data._content_" not in table[0]


def test_one_version_needs_no_column(tmp_path: Path) -> None:
    """Nor does a part whose settings tell it apart already."""
    assert "norm._content_" not in merged(tmp_path, norm("1"), norm("1"), norm("2", gain=2), changed=["norm.gain"])[0]


def test_a_source_that_an_earlier_version_did_not_record_is_not_pooled(tmp_path: Path) -> None:
    """It may be the same or another."""
    assert [row["norm._content_"] for row in merged(tmp_path, norm(None), norm("1"))] == ["", "sha:11111111"]


def test_an_old_plan_gets_no_column(tmp_path: Path) -> None:
    """Its tables stay what they were."""
    assert "norm._content_" not in merged(tmp_path, norm(None), norm(None))[0]


def test_images_added_to_a_folder_make_other_cells(tmp_path: Path) -> None:
    """Under one path lie two data sets."""
    table = merged(tmp_path, data("a", "img"), data("b", "img"), changed=["data.root"])
    assert [row["data._content_"] for row in table] == ["sha:aaaaaaaa", "sha:bbbbbbbb"]
    assert "data.root" not in table[0]


def test_the_same_data_elsewhere_are_one_cell(tmp_path: Path) -> None:
    """With a slash, as an absolute path, in a folder that was moved."""
    table = merged(tmp_path, *(data("a", root) for root in ("img", "img/", "/far/img")), changed=["data.root"])
    assert not {"data.root", "data._content_"} & table[0].keys()


def test_two_folders_keep_their_names(tmp_path: Path) -> None:
    """Each under the path that was typed first."""
    roots = [("a", "cats"), ("b", "dogs"), ("b", "dogs/"), ("a", "/far/cats")]
    table = merged(tmp_path, *(data(*each) for each in roots), changed=["data.root"])
    assert [row["data.root"] for row in table] == ["cats", "dogs", "dogs", "cats"]
    assert "data._content_" not in table[0]


def test_two_folders_of_which_one_was_edited(tmp_path: Path) -> None:
    """The path tells one from the other, and the version what lay there when."""
    roots = [("a", "cats"), ("b", "dogs"), ("d", "dogs")]
    table = merged(tmp_path, *(data(*each) for each in roots), changed=["data.root"])
    assert [row["data.root"] for row in table] == ["cats", "dogs", "dogs"]
    assert len({row["data._content_"] for row in table}) == 3


def test_settings_that_change_the_content_need_no_version(tmp_path: Path) -> None:
    """Images of another size have another hash, and a column that says why."""
    table = merged(tmp_path, data("a", "img", size=8), data("b", "img", size=16), changed=["data.root", "data.size"])
    assert "data.size" in table[0]
    assert not {"data.root", "data._content_"} & table[0].keys()


def test_a_key_that_came_later_hides_no_version(tmp_path: Path) -> None:
    """At its default it is no setting of its own."""
    table = merged(tmp_path, data("a", "img"), data("b", "img", test_shift="none"))
    assert len({row["data._content_"] for row in table}) == 2


@pytest.mark.parametrize("digest", ["0123456789", "1234e678ab", "00000000"])
def test_a_version_is_no_number(digest: str) -> None:
    """Also where the hash has only digits, or an e among them."""
    with pytest.raises(ValueError, match="could not convert"):
        float(version({"sources": {"norm._target_": digest}}, "norm"))


def test_a_loader_and_its_data_are_one_version() -> None:
    """The data function may be edited and give the same images, or give others."""
    loaders: list[Entry] = [
        {"content": content, "sources": {"data._target_": source, "norm._target_": source}}
        for content in "ab"
        for source in "cd"
    ]
    assert len({version(entry, "data") for entry in loaders}) == 4
    assert len({version(entry, "norm") for entry in loaders}) == 2


def notes(tmp_path: Path, first: Entry, second: Entry) -> list[str]:
    study = Study(tmp_path / "mine")
    study.create()
    study.append_block({"changed": [], "created": "2030-01-02T03:04:05+00:00"}, {"a": first}, [])
    return edited(study.blocks(), [second, second])


def test_what_was_edited_is_said_once(tmp_path: Path) -> None:
    """With when the other version was planned, and the column."""
    (note,) = notes(tmp_path, norm("1"), norm("2"))
    assert note == (
        "norm=mine was edited since 2030-01-02 03:04:05 UTC: its runs form a separate cell, column norm._content_."
    )


def test_an_unknown_version_may_have_been_edited(tmp_path: Path) -> None:
    """The plan of an earlier version does not tell."""
    (note,) = notes(tmp_path, norm(None), norm("1"))
    assert note.startswith("norm=mine may have been edited since")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (norm("1"), norm("1")),
        (norm("1"), norm("2", gain=3)),
        (data("a", "img"), data("a", "img/")),
        (data("a", "cats"), data("b", "dogs")),
    ],
    ids=["the same", "other settings", "the same elsewhere", "other data"],
)
def test_nothing_is_said_where_nothing_was_edited(tmp_path: Path, first: Entry, second: Entry) -> None:
    """Nor where the user asked for something else."""
    assert notes(tmp_path, first, second) == []
