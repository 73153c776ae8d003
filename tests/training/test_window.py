import math

import pytest
import torch

from normbench.data import load
from normbench.tasks import Classification
from normbench.training.window import FLUSH_EVERY, Window

TASK = Classification(load("digits", {}))


def fill(window: Window, losses: list[float], *, right: int = 1) -> None:
    """Add steps of two samples with the given losses, `right` of the two classified rightly."""
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([0, 1 if right == 2 else 0])
    for loss in losses:
        window.add(torch.tensor(loss), logits, {"labels": labels})


def test_take_returns_the_means() -> None:
    """Loss is the mean over steps and accuracy over samples, over all looks since the last take."""
    window = Window(TASK)
    fill(window, [1.0, 2.0])
    assert window.look() is None
    fill(window, [6.0], right=2)
    assert window.look() is None
    score = window.take()
    assert score.loss == pytest.approx(3.0)
    assert score.metrics["accuracy"] == pytest.approx(4 / 6)


def test_take_begins_anew() -> None:
    """What an evaluation has reported is not reported again."""
    window = Window(TASK)
    fill(window, [100.0])
    window.look()
    window.take()
    fill(window, [2.0], right=2)
    window.look()
    assert (window.take().loss, window.look()) == (2.0, None)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("position", [0, 3, 6], ids=["first", "middle", "last"])
def test_a_loss_that_is_not_finite_is_found_at_its_step(bad: float, position: int) -> None:
    """The step is counted over the whole run, through looks and takes, wherever it is among those kept."""
    window = Window(TASK)
    fill(window, [1.0] * 5)
    assert window.look() is None
    fill(window, [1.0] * 2)
    assert window.look() is None
    window.take()
    losses = [1.0] * 7
    losses[position:] = [bad] * (7 - position)
    fill(window, losses)
    assert window.look() == 5 + 2 + position + 1


def test_the_first_bad_step_counts() -> None:
    """A loss that becomes finite again does not hide the one that was not."""
    window = Window(TASK)
    fill(window, [1.0, math.nan, 1.0, math.inf])
    assert window.look() == 2


def test_full_after_a_number_of_steps() -> None:
    """It is time to look after `FLUSH_EVERY` steps, and again as many later."""
    window = Window(TASK)
    fill(window, [1.0] * (FLUSH_EVERY - 1))
    assert not window.full
    fill(window, [1.0])
    assert window.full
    window.look()
    assert not window.full


def test_the_graph_is_not_kept() -> None:
    """Kept losses and logits hold on to no gradient graph, which would hold on to the activations."""
    window = Window(TASK)
    weight = torch.ones(2, requires_grad=True)
    logits = torch.eye(2) * weight
    window.add(logits.sum(), logits, {"labels": torch.tensor([0, 1])})
    assert not any(kept.requires_grad for kept in (*window._losses, *window._outputs))
