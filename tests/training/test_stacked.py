"""Runs trained together against the same runs trained alone: the slow path is the oracle."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from problems import ARMS, DENSE, PROBLEMS, SEQUENCE_ARMS, SEQUENCES, dataset_of, images_of, in_float64, problem
from torch import Tensor, nn
from torch._inductor.exc import InductorError

from normbench.data import limit, resize
from normbench.engine.device import find_compiler
from normbench.models.dropout import draw_masks
from normbench.norms import LayerNorm, NormFactory
from normbench.spec import Component, Run
from normbench.training import compiled, stacked
from normbench.training.optimizers import Optimizer
from normbench.training.outcome import Outcome
from normbench.training.setup import Setup, set_up
from normbench.training.solo import take_step, train
from normbench.training.stack import run_multiple, unknown_layers
from normbench.training.stacked import train_stacked
from normbench.training.stacked_runs import StackedRuns, stacked_batches
from normbench.training.step import make_step
from normbench.training.structure import is_own_code, structure

CPU = torch.device("cpu")
STATES = 20


class Own(nn.Identity):
    """A norm of a user's own."""


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def set_state(setups: list[Setup], pack: StackedRuns) -> None:
    """Bring the stack to the state that the runs are in by themselves."""
    for run, setup in enumerate(setups):
        state = dict(setup.model.named_parameters()) | dict(setup.model.named_buffers())
        for name in state.keys() - {f"{dropout}.mask" for dropout in pack.dropouts}:
            pack.stack.state_of(run)[name].copy_(state[name].detach())
        assert isinstance(setup.optimizer, Optimizer)
        for name, tensors in pack.optimizer.states.items():
            for stacked_tensor, tensor in zip(tensors, setup.optimizer.states[name], strict=True):
                stacked_tensor[run].copy_(tensor)


def close(ours: Tensor, theirs: Tensor, what: str) -> None:
    scale = float(theirs.abs().max()) if theirs.numel() else 0.0
    # A gradient that a later norm cancels is nothing but rounding.
    torch.testing.assert_close(
        ours, theirs, rtol=1e-10, atol=1e-10 * max(scale, 1e-4), msg=lambda text: f"{what}: {text}"
    )


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_step_from_each_state_of_the_solo_path_is_the_same(name: str, float64: None) -> None:
    """From each of 20 states, losses, answers, parameters, optimizer state and buffers agree to 1e-10 in float64."""
    runs = [replace(problem(name), seed=seed, lr=lr, epochs=None, steps=STATES) for seed, lr in ((0, 0.02), (1, 0.05))]
    dataset = in_float64(dataset_of(runs[0]))
    setups = [set_up(run, dataset, CPU) for run in runs]
    pack = StackedRuns.of([set_up(run, dataset, CPU) for run in runs])
    step = make_step(pack.setups[0].task, pack.stack.skeleton, pack.optimizer.update)
    for number, batch in enumerate(stacked_batches(pack), start=1):
        set_state(setups, pack)
        before = pack.tally.loss.clone()
        pack.take_step(step, number, batch)
        for run, setup in enumerate(setups):
            if pack.dropouts:
                draw_masks(setup.model, setup.run.batch_size, setup.masks)
            loss, *_ = take_step(
                setup, {name: field[run] for name, field in batch.items()}, torch.tensor(setup.rates[number - 1])
            )
            close(pack.tally.loss[run] - before[run], loss.detach(), f"loss of step {number}")
            state = dict(setup.model.named_parameters()) | dict(setup.model.named_buffers())
            for key, tensor in pack.stack.state_of(run).items():
                close(tensor, state[key].detach(), f"{key} after step {number}")
            assert isinstance(setup.optimizer, Optimizer)
            for key, tensors in pack.optimizer.states.items():
                for ours, theirs in zip(tensors, setup.optimizer.states[key], strict=True):
                    close(ours[run], theirs, f"optimizer state of {key} after step {number}")


def assert_same(ours: Outcome, theirs: Outcome, rel: float) -> None:
    assert (ours.status, ours.num_params, ours.norm_layers) == (theirs.status, theirs.num_params, theirs.norm_layers)
    assert [point.step for point in ours.curve] == [point.step for point in theirs.curve]
    for one, other in zip(ours.curve, theirs.curve, strict=True):
        assert (one.epoch, one.lr) == (other.epoch, other.lr)
        assert one.train.loss == pytest.approx(other.train.loss, rel=rel)
        assert one.val.loss == pytest.approx(other.val.loss, rel=rel)
        assert one.train.metrics == pytest.approx(other.train.metrics, rel=rel, abs=1e-9)
    assert {key: score.loss for key, score in ours.test.items()} == pytest.approx(
        {key: score.loss for key, score in theirs.test.items()}, rel=rel
    )


# Well conditioned: rounding grows slowly enough over a few steps for the free-running paths to be compared.
FREE = [
    "mlp-layer",
    "mlp-none",
    "mlp-batch",
    "resnet-none-fixup",
    "resnet-batch-crop_flip",
    "mlp-layer-dropout",
    "mlp-batch-low_bias",
    "mlp-batch-less_contrast",
    "mlp-layer-noisy_test",
    "resnet-batch-noisy_test",
    "rnn-batch",
    "encoder-layer",
    "language-batch-step",
    "translation-batch",
    "fcn-batch",
    "ssd-batch",
]


@pytest.mark.parametrize("name", FREE)
def test_a_pack_ends_where_each_run_ends_alone(name: str, float64: None) -> None:
    """Curves and the three test scores of runs trained together are those of the runs trained alone."""
    base = problem(name)
    runs = [replace(base, seed=seed, lr=0.01 * (1 + seed), epochs=None, steps=6, eval_every=3) for seed in range(3)]
    dataset = in_float64(dataset_of(base))
    for ours, run in zip(train_stacked(runs, dataset, device=CPU, compiled=False), runs, strict=True):
        assert_same(ours, train(run, dataset, device=CPU), rel=1e-7)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_runs_of_several_initial_biases_share_a_pack(norm: str, float64: None) -> None:
    """Each starts at its own bias and ends where it ends alone."""
    base = replace(problem(f"mlp-{norm}"), epochs=None, steps=4, eval_every=2)
    runs = [
        replace(base, model=replace(base.model, args={**base.model.args, "bias_init": bias})) for bias in (0.0, -1.0)
    ]
    dataset = in_float64(dataset_of(base))
    pack = train_stacked(runs, dataset, device=CPU, compiled=False)
    for ours, run in zip(pack, runs, strict=True):
        assert_same(ours, train(run, dataset, device=CPU), rel=1e-7)
    assert pack[0].test != pack[1].test


def some_runs(count: int, **changes: object) -> list[Run]:
    base = replace(problem("mlp-batch"), epochs=None, steps=12, eval_every=4)
    return [replace(base, seed=seed, **changes) for seed in range(count)]  # type: ignore[arg-type]


# One of each kind of sum over samples; `scripts/test --full` has every norm in every model.
NEIGHBOURS = [
    "mlp-batch",
    "mlp-none",
    "mlp-batch-ghost",
    "mlp-batch-adamw",
    "mlp-batch_noisy",
    "resnet-group",
    "resnet-batch_renorm",
    "resnet-layer_channels",
    "rnn-batch",
    "encoder-layer",
    "language-batch-ghost",
    "translation-batch",
]


@pytest.mark.parametrize(
    "name",
    [
        *NEIGHBOURS,
        *(pytest.param(name, marks=pytest.mark.full) for name in (*ARMS, *SEQUENCE_ARMS) if name not in NEIGHBOURS),
    ],
)
def test_the_bits_of_a_run_do_not_depend_on_its_neighbours(name: str) -> None:
    """Alone in its pack, in a pair, first or last of nine, a run comes out bit for bit the same."""
    runs = [replace(problem(name), seed=seed, epochs=None, steps=8, eval_every=4) for seed in range(9)]
    dataset = dataset_of(runs[0])
    packs = [train_stacked(runs[:count], dataset, device=CPU, compiled=False) for count in (1, 2, 5, 9)]
    backwards = train_stacked(runs[::-1], dataset, device=CPU, compiled=False)
    assert all(pack[0] == packs[0][0] for pack in packs)
    assert backwards[::-1] == packs[-1]


@pytest.mark.parametrize(("width", "multiple"), [(128, 1), (16, 2), (8, 4), (24, 4), (100, 8), (10, 0), (7, 0)])
def test_stacks_are_filled_up_to_whole_vectors(width: int, multiple: int) -> None:
    """Batch norm over features sums 32 channels at a time; an odd width cannot be helped, and trains solo."""
    base = problem("mlp-batch")
    run = replace(base, model=replace(base.model, args={**base.model.args, "width": width}))
    assert run_multiple(set_up(run, dataset_of(run), CPU).model) == multiple
    assert bool(stacked.why_alone(run, dataset_of(run))) == (multiple == 0)


def test_runs_with_a_warm_up_train_together() -> None:
    """The one step of the trial is shorter than any warm-up."""
    run = problem("mlp-batch-cosine_warmup")
    assert run.schedule.number("warmup_steps") == 2
    assert stacked.why_alone(run, dataset_of(run)) == ""


def test_groups_of_unequal_size_train_alone() -> None:
    """Whole groups make up the parts, so seeds have training sets of several sizes: a pack would fail on them."""
    run = problem("mlp-batch-grouped")
    dataset = dataset_of(run)
    assert stacked.why_alone(run, dataset) == ""
    assert stacked.why_alone(run, limit(dataset, 499)).startswith("cannot be stacked: groups of samples differ in size")


def test_a_layer_that_nothing_is_known_of_trains_alone() -> None:
    """Bits that depend on neighbours would show in no other test: what was not looked into is not stacked."""
    known = nn.Sequential(nn.Linear(4, 4), NormFactory(LayerNorm)(4), nn.ReLU(), nn.Linear(4, 2))
    assert unknown_layers(known) == []
    assert unknown_layers(nn.Sequential(known, nn.LSTM(4, 4), nn.Bilinear(3, 4, 4))) == ["Bilinear", "LSTM"]


def test_a_diverging_run_leaves_its_neighbours_alone() -> None:
    """One run with an absurd rate diverges at the step it would alone; the other is bit for bit what it was."""
    calm, wild = some_runs(2)
    none = replace(problem("mlp-none"), epochs=None, steps=30, eval_every=10)
    calm, wild, other = replace(none, lr=0.01), replace(none, lr=1e6), replace(none, lr=0.02, seed=1)
    dataset = dataset_of(none)
    with_wild = train_stacked([calm, wild, other], dataset, device=CPU, compiled=False)
    without = train_stacked([calm, other], dataset, device=CPU, compiled=False)
    assert [outcome.status for outcome in with_wild] == ["finished", "diverged", "finished"]
    assert [with_wild[0], with_wild[2]] == without
    assert with_wild[1].diverged_at_step == train(wild, dataset, device=CPU).diverged_at_step
    assert with_wild[1].test == {}


def test_a_pack_that_has_diverged_as_a_whole_ends() -> None:
    """When every run has diverged there is nothing left to score."""
    runs = [replace(run, lr=1e12, norm=problem("mlp-none").norm) for run in some_runs(2)]
    outcomes = train_stacked(runs, dataset_of(runs[0]), device=CPU, compiled=False)
    assert [(outcome.status, outcome.test) for outcome in outcomes] == [("diverged", {})] * 2


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"seed": 3}, True),
        ({"lr": 0.7}, True),
        ({"batch_size": 8}, False),
        ({"steps": 7}, False),
        ({"norm_batch_size": 2}, False),
        ({"target_accuracy": 0.5}, False),
        ({"precision": "bfloat16"}, False),
    ],
    ids=lambda value: str(value),
)
def test_structure_leaves_out_what_shapes_no_graph(changes: dict[str, object], same: bool) -> None:
    """Seed and rate may differ within a pack; batch, budget and evaluation may not."""
    run = some_runs(1)[0]
    changed = replace(run, **changes)  # type: ignore[arg-type]
    assert (structure(changed) == structure(run)) == same


@pytest.mark.parametrize(
    ("group", "key", "value", "same"),
    [
        ("model", "init_scale", 2.0, True),
        ("model", "bias_init", -1.0, True),
        ("model", "width", 8, False),
        ("optimizer", "weight_decay", 0.1, True),
        ("optimizer", "momentum", 0.5, True),
        ("optimizer", "nesterov", True, False),
        ("data", "label_noise", 0.2, True),
        ("data", "limit", 100, False),
        ("data", "test_shift", "noise", False),
    ],
)
def test_structure_of_the_components(group: str, key: str, value: object, same: bool) -> None:
    """Numbers that enter as tensors may differ within a pack."""
    run = some_runs(1)[0]
    part = getattr(run, group)
    changed = replace(run, **{group: replace(part, args={**part.args, key: value})})
    assert (structure(changed) == structure(run)) == same


@pytest.mark.slow
@pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")
def test_the_bits_of_a_compiled_run_do_not_depend_on_its_neighbours() -> None:
    """In a pack of two and in a pack of four a compiled run comes out bit for bit the same, at either end."""
    runs = [replace(run, steps=4, eval_every=2) for run in some_runs(4)]
    dataset = dataset_of(runs[0])
    four = train_stacked(runs, dataset, device=CPU, compiled=True)
    two = train_stacked(runs[:2], dataset, device=CPU, compiled=True)
    assert four[:2] == two
    assert train_stacked(runs[::-1], dataset, device=CPU, compiled=True)[::-1] == four


@pytest.mark.parametrize("kind", [lambda text: InductorError(OSError(text), None), OSError, RuntimeError])
def test_a_failing_compilation_trains_without_and_says_so(
    kind: Callable[[str], Exception], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever fails, the pack trains as it would have eagerly, and its outcomes bear the reason."""
    runs = some_runs(2)
    dataset = dataset_of(runs[0])

    def failing(step: object, **options: object) -> Callable[..., None]:
        def broken(*args: object) -> None:
            raise kind("no space for the object file\nand more lines")

        return broken

    monkeypatch.setattr(torch, "compile", failing)
    monkeypatch.setattr(compiled, "_MADE", {})
    monkeypatch.setenv("NORMBENCH_CACHE", str(tmp_path))
    outcomes = train_stacked(runs, dataset, device=CPU, compiled=True)
    eager = train_stacked(runs, dataset, device=CPU, compiled=False)
    assert [replace(outcome, remark="") for outcome in outcomes] == eager
    assert all(re.fullmatch(r"not compiled \(\w+: no space for the object file\)", one.remark) for one in outcomes)


@pytest.mark.slow
@pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")
def test_a_kept_step_serves_the_next_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """What one process compiled another loads, to the same bits and for any budget; a damaged file is made again."""
    monkeypatch.setenv("NORMBENCH_CACHE", str(tmp_path))
    runs = [replace(run, steps=4, eval_every=2) for run in some_runs(3)]
    dataset = dataset_of(runs[0])

    def in_a_new_process(runs: list[Run]) -> list[Outcome]:
        monkeypatch.setattr(compiled, "_MADE", {})
        return train_stacked(runs, dataset, device=CPU, compiled=True)

    first = in_a_new_process(runs)
    (kept,) = (tmp_path / "steps").glob("*.step")
    with monkeypatch.context() as changed:
        changed.delattr(torch, "compile")
        assert in_a_new_process(runs) == first
        longer = in_a_new_process([replace(run, steps=6) for run in runs])
        assert [outcome.curve[:2] for outcome in longer] == [outcome.curve for outcome in first]
    assert "is damaged" not in caplog.text
    kept.write_bytes(kept.read_bytes()[:1000])
    assert in_a_new_process(runs) == first
    assert caplog.text.count("is damaged") == 1


@pytest.mark.slow
@pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")
def test_a_step_with_code_of_the_users_own_is_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing on disk tells whether that code is still the same."""
    monkeypatch.setenv("NORMBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(compiled, "_MADE", {})
    own = [replace(run, norm=replace(run.norm, target=f"{__name__}.Own")) for run in some_runs(2)]
    train_stacked(own, dataset_of(own[0]), device=CPU, compiled=True)
    assert not (tmp_path / "steps").exists()


@pytest.mark.parametrize(
    ("model", "own"),
    [
        (Component("resnet", {"depth": 8, "width": 4}), True),
        (Component("torchvision", {"architecture": "shufflenet_v2_x0_5"}), False),
        (Component("timm", {"architecture": "test_efficientnet"}), False),
        (Component("own", {"source": f"{__name__}.modules_of_torch"}, "normbench.models.own.own"), False),
        (Component("mine", {}, f"{__name__}.layers_of_torch"), False),
    ],
    ids=lambda value: value.name if isinstance(value, Component) else "",
)
def test_whose_code_a_model_is(model: Component, own: bool) -> None:
    """A step is kept on disk only where normbench and torch wrote all of it, who put the modules together included."""
    run = replace(problem("resnet-batch"), model=model)
    assert is_own_code(set_up(run, dataset_of(run), CPU)) is own


def modules_of_torch(num_classes: int) -> nn.Module:
    """Return a model of the user's that is made of torch's modules alone."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, num_classes))


def layers_of_torch(shape: tuple[int, int, int], num_classes: int, norm: NormFactory) -> nn.Module:
    """Return the like by the other way that a user's own model is made."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), norm(16), nn.ReLU(), nn.Linear(16, num_classes))


def test_keys_of_a_users_own_model_are_part_of_its_structure() -> None:
    """They may mean anything: two runs with another `init_scale` must not share a step."""
    for target in ("my.net", "normbench.models.own.own"):
        run = problem("mlp-batch")
        one, other = (
            replace(run, model=Component("own", {"source": "my.net", "init_scale": scale, "dropout": scale}, target))
            for scale in (0.1, 0.2)
        )
        assert structure(one) != structure(other)


@pytest.mark.parametrize("norm", ["batch", "group", "keep"])
def test_a_model_from_elsewhere_is_stacked_as_it_trains_alone(norm: str, float64: None) -> None:
    """Hooks around the norms and all, in a torchvision model and in one of timm's with activations in its norms."""
    for model in (
        Component("torchvision", {"architecture": "shufflenet_v2_x0_5"}),
        Component("timm", {"architecture": "test_byobnet"}),
    ):
        kind = Component("keep", {}) if norm == "keep" else problem(f"resnet-{norm}").norm
        runs = [replace(problem("resnet-batch"), model=model, norm=kind, seed=seed, steps=2) for seed in range(2)]
        dataset = in_float64(resize(limit(images_of(runs[0]), 120), 32))
        assert stacked.why_alone(runs[0], dataset) == ""
        for run, outcome in zip(runs, train_stacked(runs, dataset, device=CPU, compiled=False), strict=True):
            assert_same(outcome, train(run, dataset, device=CPU), 1e-6)


# One of each kind of graph; `scripts/test --full` compiles every problem on small images, and two more on sequences.
# Tasks with many places in an image train alone.
COMPILED = [
    "mlp-batch",
    "mlp-group-adamw_undecayed",
    "mlp-layer-dropout",
    "mlp-batch-ghost",
    "mlp-batch_noisy",
    "mlp-power-running",
    "resnet-batch-crop_flip",
    "encoder-layer",
]
COMPILED_TOO = ["pixels-batch", "language-batch"]


@pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in COMPILED else pytest.mark.full)
        for name in PROBLEMS
        if name in COMPILED + COMPILED_TOO or name not in {**SEQUENCES, **DENSE}
    ],
)
def test_a_compiled_step_is_the_solo_step(name: str) -> None:
    """The first losses of a compiled pack are those of the runs trained alone, to rounding."""
    runs = [replace(problem(name), seed=seed, epochs=None, steps=4, eval_every=1) for seed in range(2)]
    dataset = dataset_of(runs[0])
    for ours, run in zip(train_stacked(runs, dataset, device=CPU, compiled=True), runs, strict=True):
        alone = train(run, dataset, device=CPU)
        assert ours.remark == ""
        assert ours.curve[0].train.loss == pytest.approx(alone.curve[0].train.loss, rel=1e-5)
        assert ours.curve[1].train.loss == pytest.approx(alone.curve[1].train.loss, rel=2e-3)


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What torch makes when it is imported goes to a temporary folder instead."""
    # Set first, so that it is put back.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    (tmp_path / "file").touch()
    for place in ("file", "folder"):
        monkeypatch.setenv("NORMBENCH_CACHE", str(tmp_path / place))
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
        compiled.name_compilers_folder()
        folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
        assert folder.is_dir()
        assert folder.is_relative_to(tmp_path) == (place == "folder")
