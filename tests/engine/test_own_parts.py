"""Norms, models and data of a user's own, from the folder where the user stands: how they train, how they fail."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Command

NORMS = """
import torch
import torch.nn.functional as F
from torch import nn

from normbench.errors import ImpossibleRunError


class Centred(nn.Module):
    removes_channel_mean = True

    def __init__(self, num_features, gain=1.0):
        super().__init__()
        self.gain = gain

    def forward(self, x):
        return self.gain * (x - x.mean(0))


class Deciding(Centred):
    def forward(self, x):
        return x if x.mean() > 0 else super().forward(x)


class Picky(Centred):
    def __init__(self, num_features):
        super().__init__(num_features)
        if num_features == 16:
            raise ImpossibleRunError("sixteen is too many for picky.")


class Wrong(Centred):
    def forward(self, x):
        if self.training and torch.is_grad_enabled():
            x = F.layer_norm(x, (7,))
        return x
"""

MODEL = """
from torch import nn


def net(input_shape, num_classes, norm, *, width=16):
    channels, height, wide = input_shape
    hidden = nn.Linear(channels * height * wide, width, bias=not norm.removes_channel_mean)
    return nn.Sequential(nn.Flatten(), hidden, norm(width), nn.ReLU(), nn.Linear(width, num_classes))
"""

DATA = """
import torch

from normbench.data import Dataset, content_hash


def stripes(count=200):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    images = torch.randn(count, 1, 4, 4, generator=generator)
    images[labels == 1, :, ::2] += 2
    return Dataset("stripes", images, labels, 0, ("plain", "striped"), content_hash(images, labels, 0))


def fails(count=200):
    return {}["count"]


def no_data():
    return torch.zeros(3)
"""

SMALL = ("steps=20", "model.width=16", "model.depth=1")


@pytest.fixture(autouse=True)
def here(tmp_path: Path) -> Iterator[None]:
    """Put the user's files where the user stands, and forget them afterwards."""
    (tmp_path / "conf" / "norm").mkdir(parents=True)
    for name, text in (("own_norms", NORMS), ("own_model", MODEL), ("own_data", DATA)):
        (tmp_path / f"{name}.py").write_text(text)
    yield
    for name in ("own_norms", "own_model", "own_data"):
        sys.modules.pop(name, None)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "results" / "default" / "runs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_norm_model_and_data_are_all_the_users_own(normbench: Command, tmp_path: Path) -> None:
    """Each by its dotted path and a name of its own, with its arguments."""
    own = ("norm._target_=own_norms.Centred", "norm.name=centred", "norm.gain=2")
    model = ("model._target_=own_model.net", "model.name=net", "model.width=8")
    data = ("data._target_=own_data.stripes", "data.name=stripes", "data.count=300")
    assert normbench("train", *own, *model, *data, "steps=40", "lr=0.1").code == 0
    (row,) = rows(tmp_path)
    assert (row["norm"], row["model"], row["data"], row["status"]) == ("centred", "net", "stripes", "finished")
    assert float(row["test_accuracy"]) > 0.9
    assert int(row["num_params"]) == 16 * 8 + 8 * 2 + 2


def test_yaml_in_a_config_dir_joins_the_shipped_choices(normbench: Command, tmp_path: Path) -> None:
    """A name of one's own stands beside the shipped names in a sweep."""
    (tmp_path / "conf" / "norm" / "mine.yaml").write_text("_target_: own_norms.Centred\nname: mine\ngain: 1.5\n")
    assert normbench("train", "--config-dir", "conf", "-m", "norm=mine,batch", *SMALL).code == 0
    assert sorted(row["norm"] for row in rows(tmp_path)) == ["batch", "mine"]


def test_a_layer_that_cannot_be_stacked_trains_solo_and_the_plan_says_why(normbench: Command, tmp_path: Path) -> None:
    """A branch on the data is what vmap cannot take; a like layer without one is stacked."""
    sweep = ("-m", "norm.name=mine", "seed=range(2)", "engine.mode=stacked", *SMALL)
    deciding = normbench("plan", "norm._target_=own_norms.Deciding", *sweep)
    assert "packs     2 of 1 run, solo: cannot be stacked (RuntimeError: vmap: It looks like you're" in deciding.out
    assert (
        "1 of 2 runs, stacked: engine.mode=stacked" in normbench("plan", "norm._target_=own_norms.Centred", *sweep).out
    )
    assert normbench("train", "norm._target_=own_norms.Deciding", *sweep).code == 0
    assert [row["status"] for row in rows(tmp_path)] == ["finished"] * 2


def test_a_norm_may_say_what_is_impossible(normbench: Command, tmp_path: Path) -> None:
    """A sweep skips the cell with the reason that the user's code gives, and trains the others."""
    picky = ("norm._target_=own_norms.Picky", "norm.name=picky", "model.width=8,16", "model.depth=1", "steps=5")
    result = normbench("train", "-m", *picky)
    assert result.code == 0
    assert "sixteen is too many for picky." in result.err
    assert len(rows(tmp_path)) == 1


def test_a_failed_run_names_the_users_line_and_not_torchs(normbench: Command, tmp_path: Path) -> None:
    """What torch raises is laid at the line that called it, in the row and on the terminal."""
    result = normbench("train", "norm._target_=own_norms.Wrong", "norm.name=wrong", *SMALL)
    line = 1 + NORMS.splitlines().index("            x = F.layer_norm(x, (7,))")
    place = f"({tmp_path}/own_norms.py, line {line})"
    assert result.code == 1
    (row,) = rows(tmp_path)
    assert row["status"] == "failed"
    assert row["error"].startswith("RuntimeError: Given normalized_shape=[7]")
    assert row["error"].endswith(place)
    assert place in result.err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fails", "data._target_=own_data.fails: KeyError: 'count' ({}/own_data.py, line 16)"),
        ("no_data", "data set 'mine': got Tensor, expected a Dataset, Pictures or Fields of normbench.data."),
    ],
)
def test_a_loader_that_does_not_work(name: str, message: str, normbench: Command, tmp_path: Path) -> None:
    """It is a config error with the user's line, and nothing starts."""
    result = normbench("train", f"data._target_=own_data.{name}", "data.name=mine")
    assert (result.code, result.err.strip()) == (2, f"normbench: {message.format(tmp_path)}")
    assert not (tmp_path / "results").exists()
