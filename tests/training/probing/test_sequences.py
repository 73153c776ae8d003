"""Probes on models of sequences: one site for a norm however many its steps, and no padding in any number."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from normbench.norms.sequence import SequenceNorm
from normbench.norms.statistics import own_batch
from normbench.training.around_norms import around_norms
from normbench.training.probing import REGISTRY
from normbench.training.probing.activations import activations
from normbench.training.probing.dead_units import dead_units
from normbench.training.probing.driver import Probes
from normbench.training.probing.gradients_time import gradients_time, shown_steps
from normbench.training.probing.statistics_gap import statistics_gap
from normbench.training.probing.view import Moment

from .moments import stacked
from .sequences import SAMPLES, STEPS, SequenceCase, sequence_case

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn-step": ("rnn", {"cell": "rnn", "activation": "relu", "norm_time": "step"}),
    "rnn-shared": ("rnn", {"cell": "rnn", "activation": "relu", "norm_time": "shared"}),
    "lstm-both": ("rnn", {"bidirectional": True, "depth": 1}),
    "transformer-shared": ("transformer", {"heads": 2, "activation": "relu"}),
    "transformer-step": ("transformer", {"heads": 2, "activation": "relu", "norm_time": "step"}),
}


def made(name: str, **settings: Any) -> SequenceCase:
    net, keys = CASES[name]
    return sequence_case(net, **keys | settings)


def sites(case: SequenceCase) -> list[str]:
    return [name for name, module in case.model.named_modules() if isinstance(module, SequenceNorm)]


def around(case: SequenceCase, layer: str) -> tuple[Tensor, Tensor]:
    """Return what the inner norms of a norm with batch statistics are given and return at valid steps, (M, C) each."""
    seen: list[tuple[Tensor, Tensor]] = []
    norm = case.model.get_submodule(layer)
    assert isinstance(norm, SequenceNorm)

    def keep(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        seen.extend((x.movedim(1, -1)[args[1]], y.movedim(1, -1)[args[1]]) for x, y in [(args[0], output)])

    hooks = [inner.register_forward_hook(keep) for inner in norm.norms]
    with torch.no_grad(), own_batch(case.model.eval(), None):
        case.model(*case.inputs)
    for hook in hooks:
        hook.remove()
    before, after = zip(*seen, strict=True)
    return torch.cat(before), torch.cat(after)


@pytest.mark.parametrize("name", CASES)
def test_activations_are_those_of_valid_steps(name: str) -> None:
    """By numpy, over samples and valid steps; one site for each norm of sequences, under its own name."""
    case = made(name)
    found = activations(case.view, case.moment)
    assert sorted(case.view.norms) == sorted(sites(case))
    for layer in sites(case):
        for place, x in zip(("before", "after"), around(case, layer), strict=True):
            rows = x.T.numpy()
            expected = {"mean": rows.mean(1), "deviation": rows.std(1)}
            expected |= {f"p{p}": np.percentile(rows, p, axis=1) for p in (15, 50, 85)}
            for statistic, values in expected.items():
                assert float(found.pop(f"{place}.{statistic}.{layer}")) == pytest.approx(float(values.mean()), rel=1e-9)
    assert not found


@pytest.mark.parametrize(
    ("name", "norm"),
    [
        *((name, norm) for name in ("rnn-step", "transformer-shared") for norm in ("batch", "layer", "none")),
        # It normalises no single steps.
        ("transformer-shared", "instance"),
    ],
)
def test_what_stands_in_padding_enters_no_probe(name: str, norm: str) -> None:
    """Every number is the same whatever the padding holds."""
    one, other = (made(name, norm=norm, padding=padding) for padding in (9.0, -300.0))
    for probe in REGISTRY.values():
        found, wanted = (probe.measure(case.view, case.moment) for case in (one, other))
        assert found.keys() == wanted.keys()
        for column, value in found.items():
            assert float(value) == pytest.approx(float(wanted[column]), rel=1e-7, abs=1e-10, nan_ok=True), column


@pytest.mark.parametrize("name", ["rnn-step", "transformer-shared"])
def test_a_unit_that_is_zero_at_all_valid_steps_is_dead(name: str) -> None:
    """Units are channels, over all steps together; what padding gives does not revive one."""
    case = made(name, norm="none")
    bias, layer = {
        "rnn-step": ("layers.0.bias", "layers.0.activation"),
        "transformer-shared": (
            "trunk.blocks.0.feed_forward.branch.inner.bias",
            "trunk.blocks.0.feed_forward.branch.activation",
        ),
    }[name]
    case.moment.params[bias][1] = -1e3
    case.model.load_state_dict(case.moment.params, strict=False)
    seen: list[Tensor] = []
    case.model.get_submodule(layer).register_forward_hook(lambda *call: seen.append(call[2].detach()))
    case.model.eval()(*case.inputs)
    outputs = torch.stack(seen, 1) if seen[0].ndim == 2 else seen[0]
    dead = (outputs[case.valid] == 0).all(0)
    assert dead[1] and not dead.all()
    shares = dead_units(case.view, case.moment)
    assert float(shares[f"share.{layer}"]) == pytest.approx(float(dead.double().mean()))
    assert len(shares) == 3


@pytest.mark.parametrize("name", CASES)
def test_statistics_gap_compares_each_step(name: str) -> None:
    """Steps that fewer than two samples have are left out; one column for each norm of sequences."""
    case = made(name)
    found = statistics_gap(case.view, case.moment)
    for layer in sites(case):
        norm = case.model.get_submodule(layer)
        assert isinstance(norm, SequenceNorm)
        rows, _ = around(case, layer)
        calls = [int(count) for count in case.valid.sum(0)]
        if len(norm.norms) > 1 or (name == "rnn-shared" and layer.endswith("recurrent_norm")):
            parts = [part.numpy() for part in torch.split(rows, calls) if len(part) > 1]
        else:
            parts = [rows.numpy()]
        moments = [(part.mean(0), part.var(0, ddof=1)) for part in parts]
        if len(norm.norms) == 1:
            moments = [(np.mean([m for m, _ in moments], axis=0), np.mean([v for _, v in moments], axis=0))]
        gaps = []
        for step, (mean, var) in enumerate(moments):
            r, q = (case.moment.buffers[f"{layer}.norms.{step}.running_{key}"].numpy() for key in ("mean", "var"))
            off = np.abs(r - mean) / np.sqrt(var + 1e-5)
            gaps.append((off.mean(), np.abs(np.log((q + 1e-5) / (var + 1e-5))).mean()))
        for key, value in zip(("mean", "var"), np.mean(gaps, axis=0), strict=True):
            assert float(found[f"{key}.{layer}"]) == pytest.approx(value)
    assert len(found) == 2 * len(sites(case)) + 3


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("name", ["rnn-step", "lstm-both"])
def test_gradients_of_hidden_states(name: str, padded: bool) -> None:
    """By autograd on a model whose layers' states are nudged, the last layer's and those below it."""
    case = made(name, padded=padded)
    found = {key: float(value) for key, value in gradients_time(case.view, case.moment).items()}
    cells = [f"layers.{place}" for place in range(len(case.model.layers))]  # type: ignore[arg-type]
    cells += ["backward_layers.0"] * (name == "lstm-both")
    slopes = []
    for layer in cells:
        grad = states_gradient(case, layer)
        counts = case.valid.sum(0)
        norms = [float((grad[:, t].square().sum() * SAMPLES / counts[t]).sqrt()) for t in range(STEPS) if counts[t]]
        for step in range(STEPS):
            wanted = norms[step] if counts[step] else float("nan")
            assert found.pop(f"norm.{layer}.t{step}") == pytest.approx(wanted, nan_ok=True)
        assert found.pop(f"first.{layer}") == pytest.approx(norms[0])
        last = grad[torch.arange(SAMPLES), case.valid.sum(1) - 1]
        assert found.pop(f"last.{layer}") == pytest.approx(float(torch.linalg.vector_norm(last)))
        slopes.append(float(np.polyfit(np.arange(len(norms)), np.log(norms), 1)[0]))
        assert found.pop(f"slope.{layer}") == pytest.approx(slopes[-1])
    assert found == {"slope": pytest.approx(np.mean(slopes))}


def states_gradient(case: SequenceCase, layer: str) -> Tensor:
    """Return dL/dh of a layer, (B, L, H), by autograd at the tensors that `step` returns."""
    cell: Any = case.model.get_submodule(layer)
    plain, states = type(cell).step, []

    def step(*args: Any) -> tuple[Tensor, ...]:
        h, *rest = plain(cell, *args)
        states.append(h)
        return (h, *rest)

    cell.step = step
    with own_batch(case.model.eval(), None):
        loss = case.view.task.loss(case.model(*case.inputs), case.moment.batch)
    del cell.step
    grads = torch.autograd.grad(loss, states, allow_unused=True, materialize_grads=True)
    return torch.stack(grads, 1)


def test_models_without_recurrence_have_no_gradients_over_time() -> None:
    """There is no column then."""
    case = made("transformer-shared")
    assert gradients_time(case.view, case.moment) == {}


def test_few_steps_are_shown() -> None:
    """All of a short sequence, eight of a long one, first and last among them."""
    assert shown_steps(3) == (0, 1, 2) and shown_steps(1) == (0,)
    assert shown_steps(64) == (0, 9, 18, 27, 36, 45, 54, 63)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_stacked_runs_are_each_as_alone(name: str, padded: bool) -> None:
    """Two runs under vmap have the numbers that each has by itself, and the columns that were announced."""
    names = ("activations", "dead_units", "gradients_time", "ics_training", "statistics_gap")
    cases = [made(name, seed=seed, padded=padded) for seed in range(2)]
    joint = Moment(**stacked([case.moment for case in cases]))

    def look(moment: Moment, is_stacked: bool) -> dict[str, list[float]]:
        probes = Probes(
            names,
            cases[0].model,
            moment.earlier,
            task=cases[0].view.task,
            batch=moment.batch,
            norm_batch_size=SAMPLES,
            stacked=is_stacked,
        )
        probes.before_step(moment.before)
        found = probes.look(moment.params, moment.buffers, moment.lr)
        columns = probes.columns(moment.params, moment.buffers)
        assert [column for own in columns.values() for column in own] == list(found)
        return found

    alone = [look(case.moment, False) for case in cases]
    found = look(joint, True)
    assert found == {
        column: pytest.approx([one[column][0] for one in alone], rel=1e-9, abs=1e-12, nan_ok=True)
        for column in alone[0]
    }


@pytest.mark.parametrize("name", CASES)
def test_histograms_have_all_valid_steps_together(name: str) -> None:
    """One pair for each norm of sequences."""
    case = made(name)
    seen = around_norms(case.model, case.inputs)
    assert list(seen) == sites(case)
    for layer, pair in seen.items():
        for found, wanted in zip(pair, around(case, layer), strict=True):
            torch.testing.assert_close(found.sort(0).values, wanted.sort(0).values)
