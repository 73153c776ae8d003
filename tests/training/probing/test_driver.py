"""The driver: R runs as one, nothing changed by looking, and each probe compared with the right past."""

import copy
from typing import Any

import pytest
import torch
from problems import CPU, dataset_of, problem
from torch import Tensor

from normbench.errors import ConfigError
from normbench.training.probing import REGISTRY
from normbench.training.probing.driver import Probes
from normbench.training.probing.view import Moment
from normbench.training.setup import Setup, set_up
from normbench.training.solo import take_step

from .moments import ARMS, SAMPLES, TASK, case, stacked

ALL = tuple(REGISTRY)


def driver(moment: Moment, model: torch.nn.Module, *, names: tuple[str, ...] = ALL, **settings: Any) -> Probes:
    """Return probes of a made-up moment, whole batches as norm batches."""
    wanted: dict[str, Any] = {"norm_batch_size": SAMPLES, "task": TASK, "batch": moment.batch} | settings
    return Probes(names, model, moment.earlier, **wanted)


def look(probes: Probes, moment: Moment) -> dict[str, list[float]]:
    """Take the step of a moment."""
    probes.before_step(moment.before)
    return probes.look(moment.params, moment.buffers, moment.lr)


@pytest.mark.parametrize("together", [None, 2], ids=["at once", "by twos"])
@pytest.mark.parametrize("arm", [*ARMS, "resnet-batch_noisy"])
def test_stacked_runs_are_each_as_alone(arm: str, together: int | None) -> None:
    """Three runs under vmap have the numbers that each has by itself, for every probe and column."""
    cases = [case(arm, seed=seed) for seed in range(3)]
    alone = [look(driver(made.moment, made.model), made.moment) for made in cases]
    joint = Moment(**stacked([made.moment for made in cases]))
    found = look(driver(joint, cases[0].model, stacked=True, together=together), joint)
    assert found == {
        column: pytest.approx([one[column][0] for one in alone], rel=1e-9, abs=1e-12, nan_ok=True) for column in found
    }
    assert found.keys() == alone[0].keys()


@pytest.mark.parametrize("arm", ["mlp-batch", "resnet-group"])
def test_numbers_are_those_of_the_probes(arm: str) -> None:
    """A column is named by its probe, and the driver adds nothing to what the probe measures."""
    made = case(arm)
    found = look(driver(made.moment, made.model), made.moment)
    expected = {
        f"probe.{name}.{key}": [pytest.approx(float(value), nan_ok=True)]
        for name, probe in REGISTRY.items()
        for key, value in probe.measure(made.view, made.moment).items()
    }
    assert found == expected and list(found) == list(expected)


@pytest.mark.parametrize("arm", ["mlp-batch", "mlp-none", "plain-instance"])
def test_columns_are_known_before_the_first_look(arm: str) -> None:
    """They are those that a look yields, by probe, for one run and for stacked ones."""
    made = case(arm)
    probes = driver(made.moment, made.model)
    columns = probes.columns(made.moment.params, made.moment.buffers)
    assert list(columns) == list(ALL)
    assert [column for own in columns.values() for column in own] == list(look(probes, made.moment))
    joint = Moment(**stacked([made.moment]))
    assert driver(joint, made.model, stacked=True).columns(joint.params, joint.buffers) == columns
    assert bool(columns["statistics_gap"]) == arm.endswith("-batch")


def test_drift_is_since_the_last_look() -> None:
    """The first look compares with the beginning, the second with the first: nothing has moved since."""
    made = case("mlp-batch")
    probes = driver(made.moment, made.model, names=("ics_ioffe",))
    assert look(probes, made.moment)["probe.ics_ioffe.drift"][0] > 1e-3
    assert look(probes, made.moment)["probe.ics_ioffe.drift"] == pytest.approx([0], abs=1e-12)


def test_a_past_that_is_overwritten_is_still_known() -> None:
    """Training changes its tensors in place: what was handed over before the step, and before that, was copied."""
    made = case("mlp-batch")
    live = copy.deepcopy(made.moment.earlier)
    probes = driver(made.moment._replace(earlier=live), made.model)
    for name, tensor in live.items():
        tensor.copy_(made.moment.before[name])
    probes.before_step(live)
    for name, tensor in live.items():
        tensor.copy_(made.moment.params[name])
    found = probes.look(live, made.moment.buffers, made.moment.lr)
    assert found == look(driver(made.moment, made.model), made.moment)


def test_a_checkpoint_carries_the_last_look() -> None:
    """Probes that are restored go on as those that were never interrupted."""
    made = case("mlp-batch")
    later = made.moment._replace(params=made.moment.before)
    going, resumed = (driver(made.moment, made.model, names=("ics_ioffe",)) for _ in range(2))
    look(going, made.moment)
    resumed.restore(copy.deepcopy(going.state()))
    assert look(resumed, later) == look(going, later)
    assert driver(made.moment, made.model, names=("gradients",)).state() == {}


def test_samples_that_fill_no_chunk_are_left_out() -> None:
    """Twelve samples in chunks of 5 are ten; a norm batch beyond the samples takes all of them."""
    made = case("mlp-batch")
    short = made.moment._replace(batch={name: field[:10] for name, field in made.moment.batch.items()})
    names = ("gradients", "dead_units", "landscape")
    ten, twelve = (driver(m, made.model, names=names, norm_batch_size=5) for m in (short, made.moment))
    assert look(ten, short) == look(twelve, made.moment)
    assert driver(made.moment, made.model, norm_batch_size=64).view.norm_batch_size is None


def test_an_unknown_probe_is_refused() -> None:
    """The message lists those that there are."""
    made = case("mlp-batch")
    with pytest.raises(ConfigError, match=r"unknown probe 'gradient'; did you mean 'gradients'\?.*landscape"):
        driver(made.moment, made.model, names=("gradient",))


def test_no_probes_look_at_nothing() -> None:
    """An empty choice yields no column."""
    made = case("mlp-batch")
    assert look(driver(made.moment, made.model, names=()), made.moment) == {}


def trained(name: str, probed: bool) -> tuple[Setup, list[Tensor], list[dict[str, list[float]]]]:
    """Return a training after four steps, its generators' states, and what the probes saw after the last two."""
    setup = set_up(problem(name), dataset_of(problem(name)), CPU)
    held = setup.parts.train[:40]
    index = setup.parts.train[:16]
    batch, rate = setup.parts.batch(setup.dataset, index), torch.tensor(0.05)
    torch.manual_seed(5)
    probes = Probes(
        ALL if probed else (),
        setup.model,
        setup.params,
        task=setup.task,
        batch=setup.parts.batch(setup.dataset, held),
        norm_batch_size=setup.evaluator.norm_batch_size,
    )
    seen = []
    for step in range(4):
        if step >= 2:
            probes.before_step(setup.params)
        take_step(setup, batch, rate)
        if step >= 2:
            seen.append(probes.look(setup.params, dict(setup.model.named_buffers()), 0.05))
    return setup, [torch.get_rng_state(), setup.masks.get_state(), setup.crops.get_state()], seen


@pytest.mark.parametrize(
    "name",
    ["mlp-batch", "mlp-none", "mlp-batch_noisy", "resnet-batch-ghost", "plain-layer", "resnet-batch-untracked"],
)
def test_looking_changes_nothing(name: str) -> None:
    """Weights, buffers, momenta and every random state are bit for bit those of the training without probes."""
    (one, random, seen), (other, same, _) = trained(name, True), trained(name, False)
    assert len(seen[-1]) > 40
    torch.testing.assert_close(one.model.state_dict(), other.model.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(one.optimizer.state(), other.optimizer.state(), rtol=0, atol=0)
    assert all(torch.equal(a, b) for a, b in zip(random, same, strict=True))
    assert all(module.training and not module._forward_hooks for module in one.model.modules())


def test_looking_twice_sees_the_same() -> None:
    """The numbers are bit for bit those of another training of the same seed."""
    assert str(trained("resnet-batch", True)[2]) == str(trained("resnet-batch", True)[2])


def test_a_moment_is_left_as_it_was() -> None:
    """No tensor that is handed over changes, stacked or not."""
    made = case("resnet-batch")
    joint = Moment(**stacked([made.moment, case("resnet-batch", seed=1).moment]))
    for moment, is_stacked in ((made.moment, False), (joint, True)):
        kept = copy.deepcopy(moment)
        look(driver(moment, made.model, stacked=is_stacked), moment)
        torch.testing.assert_close(moment._asdict(), kept._asdict(), rtol=0, atol=0)
