"""What scripts/bench measures with, and what it makes of its times."""

import csv
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from measure import __main__ as bench
from measure import plain, plain_pictures, plain_sequences
from measure.command import new_place
from measure.figure import Figure, Setting, Target
from measure.figures import FIGURES
from measure.made_up import EVALUATIONS, make_up

from normbench.config.sweep import expand
from normbench.engine.work import load_data
from normbench.record.store import Study
from normbench.shapes import PixelShape, SequenceShape
from normbench.training.build import build

ROOT = Path(__file__).parent.parent
QUICK = Setting(quick=True, pairs=1, cifar=None)


@pytest.mark.parametrize(
    ("target", "pairs", "ratio", "reached"),
    [
        (Target("times faster", 20), [(1.0, 1.0), (1.0, 0.4), (2.0, 1.0)], 20.0, True),
        (Target("times faster", 20.1), [(1.0, 1.0), (1.0, 0.4), (2.0, 1.0)], 20.0, False),
        (Target("times as long", 0.1), [(1.0, 1.0)], 0.1, True),
        (Target("times as long", 0.09), [(1.0, 1.0)], 0.1, False),
        (Target("seconds", 3), [(None, 2.0), (None, 9.0), (None, 3.0)], None, True),
        (Target("seconds", 2), [(None, 2.0), (None, 9.0), (None, 3.0)], None, False),
        (Target("seconds", 180), [(1.0, 200.0)], 20.0, False),
        (Target("times faster", None), [(1.0, 1.0)], 10.0, None),
        (Target("times faster", 5), [], None, None),
    ],
    ids=str,
)
def test_a_figure_is_the_median_of_its_pairs(
    target: Target, pairs: list[tuple[float | None, float]], ratio: float | None, reached: bool | None
) -> None:
    """Each pair gives a ratio of ten plain runs to one sweep, or the other way round; their median is judged."""
    figure = Figure("x", "a test", target, runs=10)
    for one, own in pairs:
        figure.add(one, own)
    assert figure.ratio == (None if ratio is None else pytest.approx(ratio))
    assert figure.reached is reached


@pytest.mark.parametrize("norm", plain.NORMS)
def test_the_plain_perceptron_has_normbenchs_size(norm: str) -> None:
    """Both sides of a ratio train the same model."""
    (run,) = expand([f"norm={norm}"]).runs
    ours = build(run, (1, 8, 8), 10)
    assert size(plain.mlp(norm)) == size(ours)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_plain_resnet_has_normbenchs_size(channels: int) -> None:
    """Both sides of a ratio train the same model."""
    (run,) = expand(["model=resnet", "model.depth=8"]).runs
    model = plain.resnet8(channels)
    assert size(model) == size(build(run, (channels, 32, 32), 10))
    assert model(torch.zeros(2, channels, 32, 32)).shape == (2, 10)


def test_the_plain_network_of_pixels_has_normbenchs_size() -> None:
    """Both sides of a ratio train the same model."""
    (run,) = expand(["task=segmentation", "model=fcn", "data=digits"]).runs
    model = plain_pictures.FCN()
    assert size(model) == size(build(run, PixelShape(1, 64, 64), plain_pictures.CLASSES))
    assert model(plain_pictures.noise(2)[0]).shape == (2, plain_pictures.CLASSES, 64, 64)


@pytest.mark.parametrize(
    ("name", "model"), [("rnn", plain_sequences.LayerNormLSTM), ("transformer", plain_sequences.Encoder)]
)
def test_the_plain_models_of_sequences_have_normbenchs_size(name: str, model: type[torch.nn.Module]) -> None:
    """Both sides of a ratio train the same model, but for where a shift is a bias or a beta."""
    (run,) = expand(["task=sequence_classification", f"model={name}", "norm=layer"]).runs
    ours = build(run, SequenceShape(8, features=8), 10)
    trained = sum(param.numel() for param in ours.parameters() if param.requires_grad)
    assert size(model()) == pytest.approx(trained, rel=0.03)
    assert model()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def size(model: torch.nn.Module) -> int:
    return sum(param.numel() for param in model.parameters())


def test_the_plain_loop_sees_as_many_digits_as_normbench() -> None:
    """The same number of samples makes the same number of steps."""
    (run,) = expand([]).runs
    from normbench.training.setup import split_of

    images, labels = plain.digits()
    assert len(images) == len(labels) == len(split_of(run, load_data(run.data)).train)


def test_the_plain_loop_learns() -> None:
    """It is a training and not only a load."""
    data = plain.digits()
    kept: list[torch.nn.Module] = []

    def model() -> torch.nn.Module:
        kept.append(plain.mlp())
        return kept[-1]

    assert plain.train(model, data, batch_size=32, steps=100) > 0
    with torch.no_grad():
        accuracy = (kept[0].eval()(data[0]).argmax(dim=1) == data[1]).float().mean()
    assert accuracy > 0.8


@pytest.mark.slow
def test_a_command_is_timed_from_its_first_step() -> None:
    """The steps lie within the command, and start-up before them."""
    with new_place() as place:
        timed = place.train("seed=0,1", "steps=5", "model.width=8")
        assert timed.runs == {"finished": 2}
        assert 0 < timed.from_first_step < timed.seconds
        assert timed.seconds - timed.from_first_step < timed.to_first_step < timed.seconds
        with pytest.raises(RuntimeError, match="unknown norm"):
            place.train("norm=grup")


def test_a_made_up_study_has_its_rows(tmp_path: Path) -> None:
    """It reads as any study, in packs, the last one smaller."""
    study = make_up(tmp_path / "mine", 100)
    (block,) = Study(study.folder).blocks()
    assert (len(block.runs), [len(pack["runs"]) for pack in block.packs]) == (100, [30, 30, 30, 10])
    records = study.records()
    assert records.keys() == block.runs.keys()
    assert {len(record.curves["step"]) for _, record in records.values()} == {EVALUATIONS}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["merge", "solo_step", "resnet_cifar"])
def test_a_quick_figure_is_measured(name: str) -> None:
    """Each figure that needs no long command runs through; CIFAR-10 says what it needs."""
    for figure in FIGURES[name](QUICK):
        assert figure.name == name
        assert figure.pairs or figure.note.startswith("not run: needs --cifar ROOT")
        assert set(bench.row(figure)) == set(bench.COLUMNS)


def entry(name: str, work: str) -> Mapping[str, str]:
    return {**dict.fromkeys(bench.COLUMNS, ""), "name": name, "work": work}


def test_rows_of_other_names_stay(tmp_path: Path) -> None:
    """Measuring one figure again leaves the others, in the order of the table."""
    path = tmp_path / "reference" / "bench.csv"
    bench.write(path, [entry("plan", "old"), entry("merge", "old"), entry("mlp2", "old")])
    bench.write(path, [entry("plan", "new"), entry("plan", "newer")])
    with path.open(newline="") as file:
        found = [(row["name"], row["work"]) for row in csv.DictReader(file)]
    assert found == [("mlp2", "old"), ("plan", "new"), ("plan", "newer"), ("merge", "old")]


@pytest.mark.parametrize("argument", ["mlp3", "--piars=2"])
def test_a_slip_is_an_error(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is not there is not passed over."""
    with pytest.raises(SystemExit) as exit_:
        bench.main([argument])
    assert exit_.value.code == 2
    assert argument.partition("=")[0] in capsys.readouterr().err


def test_the_script_can_be_run() -> None:
    """It stands beside scripts/test, and knows its figures from any folder."""
    assert os.access(ROOT / "scripts" / "bench", os.X_OK)
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "measure", "--help"], capture_output=True, text=True, check=True, cwd="/"
    )
    assert all(name in done.stdout for name in FIGURES)
