"""Runs in bfloat16 and float16 against float32, against torch's own autocast and loss scaling, alone and together."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from problems import ARMS, CPU, DENSE, PROBLEMS, SEQUENCES, dataset_of, images_of, problem
from torch import Tensor, nn

from normbench.engine.device import find_compiler
from normbench.norms.factory import norm_layers
from normbench.spec import Run
from normbench.training import precision
from normbench.training.budget import batches, budget
from normbench.training.build import build
from normbench.training.precision import LossScale, OwnCounts, in_float32, in_precision
from normbench.training.setup import set_up, split_of
from normbench.training.solo import train
from normbench.training.stacked import train_stacked
from normbench.training.structure import graph_of, structure
from normbench.training.task_of import task_of

from .trained import trained

LOWER = {"bfloat16": torch.bfloat16, "float16": torch.float16}
NEAR = {"bfloat16": 3e-2, "float16": 4e-3}
"""How far the first losses may be from those in float32: some units in the last place, of 8 and of 11 bits."""


def few_steps(name: str, precision: str, **changes: object) -> Run:
    return problem(name, **{"precision": precision, "epochs": None, "steps": 3, "eval_every": 1, **changes})


def some(names: list[str], dtype: str) -> list[object]:
    """Return every problem in one type, those named in each gate and the others in a full one."""
    return [
        pytest.param(name, dtype, marks=() if name in names else pytest.mark.full, id=f"{name}-{dtype}")
        for name in PROBLEMS
    ]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*some(list(ARMS), "bfloat16"), *some(["mlp-batch", "mlp-group-adamw_undecayed", "resnet-batch"], "float16")],
)
def test_a_run_is_near_the_one_in_float32_and_in_a_pack_near_itself(name: str, dtype: str) -> None:
    """The first loss is that of float32 to a few units in the last place; a pack has the same, and stays near."""
    run = few_steps(name, dtype)
    alone, full = (train(own, dataset_of(run), device=CPU) for own in (run, replace(run, precision="float32")))
    other = replace(run, seed=1)
    together = train_stacked([run, other], dataset_of(run), device=CPU, compiled=False)[0]
    losses, exact, packed = ([point.train.loss for point in outcome.curve] for outcome in (alone, full, together))
    assert losses != exact
    assert losses[0] == pytest.approx(exact[0], rel=NEAR[dtype])
    assert packed[0] == pytest.approx(losses[0], rel=NEAR[dtype] / 10)
    assert packed[1] == pytest.approx(losses[1], rel=NEAR[dtype])


COMPILED = [("mlp-batch", "bfloat16"), ("mlp-layer-adamw", "float16")]


@pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(name, dtype, marks=pytest.mark.slow if (name, dtype) in COMPILED else pytest.mark.full)
        for name in PROBLEMS
        if name not in {**SEQUENCES, **DENSE}
        for dtype in LOWER
    ],
)
def test_a_compiled_step_is_near_the_solo_step(name: str, dtype: str) -> None:
    """It is compiled, not tried and given up, and its first losses are those of the run alone to rounding."""
    runs = [few_steps(name, dtype, seed=seed) for seed in range(2)]
    together = train_stacked(runs, dataset_of(runs[0]), device=CPU, compiled=True)
    for ours, run in zip(together, runs, strict=True):
        alone = train(run, dataset_of(run), device=CPU)
        assert ours.remark == ""
        assert ours.curve[0].train.loss == pytest.approx(alone.curve[0].train.loss, rel=NEAR[dtype] / 4)
        assert ours.curve[1].train.loss == pytest.approx(alone.curve[1].train.loss, rel=NEAR[dtype])


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("mlp-batch", "bfloat16"), ("resnet-group", "bfloat16"), ("mlp-none", "float16"), ("mlp-batch-adamw", "float16")],
)
def test_the_bits_of_a_run_do_not_depend_on_its_neighbours(name: str, dtype: str) -> None:
    """Alone in its pack, in a pair, first or last of nine, a run comes out bit for bit the same; and twice."""
    runs = [few_steps(name, dtype, seed=seed, steps=8, eval_every=4) for seed in range(9)]
    dataset = dataset_of(runs[0])
    packs = [train_stacked(runs[:count], dataset, device=CPU, compiled=False) for count in (1, 2, 5, 9)]
    assert all(pack[0] == packs[0][0] for pack in packs)
    assert train_stacked(runs[::-1], dataset, device=CPU, compiled=False)[::-1] == packs[-1]
    assert train(runs[0], dataset, device=CPU) == train(runs[0], dataset, device=CPU)


def test_float32_enters_no_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the model nor a norm is touched, and autocast is never asked for."""
    monkeypatch.setattr(torch, "autocast", None)
    setup, _ = trained(few_steps("resnet-batch", "float32"))
    assert not any("forward" in vars(module) for module in setup.model.modules())
    assert setup.scale == ()


@pytest.mark.parametrize("name", [name for name in ARMS if not name.startswith("plain")])
def test_norms_compute_in_float32_and_hand_on_what_came_in(name: str) -> None:
    """Output and buffers are those of the same values in float32; a far mean would ruin statistics of eight bits."""
    run = few_steps(name, "bfloat16", norm_batch_size=4 if "batch" in name.partition("-")[2] else None)
    first, second = (build(run, dataset_of(run).input_shape, 10).train() for _ in range(2))
    in_precision(first, "bfloat16")
    for (layer, ours), theirs in zip(norm_layers(first).items(), norm_layers(second).values(), strict=True):
        channels = ours.num_features
        assert isinstance(channels, int)
        x = torch.randn(16, channels, *([] if name.startswith("mlp") else [4, 4])).bfloat16() + 50
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            output = ours(x)
        assert output.dtype == torch.bfloat16
        assert torch.equal(output, theirs(x.float()).bfloat16()), layer
        for (key, buffer), other in zip(ours.named_buffers(), theirs.buffers(), strict=True):
            assert torch.equal(buffer, other), f"{layer}.{key}"


def test_a_copy_in_float32_leaves_the_model_as_it_is() -> None:
    """What probes look through is the same net in float32; weights, logits and buffers of both are in float32."""
    run = few_steps("resnet-batch", "bfloat16")
    model = in_precision(build(run, (1, 8, 8), 10), "bfloat16")
    x = torch.randn(8, 1, 8, 8)
    before = model(x)
    plain = in_float32(build(run, (1, 8, 8), 10))
    assert before.dtype == torch.float32
    assert {tensor.dtype for tensor in (*model.parameters(), *model.buffers())} == {torch.float32, torch.int64}
    setup = set_up(run, dataset_of(run), CPU)
    assert not torch.equal(before, plain(x))
    assert torch.equal(in_float32(setup.model)(x), plain(x))


def plain_losses(run: Run, scaler: torch.amp.GradScaler | None) -> list[float]:
    """Return the loss of each step of an MLP without norms by torch's own autocast, scaler and optimizer."""
    dataset, parts = images_of(run), split_of(run, dataset_of(run))
    layers = [nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 10)]
    model = nn.Sequential(*layers)
    for theirs, ours in zip(model.parameters(), build(run, (1, 8, 8), 10).parameters(), strict=True):
        theirs.data.copy_(ours.data)
    optimizer: torch.optim.Optimizer = torch.optim.SGD(model.parameters(), lr=run.lr, momentum=0.9)
    if run.optimizer.name == "adamw":
        decay = run.optimizer.number("weight_decay")
        optimizer = torch.optim.AdamW(model.parameters(), lr=run.lr, weight_decay=decay)
    losses = []
    for index in batches(parts.train, run, budget(run, len(parts.train))):
        optimizer.zero_grad()
        with torch.autocast("cpu", LOWER[run.precision]):
            logits = model(dataset.batch(index))
        loss = F.cross_entropy(logits.float(), parts.fields["labels"][index])
        losses.append(loss.item())
        if scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            optimizer.step()
        else:
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch's own
            scaler.step(optimizer)
            scaler.update()
    return losses


@pytest.fixture
def eager_scale(monkeypatch: pytest.MonkeyPatch) -> Callable[[], torch.amp.GradScaler]:
    """Let the scale begin so high that steps are left out, and grow again after a few; return torch's of that kind."""
    monkeypatch.setattr(precision, "_FIRST_SCALE", 2.0**24)
    monkeypatch.setattr(precision, "_GROWTH_INTERVAL", 5)
    return lambda: torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=5)


@pytest.mark.parametrize("optimizer", ["mlp-none", "mlp-batch-adamw"], ids=["sgd", "adamw"])
@pytest.mark.parametrize("stack", [False, True], ids=["solo", "stacked"])
@pytest.mark.parametrize("dtype", LOWER)
def test_a_run_is_a_plain_loop_with_torchs_own_autocast_and_scaler(
    dtype: str, stack: bool, optimizer: str, eager_scale: Callable[[], torch.amp.GradScaler]
) -> None:
    """Thirty steps have the losses of `torch.amp`, steps left out and AdamW's counts included."""
    run = few_steps("mlp-none", dtype, steps=30, lr=0.01, optimizer=problem(optimizer).optimizer)
    scaler = eager_scale() if dtype == "float16" else None
    expected = plain_losses(run, scaler)
    if stack:
        outcome = train_stacked([run, replace(run, seed=1)], dataset_of(run), device=CPU, compiled=False)[0]
    else:
        setup, outcome = trained(run)
        if scaler:
            assert isinstance(setup.scale, LossScale)
            assert float(setup.scale.factor) == scaler.get_scale() < 2.0**24
            assert int(setup.scale.skipped) > 0
    found = [point.train.loss for point in outcome.curve]
    # Stacked products are rounded otherwise, which grows from step to step.
    steps, near = (10, NEAR[dtype]) if stack else (30, 1e-5)
    assert found[:steps] == pytest.approx(expected[:steps], rel=near)


class Unsound(nn.Module):
    """A norm whose forward pass is sound and whose gradient never is."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.root = nn.Parameter(torch.zeros(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Add the root of zero, whose slope is infinite."""
        return x + torch.sqrt(self.root)


@pytest.mark.parametrize("stack", [False, True], ids=["solo", "stacked"])
def test_a_scale_that_bottoms_out_is_a_divergence(stack: bool) -> None:
    """Halved thirty times in a row it is below 2^-13: no scale makes the gradients finite, at that step it is told."""
    run = few_steps("mlp-none", "float16", steps=40, eval_every=40)
    run = replace(run, norm=replace(run.norm, target=f"{__name__}.Unsound"))
    if stack:
        outcome = train_stacked([run, replace(run, seed=1)], dataset_of(run), device=CPU, compiled=False)[0]
    else:
        outcome = train(run, dataset_of(run), device=CPU)
    assert (outcome.status, outcome.diverged_at_step) == ("diverged", 30)


def test_a_loss_that_is_not_finite_is_a_divergence_at_once() -> None:
    """As in float32: the loss scale makes up for gradients, not for an overflow on the way."""
    run = few_steps("mlp-none", "float16", lr=1e6, steps=20, eval_every=5)
    outcome = train(run, dataset_of(run), device=CPU)
    assert outcome.status == "diverged"
    assert outcome.diverged_at_step is not None and outcome.diverged_at_step < 10


def test_each_run_of_a_pack_leaves_out_its_own_steps(eager_scale: object) -> None:
    """A neighbour whose gradients are far larger changes nothing for a run, whose scale is its own."""
    calm = few_steps("mlp-none", "float16", steps=12, lr=1e-3)
    wild = replace(calm, seed=1, model=replace(calm.model, args={**calm.model.args, "init_scale": 8.0}))
    with_wild = train_stacked([calm, wild], dataset_of(calm), device=CPU, compiled=False)
    with_calm = train_stacked([calm, replace(calm, seed=1)], dataset_of(calm), device=CPU, compiled=False)
    assert with_wild[0] == with_calm[0]


def test_the_scale_halves_and_doubles_for_each_run() -> None:
    """A run's steps left out halve its own scale; so many clean ones in a row double it."""
    scale = LossScale.of("float16", 2, device=CPU)
    assert isinstance(scale, LossScale)
    assert scale.adapt(torch.tensor([False, True])).all()
    assert scale.factor.tolist() == [2.0**15, 2.0**16]
    for _ in range(1999):
        scale.adapt(torch.tensor([True, True]))
    assert scale.factor.tolist() == [2.0**15, 2.0**17]
    scale.adapt(torch.tensor([True, True]))
    assert scale.factor.tolist() == [2.0**16, 2.0**17]
    assert scale.skipped.tolist() == [1, 0]


def test_an_optimizer_counts_the_steps_that_a_run_took() -> None:
    """A run that left out two steps gets the numbers of two steps before."""
    values = iter([10.0, 20.0, 30.0])
    skipped = torch.tensor([0, 0])
    counts = OwnCounts(lambda: {"bias": torch.tensor(next(values))}, skipped, 3)
    assert counts()["bias"].tolist() == [10.0, 10.0]
    skipped += torch.tensor([1, 0])
    assert counts()["bias"].tolist() == [10.0, 20.0]
    skipped += torch.tensor([1, 0])
    assert counts()["bias"].tolist() == [10.0, 30.0]


def test_runs_of_different_precision_share_neither_pack_nor_step() -> None:
    """A compiled step of one is not found for the other."""
    one, other = few_steps("mlp-batch", "float32"), few_steps("mlp-batch", "bfloat16")
    assert structure(one) != structure(other)
    task = task_of(one, dataset_of(one))
    assert graph_of(one, task) != graph_of(other, task)


@pytest.mark.parametrize("dtype", LOWER)
@pytest.mark.parametrize("name", ["mlp-batch", "resnet-group"])
def test_probes_look_in_float32_and_change_nothing(name: str, dtype: str) -> None:
    """At the same weights they find what they find of a run in float32, and the run has the bits of one without."""
    names = ("activations", "dead_units", "effective_lr", "gradients", "ics_ioffe", "ics_santurkar", "landscape")
    run = few_steps(name, dtype, steps=2)
    _, plain = trained(run)
    _, looked = trained(run, probes=names)
    assert [replace(point, probes={}) for point in looked.curve] == list(plain.curve)
    assert looked.test == plain.test
    exact = trained(replace(run, precision="float32"), probes=names)[1].curve[0].probes
    found = looked.curve[0].probes
    # Those of the weights before the first step, which both begin with.
    gradients = [key for key in found if key.startswith("probe.gradients")]
    assert gradients
    assert {key: found[key] for key in gradients} == pytest.approx({key: exact[key] for key in gradients}, rel=1e-6)


@pytest.mark.parametrize("dtype", LOWER)
def test_evaluation_is_in_the_precision_of_training(dtype: str) -> None:
    """Its loss is that of the model under torch's autocast, norms apart, summed in float64."""
    setup, outcome = trained(few_steps("mlp-none", dtype))
    batch = setup.parts.batch(setup.dataset, setup.parts.val)
    images, labels = batch["images"], batch["labels"]
    model = in_float32(setup.model).eval()

    def loss(context: AbstractContextManager[object]) -> float:
        with torch.no_grad(), context:
            logits = model(images)
        return float(F.cross_entropy(logits.float(), labels, reduction="none").double().mean())

    assert outcome.curve[-1].val.loss == pytest.approx(loss(torch.autocast("cpu", LOWER[dtype])), rel=1e-7)
    assert outcome.curve[-1].val.loss != pytest.approx(loss(nullcontext()), rel=1e-7)
