"""A run that goes on from a checkpoint ends as one that was never cut off."""

from io import BytesIO
from typing import Any

import pytest
import torch
from problems import CPU, dataset_of, problem
from torch import Tensor

from normbench.spec import Run
from normbench.training import solo
from normbench.training.budget import batches, budget
from normbench.training.build import build
from normbench.training.checkpoint import Checkpoint, Saved
from normbench.training.outcome import Outcome
from normbench.training.precision import LossScale
from normbench.training.window import FLUSH_EVERY

from .trained import Keeper, state_of

EVERY = 5


class CutOffError(Exception):
    """Stands for a power cut."""


class Memory:
    """A checkpoint kept as the bytes of a file, which cuts the run off once it was saved often enough."""

    def __init__(self, saves: int | None) -> None:
        self.saves = saves
        self.loaded: list[int] = []
        self.saved: list[int] = []
        self.content: bytes | None = None

    def due(self, step: int) -> bool:
        """Save every few steps; two steps after the last save the run is cut off."""
        if self.saves is not None and len(self.saved) == self.saves and step == self.saved[-1] + 2:
            raise CutOffError
        return step % EVERY == 0

    def load(self) -> Saved | None:
        """Return what a file would hold."""
        if self.content is None:
            return None
        state: Saved = torch.load(BytesIO(self.content), map_location="cpu", weights_only=True)
        self.loaded.append(state["step"])
        return state

    def save(self, state: Saved) -> None:
        """Keep what a file would hold."""
        buffer = BytesIO()
        torch.save(state, buffer)
        self.content = buffer.getvalue()
        self.saved.append(state["step"])


def train(run: Run, checkpoint: Checkpoint | None = None) -> tuple[Keeper, Outcome]:
    keeper = Keeper()
    return keeper, solo.train(run, dataset_of(run), device=CPU, observers=[keeper], checkpoint=checkpoint)


NAMES = [
    "mlp-batch",
    "mlp-batch-adamw",
    "resnet-batch-dropout",
    "resnet-batch-crop_flip",
    "resnet-batch-ghost",
    "mlp-batch-ghost_cumulative",
    "mlp-batch-cosine_warmup",
    "mlp-batch-label_noise",
    "mlp-group-adamw_undecayed",
    "rnn-batch",
    "translation-batch-dropout",
    "fcn-batch",
    "ssd-batch-dropout",
]


@pytest.mark.parametrize("saves", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_ends_as_an_uninterrupted_one(name: str, saves: int) -> None:
    """Curve, test scores, weights and buffers are the same bits; the checkpoint lay between two evaluations."""
    run = problem(name, steps=24, eval_every=7)
    whole, expected = train(run)
    checkpoint = Memory(saves)
    with pytest.raises(CutOffError):
        train(run, checkpoint)
    checkpoint.saves = None
    torch.manual_seed(saves)  # whatever another process would have
    resumed, outcome = train(run, checkpoint)
    assert checkpoint.loaded == [saves * EVERY]
    assert outcome == expected
    torch.testing.assert_close(state_of(resumed.setup), state_of(whole.setup), rtol=0, atol=0)
    assert resumed.evaluations == [point for point in whole.evaluations if point.step > saves * EVERY]


def test_the_loss_scale_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A float16 run that left out steps, and whose scale grew again, ends as one that was never cut off."""
    monkeypatch.setattr("normbench.training.precision._FIRST_SCALE", 2.0**24)
    monkeypatch.setattr("normbench.training.precision._GROWTH_INTERVAL", 4)
    run = problem("mlp-batch-adamw", steps=24, eval_every=7, precision="float16")
    whole, expected = train(run)
    checkpoint = Memory(3)
    with pytest.raises(CutOffError):
        train(run, checkpoint)
    checkpoint.saves = None
    resumed, outcome = train(run, checkpoint)
    assert outcome == expected
    assert resumed.setup.scale == whole.setup.scale
    assert isinstance(whole.setup.scale, LossScale) and int(whole.setup.scale.skipped) > 0
    torch.testing.assert_close(state_of(resumed.setup), state_of(whole.setup), rtol=0, atol=0)


def test_saving_changes_nothing() -> None:
    """A run with checkpoints has the bits of one without, its window looked at where it always is."""
    run = problem("mlp-batch-dropout", steps=FLUSH_EVERY + 20, eval_every=FLUSH_EVERY + 15)
    checkpoint = Memory(None)
    assert train(run, checkpoint)[1] == train(run)[1]
    assert checkpoint.saved == list(range(EVERY, FLUSH_EVERY + 20, EVERY))


@pytest.mark.parametrize("cut", [1, (FLUSH_EVERY + 5) // EVERY], ids=["before a look", "after a look"])
def test_the_window_goes_on_where_it_was(cut: int) -> None:
    """Sums are rounded as if the run had gone on."""
    run = problem("mlp-batch", steps=FLUSH_EVERY * 2 + 3, eval_every=1000)
    checkpoint = Memory(cut)
    with pytest.raises(CutOffError):
        train(run, checkpoint)
    checkpoint.saves = None
    assert train(run, checkpoint)[1] == train(run)[1]


def test_a_run_over_several_epochs_goes_on_in_the_right_one() -> None:
    """The batches left are those at the end of the list, and no earlier one is made."""
    run = problem("mlp-batch", steps=None, epochs=3, batch_size=16)
    indices = torch.arange(70)
    plan = budget(run, len(indices))
    all_of_them = list(batches(indices, run, plan))
    for taken in range(plan.total + 1):
        rest = list(batches(indices, run, plan, taken=taken))
        assert len(rest) == plan.total - taken
        assert all(torch.equal(one, other) for one, other in zip(rest, all_of_them[taken:], strict=True))


def test_a_divergence_is_found_at_the_same_step() -> None:
    """Losses that nobody has looked at yet are part of the state."""
    run = problem("mlp-none", steps=40, eval_every=40, lr=1e30)
    checkpoint = Memory(1)
    with pytest.raises(CutOffError):
        train(run, checkpoint)
    checkpoint.saves = None
    outcome = train(run, checkpoint)[1]
    assert outcome.diverged_at_step is not None and outcome.diverged_at_step <= EVERY
    assert outcome == train(run)[1]


class Noisy(torch.nn.Module):
    """A user's layer that draws from the global state and keeps a buffer outside the state dict."""

    seen: Tensor

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("seen", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Any:
        """Add noise that grows."""
        if self.training:
            self.seen += 1
            x = x + torch.rand_like(x) * self.seen / 10
        return self.inner(x)


def test_global_randomness_and_every_buffer_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user's own layer draws and counts is the same."""
    monkeypatch.setattr("normbench.training.setup.build", lambda *args: Noisy(build(*args)))
    run = problem("mlp-layer", steps=24, eval_every=7)
    checkpoint = Memory(2)
    with pytest.raises(CutOffError):
        train(run, checkpoint)
    checkpoint.saves = None
    assert train(run, checkpoint)[1] == train(run)[1]
