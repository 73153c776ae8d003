"""The three evaluations against slow oracles: plain loops, and models whose statistics are set by hand."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from problems import problem
from torch import Tensor, nn

from normbench.config.sweep import expand
from normbench.data import load
from normbench.norms import BatchNorm
from normbench.norms.factory import norm_layers
from normbench.randomness import generator
from normbench.training.evaluate import POOLING_CHUNK, Evaluator, chunk_size, chunks
from normbench.training.outcome import Score
from normbench.training.setup import Setup, set_up

from .trained import state_of, trained

ARMS = ["mlp-batch", "resnet-batch", "mlp-batch-ghost", "plain-batch-cumulative", "mlp-batch-colour"]
FREE = ["mlp-layer", "mlp-none", "resnet-group", "plain-instance"]


@pytest.fixture(scope="module", params=ARMS)
def with_statistics(request: pytest.FixtureRequest) -> Setup:
    """Return a model with running statistics after some steps."""
    return trained(problem(request.param, steps=8))[0]


def close(score: Score) -> Any:
    """Return a score that equals another within the rounding of float32 sums."""
    loss: Any = pytest.approx(score.loss, rel=1e-5)
    accuracy: Any = pytest.approx(score.metrics["accuracy"])
    return Score(loss, {"accuracy": accuracy})


def looped(model: nn.Module, setup: Setup, parts: list[list[int]], *, shifted: bool = False) -> Score:
    """Score samples one list after the other, each list by one forward, and average over samples."""
    fetch = setup.dataset.fetch_test if shifted else setup.dataset.fetch
    losses, right = [], []
    with torch.no_grad():
        for part in parts:
            index = torch.tensor(part)
            logits = model(fetch(index)["images"])
            labels = setup.dataset.strata[index]
            losses += F.cross_entropy(logits, labels, reduction="none").tolist()
            right += (logits.argmax(dim=1) == labels).tolist()
    return Score(sum(losses) / len(losses), {"accuracy": sum(right) / len(right)})


def in_chunks(index: Tensor, size: int, stream: str) -> list[list[int]]:
    """Shuffle by the run's stream and cut; what is left over joins the last chunk."""
    order = index[torch.randperm(len(index), generator=generator(0, "evaluation", stream))].tolist()
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    if len(parts) > 1 and len(parts[-1]) < size:
        parts[-2:] = [parts[-2] + parts[-1]]
    return parts


def in_whole_batches(model: nn.Module) -> nn.Module:
    """Return a copy in training mode whose norms take every batch as one."""
    model = copy.deepcopy(model).train()
    for layer in norm_layers(model).values():
        if isinstance(layer, BatchNorm):
            layer.norm_batch_size = None
    return model


def by_own_batches(setup: Setup, index: Tensor, *, shifted: bool = False) -> Score:
    """Score chunks of the norm batch in training mode, one after the other."""
    size = setup.run.norm_batch_size or setup.run.batch_size
    return looped(in_whole_batches(setup.model), setup, in_chunks(index, size, "batch"), shifted=shifted)


def pooled(setup: Setup) -> nn.Module:
    """Return the model in evaluation mode with the moments of all that its norms saw in a pass over the training set.

    The pass is in training mode, so that each chunk is normalised by its own statistics.
    """
    model = in_whole_batches(setup.model)
    layers = {name: layer for name, layer in norm_layers(model).items() if isinstance(layer, BatchNorm)}
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}
    for name, layer in layers.items():
        layer.register_forward_hook(lambda _, args, __, name=name: seen[name].append(args[0].detach().double()))
    looped(model, setup, in_chunks(setup.parts.train, POOLING_CHUNK, "pooling"))
    for name, layer in layers.items():
        values = torch.cat(seen[name]).transpose(0, 1).flatten(1)
        assert layer.running_mean is not None and layer.running_var is not None
        layer.running_mean.copy_(values.mean(dim=1))
        layer.running_var.copy_(values.var(dim=1, correction=1))
    return model.eval()


def test_running_scores_match_a_loop(with_statistics: Setup) -> None:
    """The score that one would deploy is that of the model in evaluation mode, sample by sample."""
    setup = with_statistics
    expected = looped(copy.deepcopy(setup.model).eval(), setup, [[row] for row in setup.parts.test.tolist()])
    assert setup.evaluator.evaluate(setup.model, setup.parts.test)[0] == close(expected)
    assert setup.evaluator.test_scores(setup.model)[0]["running"] == close(expected)


def test_batch_scores_match_a_loop(with_statistics: Setup) -> None:
    """Many chunks in one pass score as each chunk by itself in training mode."""
    setup = with_statistics
    assert setup.evaluator.test_scores(setup.model)[0]["batch"] == close(by_own_batches(setup, setup.parts.test))


def test_precise_scores_match_moments_of_everything_seen(with_statistics: Setup) -> None:
    """Precise statistics are the moments over all values of a pass over the training set, chunk means included."""
    setup = with_statistics
    expected = looped(pooled(setup), setup, [setup.parts.test.tolist()])
    assert setup.evaluator.test_scores(setup.model)[0]["precise"] == close(expected)


def test_the_three_scores_differ(with_statistics: Setup) -> None:
    """The oracles could tell the evaluations apart."""
    assert len({score.loss for score in with_statistics.evaluator.test_scores(with_statistics.model)[0].values()}) == 3


def test_pooled_statistics_of_the_first_norm_are_the_populations() -> None:
    """What goes into an MLP's first norm depends on no statistics: its pooled ones are the training set's own."""
    setup, _ = trained(problem("mlp-batch", steps=8))
    setup.evaluator.pool_statistics(setup.model.eval())
    weight = setup.model.get_parameter("layers.0.layer.weight").detach().double()
    inputs = setup.dataset.fetch(setup.parts.train)["images"].flatten(1).double() @ weight.T
    torch.testing.assert_close(
        setup.model.get_buffer("layers.0.norm.running_mean").double(), inputs.mean(dim=0), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(
        setup.model.get_buffer("layers.0.norm.running_var").double(), inputs.var(dim=0), rtol=1e-5, atol=1e-6
    )


def test_the_training_set_is_pooled_in_more_than_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 100 samples join to the same statistics of the first norm, the ragged end among them."""
    setup, _ = trained(problem("mlp-batch", steps=8))
    setup.evaluator.pool_statistics(setup.model.eval())
    once = state_of(setup)
    monkeypatch.setattr("normbench.training.evaluate.POOLING_CHUNK", 100)
    setup.evaluator.pool_statistics(setup.model)
    chunked = state_of(setup)
    first = ["layers.0.norm.running_mean", "layers.0.norm.running_var"]
    for name in first:
        torch.testing.assert_close(chunked[name], once[name], rtol=1e-5, atol=1e-6)
    assert not torch.equal(chunked["layers.1.norm.running_mean"], once["layers.1.norm.running_mean"])


@pytest.mark.parametrize(
    "name", [*ARMS, *FREE, "mlp-batch-untracked", "mlp-batch-dropout", "resnet-batch-untracked", "mlp-layer-dropout"]
)
def test_evaluation_leaves_no_trace(name: str) -> None:
    """Weights, buffers, mode, what norms read and the global random state are as before, bit for bit."""
    setup, _ = trained(problem(name))
    buffers = {key: buffer.clone() for key, buffer in setup.model.named_buffers()}
    state, random = state_of(setup), torch.get_rng_state()
    first = setup.evaluator.test_scores(setup.model)[0]
    setup.evaluator.evaluate(setup.model, setup.parts.val)
    torch.testing.assert_close(setup.model.state_dict(), state, rtol=0, atol=0)
    torch.testing.assert_close(dict(setup.model.named_buffers()), buffers, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training for module in setup.model.modules())
    assert all(getattr(layer, "statistics", None) is None for layer in norm_layers(setup.model).values())
    assert setup.evaluator.test_scores(setup.model)[0] == first


def test_buffers_come_back_where_the_evaluation_fails() -> None:
    """An error between pooling and scoring leaves the running statistics as they were."""
    setup, _ = trained(problem("mlp-batch"))
    state = state_of(setup)
    test = setup.parts.test
    broken = Evaluator(setup.task, _FailingAfterPooling(setup), setup.parts, (0,), 16)  # type: ignore[arg-type]  # a stand-in
    with pytest.raises(ZeroDivisionError):
        broken.test_scores(setup.model)
    torch.testing.assert_close(setup.model.state_dict(), state, rtol=0, atol=0)
    assert torch.equal(setup.parts.test, test)


class _FailingAfterPooling:
    """A data set that fails at the first test batch after one of the training part."""

    def __init__(self, setup: Setup) -> None:
        self.dataset = setup.dataset
        self.values = setup.dataset.values
        self.train = len(setup.parts.train)
        self.pooled = False

    def fetch(self, index: Tensor) -> dict[str, Tensor]:
        if self.pooled:
            raise ZeroDivisionError
        self.pooled = len(index) == self.train
        return self.dataset.fetch(index)

    fetch_test = fetch


@pytest.mark.parametrize("name", FREE)
def test_norms_without_statistics_score_three_times_the_same(name: str) -> None:
    """Where no norm keeps statistics the three evaluations are one, and it is the plain one."""
    setup, _ = trained(problem(name))
    scores = setup.evaluator.test_scores(setup.model)[0]
    expected = looped(copy.deepcopy(setup.model).eval(), setup, [[row] for row in setup.parts.test.tolist()])
    assert scores == {"running": scores["running"], "precise": scores["running"], "batch": scores["running"]}
    assert scores["running"] == close(expected)


@pytest.mark.parametrize("name", ["mlp-batch-untracked", "resnet-batch-untracked"])
def test_batch_norm_without_running_statistics_uses_its_own_batches(name: str) -> None:
    """Untracked batch norm is judged on chunks of the training norm batch, and all three scores are that one."""
    setup, _ = trained(problem(name))
    expected = close(by_own_batches(setup, setup.parts.test))
    assert setup.evaluator.test_scores(setup.model)[0] == {"running": expected, "precise": expected, "batch": expected}
    assert setup.evaluator.evaluate(setup.model, setup.parts.val)[0] == close(by_own_batches(setup, setup.parts.val))


def test_evaluation_uses_no_dropout() -> None:
    """Scores are those of the model without its masks."""
    setup, _ = trained(problem("mlp-layer-dropout"))
    expected = looped(copy.deepcopy(setup.model).eval(), setup, [setup.parts.test.tolist()])
    assert setup.evaluator.evaluate(setup.model, setup.parts.test)[0] == close(expected)
    masked = looped(setup.model, setup, [setup.parts.test.tolist()[:16]])
    assert masked != close(looped(copy.deepcopy(setup.model).eval(), setup, [setup.parts.test.tolist()[:16]]))


def test_label_noise_reaches_training_only() -> None:
    """Noisy labels are trained on, and validation and test are judged by the true ones."""
    setup, _ = trained(problem("mlp-batch-label_noise"))
    parts = setup.parts
    for part in (parts.val, parts.test):
        assert torch.equal(parts.fields["labels"][part], setup.dataset.strata[part])
    wrong = parts.fields["labels"][parts.train] != setup.dataset.strata[parts.train]
    assert float(wrong.double().mean()) == pytest.approx(0.3, abs=1e-3)


@pytest.mark.parametrize("name", ["mlp-batch-less_contrast", "mlp-batch-noisy_test", "resnet-batch-noisy_test"])
def test_a_shift_changes_the_test_images_alone(name: str) -> None:
    """Training, validation and the statistics of running and precise scores are those without a shift."""
    plain, plain_outcome = trained(problem(name.rsplit("-", 1)[0], steps=8))
    setup, outcome = trained(problem(name, steps=8))
    assert outcome.curve == plain_outcome.curve
    torch.testing.assert_close(setup.model.state_dict(), state_of(plain), rtol=0, atol=0)
    rows = setup.parts.test.tolist()
    assert outcome.test == {
        "running": close(looped(copy.deepcopy(setup.model).eval(), setup, [rows], shifted=True)),
        "precise": close(looped(pooled(plain), setup, [rows], shifted=True)),
        "batch": close(by_own_batches(setup, setup.parts.test, shifted=True)),
    }
    # By a batch's own statistics a first norm takes less contrast out again.
    assert all(outcome.test[key] != close(plain_outcome.test[key]) for key in ("running", "precise"))


def test_a_shift_reaches_norms_without_statistics() -> None:
    """They too are tested on the shifted images, once for all three scores."""
    setup, outcome = trained(problem("mlp-layer-noisy_test"))
    expected = close(looped(copy.deepcopy(setup.model).eval(), setup, [setup.parts.test.tolist()], shifted=True))
    assert outcome.test == {"running": expected, "precise": expected, "batch": expected}
    assert outcome.test["running"] != close(looped(setup.model, setup, [setup.parts.test.tolist()]))


@pytest.mark.parametrize("passes", [1, 16, 40, 1024], ids=lambda size: f"{size} at once")
def test_ghost_chunks_equal_single_chunks(monkeypatch: pytest.MonkeyPatch, passes: int) -> None:
    """How many chunks one forward takes changes no score."""
    setup, _ = trained(problem("resnet-batch", steps=8))
    monkeypatch.setattr("normbench.training.evaluate.chunk_size", lambda _: passes)
    assert setup.evaluator.test_scores(setup.model)[0]["batch"] == close(by_own_batches(setup, setup.parts.test))


@pytest.mark.parametrize("size", [200, 359, 400, 5000])
def test_a_part_smaller_than_two_norm_batches_is_one_chunk(size: int) -> None:
    """A test part of 359 samples is scored as one batch where no second whole chunk fits."""
    setup, _ = trained(problem("mlp-batch"))
    evaluator = Evaluator(setup.task, setup.dataset, setup.parts, (0,), size)
    expected = looped(in_whole_batches(setup.model), setup, [setup.parts.test.tolist()])
    assert len(setup.parts.test) == 359
    assert evaluator.test_scores(setup.model)[0]["batch"] == close(expected)


def test_seeds_share_no_chunks() -> None:
    """Which test samples share a chunk is the seed's choice, so that chunks are an average over seeds too."""
    setup, _ = trained(problem("mlp-batch", steps=8))
    scores = {
        Evaluator(setup.task, setup.dataset, setup.parts, (seed,), 16).test_scores(setup.model)[0]["batch"].loss
        for seed in range(3)
    }
    assert len(scores) == 3


CUTS = {
    "even": (6, 3, [3, 3]),
    "remainder joins the last": (8, 3, [3, 5]),
    "smaller than one": (2, 3, [2]),
    "one and a bit": (5, 3, [5]),
    "ones": (3, 1, [1, 1, 1]),
}


@pytest.mark.parametrize(("count", "size", "expected"), CUTS.values(), ids=CUTS)
def test_chunks(count: int, size: int, expected: list[int]) -> None:
    """Chunks cover every index in order, and none is smaller than asked unless there are too few for one."""
    cut = chunks(torch.arange(count), size)
    assert [len(chunk) for chunk in cut] == expected
    assert torch.equal(torch.cat(cut), torch.arange(count))


class _Shaped:
    def __init__(self, *shape: int) -> None:
        self.values = math.prod(shape)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1, 8, 8), 1024), ((3, 64, 64), 1024), ((3, 128, 128), 256), ((3, 8192, 8192), 1)],
    ids=str,
)
def test_large_images_are_evaluated_in_smaller_chunks(shape: tuple[int, int, int], expected: int) -> None:
    """Memory is bounded by the values of a chunk, and a single image always fits."""
    assert chunk_size(_Shaped(*shape)) == expected  # type: ignore[arg-type]  # a stand-in


def test_running_statistics_that_never_update_are_told_from_a_bad_model() -> None:
    """A batch norm of momentum 0 fails by its running statistics and by the other two is as good as a healthy one."""
    run = problem("resnet-batch", steps=None, epochs=2)
    broken = replace(run, norm=replace(run.norm, args={**run.norm.args, "momentum": 0.0}))
    healthy_scores, broken_scores = trained(run)[1].test, trained(broken)[1].test
    assert healthy_scores["running"].metrics["accuracy"] > 0.8
    assert broken_scores["running"].metrics["accuracy"] < 0.5
    for key in ("precise", "batch"):
        assert healthy_scores[key].metrics["accuracy"] > 0.8
        assert broken_scores[key] == healthy_scores[key]


@pytest.mark.parametrize(("norm", "most"), [("layer", 8), ("batch", 15)])
def test_large_outputs_are_made_for_few_samples_at_once(norm: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text has a number per step and token; the last samples to pool may be a remainder more."""
    text = ["task=language_model", "data.length=16", "data.limit=64", "model.width=8", "batch_size=4", "steps=1"]
    (run,) = expand([*text, f"norm={norm}"]).runs
    setup = set_up(run, load(run.data.name, run.data.args), torch.device("cpu"))
    whole = setup.evaluator.test_scores(setup.model)[0]
    sizes: list[int] = []
    setup.model.register_forward_hook(lambda _, args, __: sizes.append(len(args[0])))
    outputs = setup.task.blank_outputs(1).numel()
    monkeypatch.setattr("normbench.training.evaluate._CHUNK_VALUES", 8 * outputs)
    parts = setup.evaluator.test_scores(setup.model)[0]
    assert max(sizes) <= most
    for statistics, score in parts.items():
        assert score.loss == pytest.approx(whole[statistics].loss, rel=0.01 if statistics == "precise" else 1e-5)
