"""Pictures of what trained models make of test samples: in the study's folder, the report, and TensorBoard."""

import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import Command
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from normbench.analysis import pictures
from normbench.analysis.pictures import side_by_side
from normbench.analysis.study import load_runs
from normbench.engine import observers
from normbench.errors import StudyError
from normbench.record.pictures import Sheet, png, read_pictures, write_pictures

TASK = '''
import torch

from normbench.tasks import Classification
from normbench.tasks.task import Drawn


class Seen(Classification):
    """Shows digits in red, the label as a share of green, the answer as a share of blue."""

    alone = "each run shows what it sees"
    draws = "Digits, their labels in green, and answers in blue."

    def drawn(self, model, batch):
        answers = self.call(model, batch).argmax(1)
        return [
            Drawn(full(0, 255 * (image > 0).float()), full(1, label), full(2, answer))
            for image, label, answer in zip(batch["images"], batch["labels"], answers, strict=True)
        ]


def full(channel, value):
    picture = torch.zeros(3, 8, 8)
    picture[channel] = value
    return picture.byte()
'''

TRAIN = ("train", "-m", "task._target_=seen.Seen", "task.name=seen", "steps=30", "engine.workers=1", "study=mine")


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[None]:
    """Write a task with pictures into the folder where commands run."""
    (tmp_path / "seen.py").write_text(TASK)
    sys.path.insert(0, str(tmp_path))
    yield
    sys.path.remove(str(tmp_path))
    sys.modules.pop("seen", None)


@pytest.mark.usefixtures("seen")
def test_a_sweep_shows_the_norms_side_by_side(normbench: Command) -> None:
    """The first seed of each norm, the same samples, a table for each setting, in the report and in TensorBoard."""
    assert normbench(*TRAIN, "norm=batch,none", "batch_size=16,64", "seed=0,1").code == 0
    study = Path("results/mine")
    sheets = [read_pictures(path) for path in (study / "pictures").iterdir()]
    assert len(sheets) == 8
    for sheet in sheets:
        assert sheet.tiles.shape == (4, 3, 8, 8, 3)
        # Each column has its own colour: nothing is mixed up.
        assert all(
            sheet.column(name)[..., other].max() == 0 for name, other in (("given", 1), ("wanted", 2), ("made", 0))
        )
        assert sheet.column("given")[..., 0].any()
    made = {sheet.column("made").tobytes() for sheet in sheets}
    assert len(made) > 1
    assert normbench("report", "mine").code == 0
    _, _, own = (study / "report.html").read_text().partition("What the models make of pictures")
    own = own.partition("</section>")[0]
    assert own.count("<table") == 2
    assert "batch_size=16" in own and "batch_size=64" in own
    assert own.count("<img") == 2 * 4 * (2 + 2)
    first = own.partition('src="data:image/png;base64,')[2].partition('"')[0]
    assert b64decode(first) in {png(sheet.column("given")[0]) for sheet in sheets}


@pytest.mark.usefixtures("seen")
def test_a_log_has_the_pictures(normbench: Command) -> None:
    """A single run's log has them row by row, those of cells a figure for each setting."""
    assert normbench(*TRAIN, "log.tensorboard=cell").code == 0
    (overview,) = Path("results/mine/tensorboard").rglob("overview")
    assert "samples/samples" in tags(overview)
    assert normbench("train", *TRAIN[2:-1], "study=one").code == 0
    (log,) = Path("results/one/tensorboard").iterdir()
    assert [tag for tag in tags(log) if tag.startswith("pictures/")] == [f"pictures/{place}" for place in (1, 2, 3, 4)]


def tags(folder: Path) -> list[str]:
    events = EventAccumulator(str(folder))
    events.Reload()
    found = events.Tags()
    names = [*found["images"], *found["tensors"]]
    return names


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("log.pictures=none",), 0),
        (("log.pictures=all", "seed=range(3)"), 3),
        (("seed=range(3)",), 0),
    ],
    ids=["none", "all", "a large sweep"],
)
@pytest.mark.usefixtures("seen")
def test_pictures_are_saved_where_they_are_wanted(
    overrides: tuple[str, ...], expected: int, normbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large sweep saves none unless it is told to."""
    monkeypatch.setattr(observers, "MOST_RUNS", 2)
    assert normbench(*TRAIN, *overrides).code == 0
    assert len(list(Path("results/mine").glob("pictures/*"))) == expected


def test_pictures_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Also those with a sentence that is no Latin-1."""
    tiles = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 7, 3), dtype=np.uint8)
    write_pictures(tmp_path / "pictures/one.png", Sheet("Grün → größer 字", tiles))
    found = read_pictures(tmp_path / "pictures/one.png")
    assert found.how == "Grün → größer 字"
    assert np.array_equal(found.tiles, tiles)


@pytest.mark.parametrize("kept", [0, 8, 60, 200])
def test_damaged_pictures_are_named(kept: int, tmp_path: Path) -> None:
    """And what to do about them is said."""
    path = tmp_path / "one.png"
    tiles = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8)
    path.write_bytes(Sheet("One.", tiles).png()[:kept])
    with pytest.raises(StudyError, match=r"one\.png is damaged .*delete it"):
        read_pictures(path)


@pytest.mark.parametrize(("task", "model"), [("detection", "ssd"), ("segmentation", "fcn")])
def test_a_single_run_on_scenes_ends_with_its_pictures(task: str, model: str, normbench: Command) -> None:
    """A metric that training does not measure has a dash in the table of the run."""
    done = normbench("train", f"task={task}", "data.num_scenes=60", "epochs=1", f"model={model}", "study=mine")
    assert done.code == 0
    assert (" - " in done.err) == (task == "detection")
    (path,) = Path("results/mine/pictures").iterdir()
    assert read_pictures(path).tiles.shape[1:] == (3, 192, 192, 3)


@pytest.mark.usefixtures("seen")
def test_norms_are_shown_on_the_same_samples(normbench: Command) -> None:
    """By runs of the seed that most norms have; what has no place is said."""
    assert normbench(*TRAIN, "norm=batch", "seed=0").code == 0
    assert normbench(*TRAIN, "norm=batch,none,layer", "seed=1").code == 0
    (table,) = side_by_side(Path("results/mine"), load_runs(Path("results/mine")))
    assert table.norms == ("batch", "layer", "none")
    given = [sheet.column("given").tobytes() for sheet in table.sheets]
    assert len(set(given)) == 1
    assert table.left_out == ""


@pytest.mark.usefixtures("seen")
def test_what_is_not_shown_is_counted(normbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the report, and in TensorBoard's description."""
    monkeypatch.setattr(pictures, "MOST_SETTINGS", 1)
    monkeypatch.setattr(pictures, "MOST_NORMS", 1)
    assert normbench(*TRAIN, "norm=batch,none", "batch_size=16,32,64").code == 0
    (table,) = side_by_side(Path("results/mine"), load_runs(Path("results/mine")))
    more = "1 more norm of this setting and 2 more settings"
    assert table.left_out == f"Not shown: {more}; their pictures are in pictures/."
    assert normbench("report", "mine").code == 0
    assert table.left_out in Path("results/mine/report.html").read_text()
