"""Probes in real trainings: the same numbers with and without, alone and in packs."""

from dataclasses import replace

import pytest
import torch
from problems import dataset_of, problem

from normbench.engine.device import find_compiler
from normbench.spec import Run
from normbench.training.outcome import Outcome
from normbench.training.probing import REGISTRY
from normbench.training.solo import train
from normbench.training.stacked import train_stacked

CPU = torch.device("cpu")
NAMES = ["mlp-batch", "mlp-layer-dropout", "resnet-batch-crop_flip", "mlp-batch-ghost", "mlp-batch_noisy"]


def some_runs(name: str) -> list[Run]:
    return [replace(problem(name), seed=seed, epochs=None, steps=4, eval_every=2) for seed in range(2)]


def bare(outcomes: list[Outcome]) -> list[Outcome]:
    """Return outcomes without what probes found."""
    return [replace(one, curve=tuple(replace(point, probes={}) for point in one.curve)) for one in outcomes]


@pytest.mark.parametrize("probe", REGISTRY)
@pytest.mark.parametrize("name", NAMES)
def test_training_with_a_probe_is_bit_for_bit_training_without(name: str, probe: str) -> None:
    """Alone and in an eager pack; and every evaluation has the probe's columns."""
    runs = some_runs(name)
    dataset = dataset_of(runs[0])
    plain = train_stacked(runs, dataset, device=CPU, compiled=False)
    probed = train_stacked(runs, dataset, device=CPU, compiled=False, probes=[[probe], [probe]])
    alone = train(runs[0], dataset, device=CPU, probes=[probe])
    assert bare(probed) == plain
    assert bare([alone]) == [train(runs[0], dataset, device=CPU)]
    for point, other in zip(probed[0].curve, alone.curve, strict=True):
        assert point.probes.keys() == other.probes.keys()
        assert all(column.startswith(f"probe.{probe}.") for column in point.probes)
        assert point.probes or probe in ("statistics_gap", "gradients_time")


@pytest.mark.slow
@pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")
def test_training_with_probes_is_bit_for_bit_training_without_when_compiled() -> None:
    """The compiled step does not know of them."""
    runs = some_runs("mlp-batch")
    dataset = dataset_of(runs[0])
    plain = train_stacked(runs, dataset, device=CPU, compiled=True)
    assert bare(train_stacked(runs, dataset, device=CPU, compiled=True, probes=[REGISTRY, REGISTRY])) == plain


def test_each_run_of_a_pack_has_the_probes_that_it_names() -> None:
    """A neighbour may be looked into in other ways."""
    runs = some_runs("mlp-batch")
    probes = [["gradients"], []]
    first, second = train_stacked(runs, dataset_of(runs[0]), device=CPU, compiled=False, probes=probes)
    assert {name.split(".")[1] for name in first.curve[0].probes} == {"gradients"}
    assert second.curve[0].probes == {}
