"""Own parts and data that are edited between two commands, from the command line to the tables."""

from pathlib import Path

import pytest
from commands import Command
from PIL import Image

from normbench import data as normbench_data
from normbench.api import load

TINY = ["steps=3", "model.width=8", "model.depth=1", "engine.workers=1", "engine.mode=solo"]
MINE = """
from normbench.norms.none import NoNorm

class Mine(NoNorm):
    def forward(self, x):
        return x * 1.0
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the source of a norm that can be imported, under a name that no other test has imported."""
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / f"own_{tmp_path.name}.py"
    path.write_text(MINE)
    return path


def test_an_edited_norm_is_not_pooled_with_the_one_before(normbench: Command, source: Path) -> None:
    """`train`, `plan` and `aggregate` say so, each once, and a merge of two studies keeps the versions apart."""
    norm = [f"norm._target_={source.stem}.Mine", "norm.name=mine"]
    assert "was edited" not in normbench("train", "-m", *norm, "seed=0,1", "study=a", *TINY).err
    source.write_text(MINE.replace("1.0", "0.5"))
    second = ["-m", *norm, "seed=0,1", *TINY]
    planned = normbench("plan", *second, "study=a")
    assert planned.out.count("norm=mine was edited since") == 1
    trained = normbench("train", *second, "study=a")
    assert (trained.code, trained.err.count("norm=mine was edited since")) == (0, 1)
    assert "was edited" not in normbench("train", "-m", *norm, "seed=2", "study=a", *TINY).err
    runs = load("results/a")
    assert sorted(runs.groupby("norm._content_").size()) == [2, 3]
    table = normbench("aggregate", "a")
    assert table.err.count("norm=mine was edited between two commands: 2 versions") == 1
    assert "norm._content_" in table.out


def test_studies_with_the_norm_edited_between_merge_to_two_cells(normbench: Command, source: Path) -> None:
    """Neither study has a column of its own; the merged one needs it."""
    norm = [f"norm._target_={source.stem}.Mine", "norm.name=mine"]
    normbench("train", "-m", *norm, "seed=0,1", "study=a", *TINY)
    source.write_text(MINE.replace("1.0", "0.5"))
    normbench("train", "-m", *norm, "seed=0,1", "study=b", *TINY)
    assert "norm._content_" not in load("results/a")
    assert normbench("merge", "a", "b", "-o", "both").code == 0
    both = load("results/both")
    assert both.groupby("norm._content_").size().tolist() == [2, 2]
    compared = normbench("compare", "b", "both", "--format", "csv")
    assert (compared.code, len(compared.out.splitlines())) == (0, 2)


def images(root: Path, count: int = 12) -> None:
    for label in range(2):
        for number in range(count):
            path = root / f"class{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (label * 90, number * 5, 0)).save(path)


def test_a_folder_of_images_is_its_content(normbench: Command, tmp_path: Path) -> None:
    """However its path is written; images that are added make another cell."""
    images(tmp_path / "img" / "plain")
    data = ["data=image_folder", "norm=none", "batch_size=4", *TINY]
    for seed, root in enumerate(["img/plain", "img/plain/", str(tmp_path / "img" / "plain")]):
        result = normbench("train", *data, f"data.root={root}", f"seed={seed}")
        assert (result.code, "edited" in result.err) == (0, False)
    runs = load("results/default")
    assert (len(runs), {"data.root", "data._content_"} & {*runs.columns}) == (3, set())
    images(tmp_path / "img" / "plain", count=14)
    # A command of its own would not know what this process has loaded.
    normbench_data._load_once.cache_clear()
    result = normbench("train", *data, "data.root=img/plain", "seed=0")
    assert "data=image_folder was edited since" in result.err
    assert sorted(load("results/default").groupby("data._content_").size()) == [1, 3]
