"""The command line as a user meets it: exit codes, messages, and what is left on disk."""

import os
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import Command
from PIL import Image

from normbench.data import Dataset
from normbench.spec import Run
from normbench.training.outcome import Outcome
from normbench.training.solo import train

TINY = ["steps=3", "model.width=8"]


BAD_INPUT = {
    "unknown choice": (["norm=grup"], "unknown norm 'grup'; did you mean 'group'?"),
    "unknown key": (["model.dpth=3"], "unknown key 'model.dpth'; did you mean 'model.depth'?"),
    "unknown top key": (["batchsize=3"], "unknown key 'batchsize'; did you mean 'batch_size'?"),
    "key without its group": (["depth=3"], "unknown key 'depth'; did you mean 'model.depth'?"),
    "unknown experiment": (["+experiment=quikstart"], "did you mean 'quickstart'?"),
    "key of another norm": (["norm.num_groups=3"], "unknown key 'norm.num_groups'"),
    "text for a number": (["lr=fast"], "lr: got 'fast', expected a number above 0."),
    "number for a switch": (["norm.affine=1"], "norm.affine: got 1, expected true or false."),
    "fraction for a count": (["seed=1.5"], "seed: got 1.5, expected an integer"),
    "negative batch size": (["batch_size=-4"], "batch_size: got -4, expected an integer of at least 1."),
    "zero batch size": (["batch_size=0"], "batch_size: got 0"),
    "negative rate": (["lr=-0.1"], "lr: got -0.1, expected a number above 0."),
    "zero rate": (["lr=0"], "lr: got 0"),
    "infinite rate": (["lr=inf"], "lr: got inf"),
    "zero epochs": (["epochs=0"], "epochs: got 0"),
    "two budgets": (["epochs=2", "steps=5"], "a run takes only one of the two"),
    "no budget": (["epochs=null"], "a run needs one of the two"),
    "batch too large": (["batch_size=5000"], "larger than the training set, 1258 samples"),
    "norm batch does not divide": (["norm_batch_size=5"], "norm_batch_size=5 does not divide batch_size=32."),
    "groups do not divide": (["norm=group", "norm.num_groups=7"], "num_groups=7 does not divide the 128 channels"),
    "one value a channel": (["batch_size=1"], "only one value per channel"),
    "one value a channel of a ghost": (["norm_batch_size=1"], "only one value per channel"),
    "instance norm on an MLP": (["norm=instance"], "instance norm needs several positions to average over"),
    "no data folder given": (["data=image_folder"], "data.root=FOLDER"),
    "missing data folder": (["data=image_folder", "data.root=nowhere"], "nowhere"),
    "missing download": (["data=cifar10"], "cifar-10-batches-py"),
    "sweep without -m": (["lr=0.1,0.2"], "'lr=0.1,0.2' gives several values: add -m for a sweep."),
    "sweep of a setting": (["-m", "study=a,b"], "cannot be swept"),
    "sweep of nothing possible": (["-m", "norm=instance", "seed=0,1"], "no run of this sweep is possible"),
    "grammar": (["model.depth=[1"], "cannot read the override 'model.depth=[1'"),
    "a list for a sweep": (["norm=[batch,none]"], "a list; for a sweep use norm=batch,none with -m."),
    "a path with a quote": (["data.root=~/it's"], """quote a string: 'data.root="~/it'"'"'s"'"""),
    "interpolation": (["lr=${nowhere}"], "cannot resolve lr: Interpolation key 'nowhere' not found"),
    "interpolation in a sweep": (["-m", "seed=0,1", "lr=${nowhere},1"], "cannot resolve lr: Interpolation key"),
    "axes of unequal length": (
        ["-m", "lr=1,2,3", "seed=0,1", "sweep.zip=[lr,seed]"],
        "need the same number of values: lr has 3, seed has 2.",
    ),
    "seed beyond 64 bits": (["seed=18446744073709551615"], "expected an integer of at most 9223372036854775807"),
    "rate below any float": (["lr=1e-400"], "lr: got 0.0, expected a number above 0."),
    "rate above any float": (["lr=1e400"], "lr: got inf, expected a number above 0."),
    "hundred thousand threads": (
        ["engine.threads=100000"],
        "engine.threads: got 100000, expected an integer of at least",
    ),
    "hundred thousand workers": (
        ["engine.workers=100000"],
        "engine.workers: got 100000, expected an integer of at least",
    ),
    "weights beyond memory": (["model.width=1000000000"], "model=mlp does not fit into memory: RuntimeError"),
    "samples beyond memory": (
        ["data=synthetic", "data.num_samples=100000000000"],
        "data=synthetic does not fit into memory: MemoryError",
    ),
    "billion layers": (
        ["model.depth=1000000000"],
        "model.depth: got 1000000000, expected an integer",
    ),
    "study of 300 characters": ([f"study={'a' * 300}"], "longer than the 255 bytes that file systems allow"),
    "study of spaces": (["study='  '"], "neither begins nor ends with a space"),
    "data path of 300 characters": (["data=image_folder", f"data.root={'a' * 300}"], "longer than the 255 bytes"),
    "results path of 300 characters": ([f"results_dir={'a' * 300}"], "longer than the 255 bytes"),
    "no such home": (["results_dir=~no_such_user/x"], "results_dir: got '~no_such_user/x', but there is no such home"),
    "given twice": (["lr=0.1", "lr=0.2"], "'lr' is given twice"),
    "no such engine": (["engine.name=dask"], "engine.name: unknown value 'dask'. Known: local, ray, slurm"),
    "too many threads": (["engine.threads=100000"], "engine.threads: got 100000, expected"),
    "unknown precision": (["precision=bf16"], "precision: unknown value 'bf16'; did you mean 'bfloat16'?"),
    "no such device": (["engine.device=warp"], "engine.device: got 'warp'"),
    "warm-up longer than the run": (["steps=5", "schedule.warmup_steps=9"], "expected fewer than the run's 5 steps"),
    "study with a slash": (["study=a/b"], "study: got 'a/b'"),
    "no conf folder": (["--config-dir", "nowhere"], "--config-dir: no folder at"),
    "unknown option": (["--frobnicate"], "No such option"),
    "no module of that name": (["norm._target_=nowhere.Norm", "norm.name=mine"], "norm._target_=nowhere.Norm"),
    "own norm without a name": (["norm._target_=torch.nn.Identity"], "norm.name"),
}


@pytest.mark.parametrize("command", ["train", "plan"])
@pytest.mark.parametrize(("args", "message"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_is_told_in_two_lines_and_starts_nothing(
    normbench: Command, tmp_path: Path, command: str, args: list[str], message: str
) -> None:
    """What is wrong goes to stderr with exit code 2, without a traceback and without a file."""
    result = normbench(command, *args)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""
    assert "Traceback" not in result.err
    if not result.err.startswith("Usage"):
        assert len(result.err.strip().splitlines()) <= 2
    assert not (tmp_path / "results").exists()


def test_a_failing_download_names_the_folder(
    normbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network the message says where the files are expected."""
    monkeypatch.setattr("urllib.request.urlopen", _no_network)
    result = normbench("train", "data=cifar10", "data.download=true")
    assert result.code == 2
    assert str(tmp_path / "data" / "cifar-10-batches-py") in result.err


def _no_network(*args: object, **kwargs: object) -> None:
    raise OSError("no network")


def image_folder(root: Path, classes: int = 2, images: int = 12) -> Path:
    for label in range(classes):
        for number in range(images):
            path = root / f"class{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (label * 90, number * 5, 0)).save(path)
    return root


def test_paths_work_as_typed(normbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell leaves the ~ after an = as it is, and people's folders have brackets, signs and letters of any script."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    image_folder(tmp_path / "home" / "研究 (1)" / "a=b#c&d")
    data = ["data=image_folder", "data.root=~/研究 (1)/a=b#c&d"]
    result = normbench("train", *data, "study=研究", "results_dir=~/results", "batch_size=4", *TINY)
    assert result.code == 0
    assert (tmp_path / "home" / "results" / "研究" / "runs.csv").is_file()
    assert not (tmp_path / "~").exists()
    for option in (["--results-dir=~/results"], ["--results-dir", "~/results"]):
        assert normbench("aggregate", "研究", *option).code == 0


def test_the_longest_seed_and_study_leave_tables_that_can_be_read(normbench: Command) -> None:
    """What is let in does no harm: the next command reads it."""
    big = [f"study={'a' * 255}", "seed=9223372036854775807", "engine.workers=1024"]
    for command in (["train", *big, *TINY], ["train", *big, *TINY], ["aggregate", "a" * 255, "--by", "seed"]):
        result = normbench(*command)
        assert result.code == 0
        assert "Traceback" not in result.err
    assert "9223372036854775807" in result.out


def test_a_truncated_image_is_named(normbench: Command, tmp_path: Path) -> None:
    """One damaged image stops the command and is named."""
    root = image_folder(tmp_path / "images")
    broken = root / "class1" / "3.png"
    broken.write_bytes(broken.read_bytes()[:40])
    result = normbench("train", "data=image_folder", f"data.root={root}")
    assert result.code == 2
    assert str(broken) in result.err


def test_a_folder_with_one_class_is_refused(normbench: Command, tmp_path: Path) -> None:
    """Nothing can be told apart in a single class."""
    root = image_folder(tmp_path / "images", classes=1)
    result = normbench("train", "data=image_folder", f"data.root={root}")
    assert result.code == 2
    assert "at least two classes, found only 'class0'" in result.err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody can write to")
def test_results_that_cannot_be_written_are_refused_before_training(normbench: Command) -> None:
    """A read-only results folder is found before the first step."""
    result = normbench("train", "results_dir=/proc/results", *TINY)
    assert result.code == 2
    assert "/proc/results" in result.err


def test_debug_shows_the_traceback(normbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """NORMBENCH_DEBUG=1 is for those who want to see where it went wrong."""
    monkeypatch.setenv("NORMBENCH_DEBUG", "1")
    assert "Traceback" in normbench("train", "norm=grup").err


def test_a_run_prints_its_curve_and_its_scores(normbench: Command, tmp_path: Path) -> None:
    """The curve goes to stderr, the scores to stdout, the rows to the study."""
    result = normbench("train", *TINY)
    assert result.code == 0
    assert re.fullmatch(r"run [0-9a-f]{12} finished\n(test accuracy 0\.\d{4}   .*\n){3}", result.out), result.out
    assert "val acc" in result.err
    left = {path.name for path in (tmp_path / "results" / "default").iterdir()}
    assert left - {".lock", ".merged"} == {
        "plan.jsonl", "shards", "runs.csv", "curves.csv", "summary.csv", "provenance.csv", "tensorboard",
    }  # fmt: skip


def test_the_same_command_trains_nothing_the_second_time(normbench: Command, tmp_path: Path) -> None:
    """Finished runs stay, and the tables are the same byte for byte."""
    sweep = ["train", "seed=range(3)", "norm=batch,none", "-m", *TINY]
    study = tmp_path / "results" / "default"
    first = normbench(*sweep)
    before = {name: (study / name).read_bytes() for name in ("runs.csv", "curves.csv", "summary.csv")}
    shards = {path: path.stat().st_mtime_ns for path in (study / "shards").iterdir()}
    second = normbench(*sweep)
    assert (first.code, second.code) == (0, 0)
    assert "6 of them done already" in second.err
    assert second.out == first.out
    assert {name: (study / name).read_bytes() for name in before} == before
    assert {path: path.stat().st_mtime_ns for path in (study / "shards").iterdir()} == shards


def test_two_studies_of_one_command_have_equal_rows(normbench: Command, tmp_path: Path) -> None:
    """Trained twice from nothing, a plan gives the same runs.csv byte for byte."""
    for place in ("a", "b"):
        assert normbench("train", "-m", "seed=0,1", f"results_dir={place}", *TINY).code == 0
    first, second = (tmp_path / place / "default" / "runs.csv" for place in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_force_trains_again(normbench: Command) -> None:
    """--force trains what is finished."""
    normbench("train", *TINY)
    assert "done already" in normbench("train", *TINY).err
    assert "val acc" in normbench("train", *TINY, "--force").err


@pytest.mark.parametrize("args", [["-m", "lr=0.1,0.2"], ["lr=0.1,0.2", "-m"], ["lr=0.1,0.2", "--multirun", "seed=1"]])
def test_multirun_may_stand_anywhere(normbench: Command, args: list[str]) -> None:
    """-m works before, between and after the overrides."""
    result = normbench("plan", *args)
    assert result.code == 0
    assert "runs      2: 0 done already, 2 to train" in result.out


def test_an_impossible_cell_of_a_sweep_is_skipped_with_its_reason(normbench: Command) -> None:
    """The others are trained, and the reason is told."""
    result = normbench("train", "-m", "norm=batch,instance", "seed=0,1", *TINY)
    assert result.code == 0
    assert "skipped   2" in result.err
    assert "instance norm needs several positions to average over" in result.err


def test_divergence_is_a_result(normbench: Command, tmp_path: Path) -> None:
    """A diverged run has a row without metrics, and the exit code is 0."""
    result = normbench("train", "norm=none", "lr=1e8", "steps=50")
    rows = pd.read_csv(tmp_path / "results" / "default" / "runs.csv", dtype={"run_id": str})
    assert result.code == 0
    assert "diverged" in result.err
    assert list(rows["status"]) == ["diverged"]
    assert rows["test_accuracy"].isna().all()
    assert (rows["diverged_at_step"] > 0).all()


def test_a_failed_run_is_told_at_the_end(normbench: Command, tmp_path: Path) -> None:
    """A norm of the user's that raises gives a row with the reason and its place, and exit code 1."""
    (tmp_path / "raising_norms.py").write_text(
        "from torch import nn\n\n\nclass Raises(nn.Module):\n    def __init__(self, num_features):\n"
        "        super().__init__()\n        self.calls = 0\n\n    def forward(self, x):\n        self.calls += 1\n"
        "        if self.calls > 4:\n            raise RuntimeError('my own fault')\n        return x\n"
    )
    own = ["norm._target_=raising_norms.Raises", "norm.name=raises"]
    result = normbench("train", "-m", *own, "seed=0,1", *TINY)
    assert result.code == 1
    assert "my own fault" in result.err
    assert "raising_norms.py, line 12" in result.err
    assert "2 of 2 runs failed" in result.err


def test_cfg_prints_yaml_and_stops(normbench: Command, tmp_path: Path) -> None:
    """--cfg shows the resolved config and the axes, and trains nothing."""
    result = normbench("train", "--cfg", "model=resnet", "-m", "norm=group", "lr=0.1,0.2")
    assert result.code == 0
    assert "  name: resnet\n" in result.out
    assert "sweep:\n  lr:\n  - 0.1\n  - 0.2\n" in result.out
    assert not (tmp_path / "results").exists()


def test_plan_writes_nothing(normbench: Command, tmp_path: Path) -> None:
    """plan tells what train would do and how long it would take, and leaves no trace where the user stands."""
    result = normbench("plan", "-m", "norm=batch,layer,group,instance,none", "seed=range(2)")
    assert result.code == 0
    assert "runs      8: 0 done already, 8 to train" in result.out
    assert "skipped   2" in result.out
    assert "packs     8 of 1 run, solo" in result.out
    assert re.search(
        r"^time      about 0:\d\d on [1-9]\d* workers? \(from a calibration of \d\.\d s\)$", result.out, re.M
    )
    assert re.search(r"^cost      [\d.e-]+ CPU-hours on 1 node$", result.out, re.M)
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}


@pytest.mark.parametrize("form", ["table", "csv", "markdown", "latex"])
def test_aggregate_prints_a_table(normbench: Command, form: str) -> None:
    """Every format holds the rows; the table fits 80 columns and has no escape codes off a terminal."""
    normbench("train", "-m", "norm=batch,group", "lr=0.1,0.2", "seed=0,1", *TINY)
    result = normbench("aggregate", "default", "--by", "norm", "--best", "lr", "--format", form)
    assert result.code == 0
    assert "batch" in result.out
    assert "group" in result.out
    assert "\x1b" not in result.out
    assert form != "table" or max(map(len, result.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nowhere"], "nowhere"),
        (["default", "--metric", "test_acuracy"], "did you mean 'test_accuracy'?"),
        (["default", "--by", "nrm"], "did you mean 'norm'?"),
        (["default", "--format", "excel"], "excel"),
        (["default", "--best", "nothing"], "nothing"),
    ],
    ids=["study", "metric", "column", "format", "best"],
)
def test_aggregate_refuses_what_it_does_not_know(normbench: Command, args: list[str], message: str) -> None:
    """Unknown studies, metrics, columns and formats are told with exit code 2."""
    normbench("train", *TINY)
    result = normbench("aggregate", *args)
    assert result.code == 2
    assert message in result.err


def test_an_unknown_command_names_the_nearest(normbench: Command) -> None:
    """A misspelt command is told with the nearest one."""
    result = normbench("trian")
    assert result.code == 2
    assert "did you mean 'train'?" in result.err


@pytest.mark.parametrize("command", ["train", "plan", "aggregate", "doctor"])
def test_each_command_has_an_example(normbench: Command, command: str) -> None:
    """--help carries a line that a user can paste."""
    result = normbench(command, "--help")
    assert result.code == 0
    assert f"normbench {command}" in result.out.partition("Example:")[2]


def test_a_swept_precision_gets_a_column(normbench: Command, tmp_path: Path) -> None:
    """Its runs are runs of their own, beside the one that an earlier study knows without the key."""
    assert normbench("train", "-m", "precision=float32,bfloat16", "log.tensorboard=run", *TINY).code == 0
    runs = pd.read_csv(tmp_path / "results" / "default" / "runs.csv")
    assert sorted(runs["precision"]) == ["bfloat16", "float32"]
    assert normbench("train", "study=plain", *TINY).code == 0
    (plain,) = pd.read_csv(tmp_path / "results" / "plain" / "runs.csv").to_dict("records")
    assert "precision" not in plain
    assert plain["run_id"] == runs.set_index("precision").loc["float32", "run_id"]


def test_doctor_tells_what_is_there(normbench: Command) -> None:
    """doctor names versions, device, fast precisions, compiler and where data sets are looked for."""
    result = normbench("doctor")
    assert result.code == 0
    for word in ("torch", "device", "threads", "precision", "compiler", "cifar10", "engine=local", "engine=slurm"):
        assert word in result.out


def test_status_tells_how_far_a_study_is(normbench: Command) -> None:
    """By its name, or all studies."""
    assert normbench("train", *TINY, "study=mine").code == 0
    for names in ((), ("mine",)):
        result = normbench("status", *names)
        assert (result.code, result.out.splitlines()[1:]) == (0, ["done      1 run"])


def test_interruption_keeps_what_was_finished(
    normbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C gives exit code 130 and tables of the finished runs; the same command then trains the rest."""
    trained: list[Run] = []

    def interrupted(run: Run, dataset: Dataset, **kwargs: Any) -> Outcome:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(run)
        return train(run, dataset, **kwargs)

    monkeypatch.setattr("normbench.training.pack.train", interrupted)
    result = normbench("train", "-m", "seed=range(4)", "engine.workers=1", "engine.mode=solo", *TINY)
    assert result.code == 130
    assert len(pd.read_csv(tmp_path / "results" / "default" / "runs.csv")) == 2
    monkeypatch.setattr("normbench.training.pack.train", train)
    assert "2 of them done already" in normbench("train", "-m", "seed=range(4)", *TINY).err
    assert len(pd.read_csv(tmp_path / "results" / "default" / "runs.csv")) == 4


def test_help_is_there_without_a_terminal(normbench: Command) -> None:
    """--help lists the commands."""
    result = normbench("--help")
    assert result.code == 0
    assert all(name in result.out for name in ("train", "plan", "aggregate", "doctor"))
    assert os.linesep in result.out
