"""What is said of a causal model that sees later steps in training."""

import pytest
import torch

from normbench.config.sweep import expand
from normbench.data import load
from normbench.training.dry_run import dry_run
from normbench.training.leak import leak
from normbench.training.setup import set_up
from normbench.training.solo import train
from normbench.training.stacked import train_stacked

_TEXT = ("task=language_model", "data.length=16", "data.limit=32", "model.width=8", "steps=1")
_PAIRS = ("task=translation", "data.num_samples=80", "model.width=8", "steps=1")

LEAKS = {
    "batch": (*_TEXT, "norm=batch"),
    "pairs": (*_PAIRS, "norm=batch"),
    "inputs of an LSTM": (*_TEXT, "model=rnn", "norm=batch", "model.norm_place=input", "model.norm_time=shared"),
}
TIGHT = {
    "layer": (*_TEXT, "norm=layer"),
    "statistics for each step": (*_TEXT, "norm=batch", "model.norm_time=step"),
    "pairs with layer": (*_PAIRS, "norm=layer"),
    "recurrence": (*_TEXT, "model=rnn", "norm=batch", "model.norm_place=recurrent", "model.norm_time=shared"),
}


def found(overrides: tuple[str, ...]) -> tuple[float | None, tuple[str, ...]]:
    """Return the leak of a model and the notes of its dry run."""
    (run,) = expand(list(overrides)).runs
    data = load(run.data.name, run.data.args)
    setup = set_up(run, data, torch.device("cpu"))
    return leak(setup.model, setup.task), dry_run(run, data).notes


@pytest.mark.parametrize("overrides", LEAKS.values(), ids=LEAKS)
def test_statistics_over_the_steps_leak_and_a_note_says_so(overrides: tuple[str, ...]) -> None:
    """The note names the norm, and what does not leak."""
    change, notes = found(overrides)
    assert change is not None and change > 1e-4
    assert any("norm=batch" in note and "norm_time=step" in note for note in notes)


@pytest.mark.parametrize("overrides", TIGHT.values(), ids=TIGHT)
def test_nothing_leaks_through_other_statistics(overrides: tuple[str, ...]) -> None:
    """Not a bit of an earlier output changes."""
    change, notes = found(overrides)
    assert change == 0.0
    assert not any("later ones" in note for note in notes)


def test_other_tasks_have_no_later_steps() -> None:
    """A class is that of a whole sequence."""
    assert found(("task=sequence_classification", "norm=batch", "steps=1"))[0] is None


def test_a_run_has_the_leak_that_it_has_in_a_stack() -> None:
    """It is that of the initial model, whatever the training made of it."""
    (run,) = expand([*_TEXT[:-1], "norm=batch", "batch_size=8", "steps=3", "lr=0.5"]).runs
    data, cpu = load(run.data.name, run.data.args), torch.device("cpu")
    alone = train(run, data, device=cpu).leak
    (stacked,) = train_stacked([run], data, device=cpu, compiled=False)
    assert alone is not None and alone > 0
    assert stacked.leak == alone
