"""Tests of weights from a file."""

import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.models.replacement import replace_norms
from normbench.models.weights import load_weights
from normbench.norms import CHOICES, NormFactory


def net(norm: str = "batch", classes: int = 3) -> nn.Module:
    """Return a small net of somebody's, with the run's norm in it."""
    layers = OrderedDict(conv=nn.Conv2d(1, 4, 3), bn=nn.BatchNorm2d(4), flat=nn.Flatten(), head=nn.Linear(4, classes))
    return replace_norms(nn.Sequential(layers), NormFactory(CHOICES[norm]), name="made up")


def trained(classes: int = 3) -> dict[str, Tensor]:
    """Return the state of the untouched net after some training."""
    state = net("keep", classes).state_dict()
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(value.shape, generator=generator) if value.is_floating_point() else torch.tensor(7)
        for name, value in state.items()
    }


def kept(state: Any, path: Path) -> str:
    torch.save(state, path)
    return str(path)


WRAPPED = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "model": lambda state: {"model": state, "optimizer": {}},
    "parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_a_state_dict_of_the_untouched_model_fits(wrap: Any, tmp_path: Path) -> None:
    """The statistics of the norms come with it, and back out under the same names."""
    model, state = net(), trained()
    assert load_weights(model, kept(wrap(state), tmp_path / "weights.pt"), 3) == ((), True)
    torch.testing.assert_close(dict(model.state_dict()), state, rtol=0, atol=0)


def test_safetensors_fit_too(tmp_path: Path) -> None:
    """The format of published weights."""
    model, state, file = net(), trained(), str(tmp_path / "weights.safetensors")
    save_file(state, file)
    assert load_weights(model, file, 3) == ((), True)
    torch.testing.assert_close(dict(model.state_dict()), state, rtol=0, atol=0)


def test_statistics_that_a_norm_has_not_are_left_out(tmp_path: Path) -> None:
    """Group norm takes scale and shift of a batch norm, and says what it leaves."""
    model, state = net("group"), trained()
    notes, statistics = load_weights(model, kept(state, tmp_path / "weights.pt"), 3)
    assert notes == (
        "model.weights: bn.running_mean, bn.running_var, bn.num_batches_tracked "
        "(of norms, unknown to the model's norms: "
        "left out).",
    )
    assert not statistics
    assert torch.equal(model.state_dict()["bn.weight"], state["bn.weight"])


def test_statistics_that_a_file_lacks_stay_as_constructed(tmp_path: Path) -> None:
    """Batch norm from the weights of a group norm."""
    state = {name: value for name, value in trained().items() if "running" not in name and "tracked" not in name}
    model = net("batch")
    notes, statistics = load_weights(model, kept(state, tmp_path / "weights.pt"), 3)
    assert [note.partition(" (")[2] for note in notes] == ["of norms, missing in the file: as constructed)."]
    assert not statistics
    assert torch.equal(model.state_dict()["bn.running_var"], torch.ones(4))


def test_a_head_for_other_classes_stays_fresh(tmp_path: Path) -> None:
    """Fine-tuning takes all but the head, and says so."""
    model, state = net("batch", classes=5), trained(classes=3)
    fresh = model.state_dict()["head.weight"].clone()
    notes, _ = load_weights(model, kept(state, tmp_path / "weights.pt"), 5)
    assert notes == ("model.weights: head.weight, head.bias (for another number of classes: newly initialised).",)
    assert torch.equal(model.state_dict()["head.weight"], fresh)
    assert torch.equal(model.state_dict()["conv.weight"], state["conv.weight"])


UNFIT = {
    "missing": ({"conv.bias": None}, "Missing: conv.bias."),
    "unknown": ({"fc.weight": torch.zeros(2)}, "Unknown: fc.weight."),
    "shape": (
        {"conv.weight": torch.zeros(4, 3, 3, 3)},
        "Of another shape: conv.weight (4, 3, 3, 3), expected (4, 1, 3, 3).",
    ),
    "wider head": ({"head.weight": torch.zeros(3, 9)}, "Of another shape: head.weight (3, 9), expected (3, 4)."),
    "norm": ({"bn.weight": torch.zeros(9)}, "Of another shape: bn.weight (9,), expected (4,)."),
}


@pytest.mark.parametrize(("change", "message"), UNFIT.values(), ids=UNFIT)
def test_weights_that_do_not_fit_are_refused_by_name(
    change: dict[str, Tensor | None], message: str, tmp_path: Path
) -> None:
    """Nothing is loaded in part."""
    state = {name: value for name, value in {**trained(), **change}.items() if value is not None}
    with pytest.raises(ImpossibleRunError, match=re.escape(f"does not fit the model. {message}") + "$"):
        load_weights(net(), kept(state, tmp_path / "weights.pt"), 3)


class Innocent:
    """What a plain pickle may hold."""


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    """Absent, damaged, of other classes, of other things: each in a line with the path."""
    with pytest.raises(ConfigError, match=r"model\.weights=\S+absent\.pt: no such file"):
        load_weights(net(), str(tmp_path / "absent.pt"), 3)
    for name in ("damaged.pt", "damaged.safetensors"):
        (tmp_path / name).write_bytes(b"no weights")
        with pytest.raises(ConfigError, match=rf"{name} cannot be read \(\w+\): expected a state dict"):
            load_weights(net(), str(tmp_path / name), 3)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_weights(net(), kept({"net": Innocent()}, tmp_path / "object.pt"), 3)
    with pytest.raises(ConfigError, match="has no state dict"):
        load_weights(net(), kept({"epoch": 3}, tmp_path / "numbers.pt"), 3)
