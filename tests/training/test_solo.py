"""The reference loop against plain PyTorch written anew, and what a run promises: its steps, its bits, its end."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from problems import CPU, PROBLEMS, dataset_of, images_of, problem
from torch import Tensor, nn

from normbench.metrics import METRICS
from normbench.norms.factory import norm_layers
from normbench.randomness import generator
from normbench.spec import Run
from normbench.training.around_norms import around_norms
from normbench.training.build import build
from normbench.training.outcome import Evaluation, Outcome
from normbench.training.setup import Setup, split_of
from normbench.training.solo import train

from .trained import Keeper, state_of, trained

NORMS: Mapping[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "group": lambda width: nn.GroupNorm(4, width),
    "none": lambda width: nn.Identity(),
}


def plain_mlp(run: Run) -> nn.Module:
    """Return the run's MLP out of torch's own layers, with the initial weights that the run has."""
    norm = NORMS[run.norm.name]
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 16, bias=run.norm.name != "batch"),
        norm(16),
        nn.ReLU(),
        nn.Linear(16, 16, bias=run.norm.name != "batch"),
        norm(16),
        nn.ReLU(),
        nn.Linear(16, 10),
    )
    ours = list(build(run, (1, 8, 8), 10).parameters())
    for theirs, mine in zip(model.parameters(), ours, strict=True):
        theirs.data.copy_(mine.data)
    return model


def plain_loop(run: Run) -> tuple[list[float], list[float]]:
    """Return the training and validation loss of each step of a run, by torch's own layers and optimizers."""
    assert run.steps is not None
    dataset, parts = images_of(run), split_of(run, dataset_of(run))
    images = dataset.batch(torch.arange(len(dataset.images)))
    model = plain_mlp(run).to(images.dtype)
    args = run.optimizer.args
    optimizer: torch.optim.Optimizer
    if run.optimizer.name == "sgd":
        optimizer = torch.optim.SGD(
            model.parameters(),
            lr=run.lr,
            momentum=run.optimizer.number("momentum"),
            weight_decay=run.optimizer.number("weight_decay"),
            nesterov=bool(args["nesterov"]),
        )
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=run.lr, weight_decay=run.optimizer.number("weight_decay"))
    schedule: torch.optim.lr_scheduler.LRScheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    if run.schedule.name == "cosine":
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=run.steps)
    train_losses: list[float] = []
    val_losses: list[float] = []
    epoch = 0
    while len(train_losses) < run.steps:
        order = parts.train[torch.randperm(len(parts.train), generator=generator(run.seed, "order", epoch))]
        epoch += 1
        for start in range(0, len(order) - run.batch_size + 1, run.batch_size):
            if len(train_losses) == run.steps:
                break
            batch = order[start : start + run.batch_size]
            optimizer.zero_grad()
            loss = F.cross_entropy(model.train()(images[batch]), parts.fields["labels"][batch])
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            if args["clip_norm"] is not None:
                nn.utils.clip_grad_norm_(model.parameters(), run.optimizer.number("clip_norm"))
            optimizer.step()
            schedule.step()
            train_losses.append(loss.item())
            with torch.no_grad():
                val_losses.append(
                    float(F.cross_entropy(model.eval()(images[parts.val]), parts.fields["labels"][parts.val]))
                )
    return train_losses, val_losses


PLAIN = {
    "batch sgd": ("mlp-batch", {}),
    "layer sgd": ("mlp-layer", {}),
    "group nesterov decay": ("mlp-group", {"optimizer": "mlp-batch-nesterov"}),
    "none clipped": ("mlp-none", {"optimizer": "mlp-batch-clipped"}),
    "batch adamw": ("mlp-batch-adamw", {}),
    "batch label noise": ("mlp-batch-label_noise", {}),
    "batch large batch": ("mlp-batch", {"batch_size": 300}),
}


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("cosine", [False, True], ids=["constant", "cosine"])
@pytest.mark.parametrize(("name", "changes"), PLAIN.values(), ids=PLAIN)
def test_a_run_is_a_plain_loop_of_torch(name: str, changes: Mapping[str, str | int], cosine: bool) -> None:
    """Thirty steps have the losses of torch's own layers, optimizer and schedule on the same batches."""
    run = problem(name, steps=30, eval_every=1)
    if isinstance(size := changes.get("batch_size"), int):
        run = replace(run, batch_size=size)
    if isinstance(other := changes.get("optimizer"), str):
        run = replace(run, optimizer=problem(other).optimizer)
    if cosine:
        own = problem("mlp-batch-cosine_warmup").schedule
        run = replace(run, schedule=replace(own, args={**own.args, "warmup_steps": 0}))
    train_losses, val_losses = plain_loop(run)
    _, outcome = trained(run)
    assert [point.train.loss for point in outcome.curve] == pytest.approx(train_losses, rel=1e-9)
    assert [point.val.loss for point in outcome.curve] == pytest.approx(val_losses, rel=1e-9)


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_trains_and_is_evaluated(name: str) -> None:
    """Three steps move the weights, and every score is a number that its part of the data allows."""
    run = problem(name)
    setup, outcome = trained(run)
    start = build(run, setup.task.input_shape, setup.task.num_outputs).state_dict()
    assert outcome.status == "finished"
    assert [point.step for point in outcome.curve] == [3]
    assert set(outcome.test) == {"running", "precise", "batch"}
    scores = [*outcome.test.values(), outcome.curve[0].train, outcome.curve[0].val]
    assert all(math.isfinite(score.loss) and score.loss > 0 for score in scores)
    for score in scores:
        for name, value in score.metrics.items():
            low, high = METRICS[name].low, METRICS[name].high
            assert (low is None or low <= value) and (high is None or value <= high)
    assert outcome.num_params == sum(param.numel() for param in setup.params.values())
    assert outcome.num_classes == (setup.task.num_classes or None)
    assert not torch.equal(setup.model.get_parameter("head.weight"), start["head.weight"])
    assert outcome.norm_layers.count(" x") == len({repr(layer) for layer in norm_layers(setup.model).values()})


REPEATED = ["mlp-batch", "mlp-batch-dropout", "resnet-batch-crop_flip", "mlp-batch-ghost", "mlp-batch-label_noise"]


@pytest.mark.parametrize("name", REPEATED)
def test_one_seed_is_one_result(name: str) -> None:
    """The same run twice is the same bits, whatever the global random state, which it leaves alone."""
    run = problem(name, steps=6, eval_every=2)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, outcome = trained(run)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second, again = trained(run)
    assert again == outcome
    torch.testing.assert_close(state_of(first), state_of(second), rtol=0, atol=0)


@pytest.mark.parametrize("name", REPEATED)
def test_another_seed_is_another_result(name: str) -> None:
    """Seeds differ."""
    assert trained(problem(name, seed=1))[1].curve != trained(problem(name))[1].curve


def test_evaluating_more_often_changes_nothing() -> None:
    """Weights and test scores are the same bits whether a run is evaluated once or after every step."""
    often, outcome = trained(problem("resnet-batch-dropout", steps=6, eval_every=1))
    once, single = trained(problem("resnet-batch-dropout", steps=6, eval_every=6))
    torch.testing.assert_close(state_of(often), state_of(once), rtol=0, atol=0)
    assert outcome.test == single.test
    assert single.curve[0].train.loss == pytest.approx(sum(point.train.loss for point in outcome.curve) / 6)


class Prober:
    """An observer that takes the activations at every evaluation, as the TensorBoard log does."""

    def started(self, setup: Setup) -> None:
        """Keep the model and its examples."""
        self.setup = setup
        self.seen = 0

    def evaluated(self, evaluation: Evaluation, grads: Mapping[str, Tensor]) -> None:
        """Look into the norms."""
        self.seen += len(around_norms(self.setup.model, [self.setup.dataset.fetch(self.setup.parts.val)["images"]]))

    def ended(self, outcome: Outcome) -> None:
        """Look once more."""
        self.seen += len(around_norms(self.setup.model, [self.setup.dataset.fetch(self.setup.parts.val)["images"]]))


@pytest.mark.parametrize("name", ["mlp-batch-dropout", "resnet-batch-crop_flip", "mlp-batch-ghost", "resnet-instance"])
def test_observers_change_nothing(name: str) -> None:
    """A probed run is bit for bit the run without: weights, running statistics, curves and test scores."""
    run = problem(name, steps=6, eval_every=2)
    prober = Prober()
    probed, outcome = trained(run, prober)
    alone, plain = trained(run)
    assert prober.seen == 4 * len(norm_layers(alone.model))
    assert outcome == plain
    torch.testing.assert_close(state_of(probed), state_of(alone), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["mlp-batch", "mlp-batch-clipped"])
def test_observers_see_the_gradients_of_the_last_step(name: str) -> None:
    """Each evaluation comes with the loss gradients of the step before it, unclipped, under the parameters' names."""
    run = problem(name, steps=1)
    keeper = Keeper()
    outcome = train(run, dataset_of(run), device=CPU, observers=[keeper])
    assert (tuple(keeper.evaluations), keeper.outcome) == (outcome.curve, outcome)
    model = build(run, (1, 8, 8), 10).train()
    order = torch.randperm(len(keeper.setup.parts.train), generator=generator(0, "order", 0))
    batch = keeper.setup.parts.train[order[:16]]
    F.cross_entropy(model(images_of(run).batch(batch)), images_of(run).labels[batch]).backward()  # type: ignore[no-untyped-call]  # torch's own
    expected = {key: param.grad for key, param in model.named_parameters()}
    torch.testing.assert_close(keeper.grads[0], expected)


CURVES = {
    "each epoch": ({"steps": None, "epochs": 2, "batch_size": 300}, [4, 8], [1.0, 2.0]),
    "every third step": ({"steps": 8, "eval_every": 3, "batch_size": 300}, [3, 6, 8], [0.75, 1.5, 2.0]),
    "only at the end": ({"steps": 2, "batch_size": 300}, [2], [0.5]),
}


@pytest.mark.parametrize(("changes", "steps", "epochs"), CURVES.values(), ids=CURVES)
def test_curves_have_the_steps_asked_for(
    changes: Mapping[str, int | None], steps: list[int], epochs: list[float]
) -> None:
    """A run is evaluated on its grid and after its last step, and counts epochs in steps of its own."""
    curve = trained(problem("mlp-batch", **changes))[1].curve
    assert [point.step for point in curve] == steps
    assert [point.epoch for point in curve] == epochs


def test_curves_have_the_rate_of_their_step() -> None:
    """The rate of a point is the one that the step before it took."""
    curve = trained(problem("mlp-batch-cosine_warmup", steps=4, eval_every=1))[1].curve
    assert [point.lr for point in curve] == pytest.approx([0.025, 0.05, 0.05, 0.025])


@pytest.mark.parametrize("target", [0.5, 0.7, 1.0])
def test_steps_to_target_is_the_first_evaluation_there(target: float) -> None:
    """The first evaluated step at the target or above counts; a target never reached counts as none."""
    outcome = trained(problem("mlp-batch", steps=60, eval_every=5, target_accuracy=target))[1]
    reached = [point.step for point in outcome.curve if point.val.metrics["accuracy"] >= target]
    assert outcome.steps_to_target == (reached[0] if reached else None)
    assert bool(reached) == (target < 1)


def test_a_target_reached_exactly_counts() -> None:
    """The target itself is enough."""
    run = problem("mlp-batch", steps=10, eval_every=5)
    first = trained(run)[1].curve[0]
    outcome = trained(replace(run, target_accuracy=first.val.metrics["accuracy"]))[1]
    assert outcome.steps_to_target == 5


def test_no_target_no_steps() -> None:
    """Without a target there is nothing to reach."""
    assert trained(problem("mlp-batch"))[1].steps_to_target is None


DIVERGING = {
    "at once": ("mlp-none", 1e6, 7, 3, []),
    "before an evaluation": ("mlp-layer", 1e3, 7, 5, []),
    "after an evaluation": ("mlp-layer", 1e3, 3, 5, [3]),
    "after a look without an evaluation": ("mlp-none-sgd_plain", 1e3, 100, 70, []),
}


@pytest.mark.parametrize(("name", "lr", "eval_every", "expected", "points"), DIVERGING.values(), ids=DIVERGING)
def test_divergence_ends_a_run_at_its_step(
    name: str, lr: float, eval_every: int, expected: int, points: list[int]
) -> None:
    """A rate beyond reason is a result: its first step without a finite loss, the curve until then, and no scores."""
    run = problem(name, steps=100, eval_every=eval_every, lr=lr)
    losses, _ = plain_loop(run)
    assert next(step for step, loss in enumerate(losses, start=1) if not math.isfinite(loss)) == expected
    setup, outcome = trained(run)
    assert (outcome.status, outcome.diverged_at_step, outcome.test) == ("diverged", expected, {})
    assert [point.step for point in outcome.curve] == points
    assert outcome.num_params == sum(param.numel() for param in setup.params.values())


def test_divergence_ends_a_run_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A diverged run takes no more than the steps until the next look at its losses."""
    taken = 0
    real = F.cross_entropy

    def counted(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
        nonlocal taken
        taken += 1
        return real(logits, labels, reduction=reduction)

    monkeypatch.setattr(F, "cross_entropy", counted)
    outcome = trained(problem("mlp-none", steps=1000, eval_every=1000, lr=1e6))[1]
    assert outcome.status == "diverged"
    assert taken == 64


def test_a_loss_that_only_validation_shows_to_be_infinite_is_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that the last step ruined are found by the evaluation after it."""
    run = problem("mlp-none", steps=4, eval_every=2)
    real = Setup.__init__

    def ruined(self: Setup, *args: object, **kwargs: object) -> None:
        real(self, *args, **kwargs)  # type: ignore[arg-type]  # passed through
        self.rates[1] = math.inf

    monkeypatch.setattr(Setup, "__init__", ruined)
    outcome = trained(run)[1]
    assert (outcome.status, outcome.diverged_at_step, outcome.curve) == ("diverged", 2, ())
