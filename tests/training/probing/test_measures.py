"""Each probe against a direct computation in float64: hooks, autograd and numpy on the model in training mode."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from normbench.norms import REGISTRY as NORMS
from normbench.norms import BatchStatistics
from normbench.norms.factory import norm_layers
from normbench.training.probing import REGISTRY
from normbench.training.probing.activations import activations
from normbench.training.probing.dead_units import dead_units
from normbench.training.probing.effective_lr import effective_lr
from normbench.training.probing.gradients import gradients, slope
from normbench.training.probing.ics_ioffe import gaussian_divergence, ics_ioffe
from normbench.training.probing.ics_santurkar import ics_santurkar
from normbench.training.probing.ics_training import ics_training
from normbench.training.probing.landscape import LENGTHS, landscape
from normbench.training.probing.statistics_gap import statistics_gap

from .moments import ARMS, Case, case

SOME = ["mlp-batch", "mlp-none", "resnet-batch", "plain-group", "resnet-instance"]


def weight_layers(model: nn.Module) -> list[str]:
    """Return the linear and convolutional layers; these models define them in the order of their calls."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]


def units(x: Tensor) -> list[np.ndarray]:
    """Return the values of each channel as numpy rows."""
    return [x[:, channel].flatten().numpy() for channel in range(x.shape[1])]


def length(tensors: dict[str, Tensor]) -> float:
    """Return the joint Euclidean norm."""
    return math.sqrt(sum(float((tensor**2).sum()) for tensor in tensors.values()))


@pytest.mark.parametrize("arm", SOME)
def test_activations(arm: str) -> None:
    """Moments and percentiles of each unit before and after each norm, by numpy, averaged over units."""
    made = case(arm)
    found = activations(made.view, made.moment)
    for layer in norm_layers(made.model):
        for place, x in zip(("before", "after"), made.around(made.moment.params, layer)[0], strict=True):
            rows = units(x)
            expected = {"mean": np.mean(rows, axis=1), "deviation": np.std(rows, axis=1)} | {
                f"p{p}": np.percentile(rows, p, axis=1) for p in (15, 50, 85)
            }
            for name, of_units in expected.items():
                wanted = float(np.mean(of_units))
                assert float(found.pop(f"{place}.{name}.{layer}")) == pytest.approx(wanted, rel=1e-12, abs=1e-14)
    assert not found


@pytest.mark.parametrize("arm", SOME)
def test_gradients(arm: str) -> None:
    """Norms by autograd and the slope by numpy, the head left out of it."""
    made = case(arm)
    grads = made.gradients(made.moment.before)
    expected = {f"norm.{layer}": length({"": grads[f"{layer}.weight"]}) for layer in weight_layers(made.model)}
    heights = np.log(list(expected.values())[:-1])
    expected["slope"] = float(np.polyfit(np.arange(len(heights)), heights, 1)[0])
    assert as_floats(gradients(made.view, made.moment)) == pytest.approx(expected)


def test_a_slope_without_a_line_is_nan() -> None:
    """A gradient of zero, or a single layer, has no slope."""
    assert slope(torch.tensor([0.0, 1.0, 2.0]).log()).isnan()
    assert slope(torch.tensor([1.0])).isnan()
    assert slope(torch.tensor([5.0, 3.0, 1.0])) == -2


@pytest.mark.parametrize("arm", SOME)
def test_effective_lr(arm: str) -> None:
    """The rate over the squared norm, and weight times gradient, both before the step."""
    made = case(arm)
    grads = made.gradients(made.moment.before)
    expected, cosines = {}, []
    for layer in weight_layers(made.model):
        weight, grad = made.moment.before[f"{layer}.weight"], grads[f"{layer}.weight"]
        expected[f"rate.{layer}"] = 0.1 / float((weight * weight).sum())
        expected[f"product.{layer}"] = float((weight * grad).sum())
        cosines.append(abs(expected[f"product.{layer}"]) / length({"": weight}) / length({"": grad}))
    expected["cosine"] = sum(cosines[:-1]) / len(cosines[:-1])
    assert as_floats(effective_lr(made.view, made.moment)) == pytest.approx(expected, abs=1e-13)


def test_a_norm_makes_the_product_vanish() -> None:
    """Weights before batch norm are at a right angle to their gradients up to eps; those before none are not."""
    with_norm, without = (effective_lr(made.view, made.moment) for made in (case("mlp-batch"), case("mlp-none")))
    assert with_norm["cosine"] < 1e-4 < 1e-2 < without["cosine"]


@pytest.mark.parametrize("arm", ["mlp-none", "resnet-batch", "plain-layer"])
def test_dead_units(arm: str) -> None:
    """A unit that is made to fall below zero for every sample is counted, in its layer and over all."""
    made = case(arm)
    net = arm.partition("-")[0]
    layer, act = ("layers.1.layer", "layers.1.activation") if net == "mlp" else ("stem.norm", "stem.activation")
    made.moment.params[f"{layer}.bias"][1] = -1e3
    shares = as_floats(dead_units(made.view, made.moment))
    dead = {
        name: np.concatenate([[(row == 0).all() for row in units(after)] for _, after in made.around(params, name)])
        for params in [made.moment.params]
        for name, module in made.model.named_modules()
        if isinstance(module, nn.ReLU)
    }
    assert dead[act][1]
    expected = {f"share.{name}": float(own.mean()) for name, own in dead.items()}
    assert shares == pytest.approx({**expected, "share": float(np.concatenate(list(dead.values())).mean())})


def test_units_of_an_activation_that_is_called_twice_are_counted_twice() -> None:
    """Fixup's blocks share one ReLU: the share is over both its calls."""
    made = case("resnet-none", init="fixup")
    made.moment.params["blocks.0.bias2.bias"].fill_(-1e3)
    first, second = (after for _, after in made.around(made.moment.params, "blocks.0.activation"))
    assert not first.any() and second.any()
    dead = [(row == 0).all() for after in (first, second) for row in units(after)]
    assert dead_units(made.view, made.moment)["share.blocks.0.activation"] == pytest.approx(np.mean(dead))


@pytest.mark.parametrize("arm", ["mlp-none", "mlp-batch", "resnet-batch", "plain-group"])
def test_ics_ioffe(arm: str) -> None:
    """The divergence of the Gaussians of each unit's values, by the textbook formula with logarithms."""
    made = case(arm)
    expected = {}
    for layer in norm_layers(made.model):
        (_, then), (_, now) = (made.around(params, layer)[0] for params in (made.moment.earlier, made.moment.params))
        both = [(row, other) for row, other in zip(units(then), units(now), strict=True)]
        expected[f"drift.{layer}"] = float(np.mean([kl(a, b) + kl(b, a) for a, b in both]))
    expected["drift"] = float(np.mean(list(expected.values())))
    assert as_floats(ics_ioffe(made.view, made.moment)) == pytest.approx(expected)


def kl(one: np.ndarray, other: np.ndarray) -> float:
    """Return KL(N || N') of two samples' Gaussians, their variances raised by 1e-5."""
    p, q = (
        torch.distributions.Normal(torch.tensor(row.mean()), torch.tensor(math.sqrt(row.var() + 1e-5)))
        for row in (one, other)
    )
    return float(torch.distributions.kl_divergence(p, q))


def test_what_has_not_moved_has_no_drift() -> None:
    """The same parameters give zero, and so does a unit that is constant; a shift by one deviation gives one."""
    made = case("mlp-batch")
    still = made.moment._replace(earlier=made.moment.params)
    assert all(float(drift) == pytest.approx(0, abs=1e-12) for drift in ics_ioffe(made.view, still).values())
    constant, unit = torch.tensor([[2.0], [0.0]]), torch.tensor([[0.0], [1.0]])
    assert gaussian_divergence(constant, constant) == 0
    assert gaussian_divergence(unit, torch.tensor([[1.0], [1.0]])) == pytest.approx(1, rel=1e-4)


def test_a_model_without_norm_layers_is_watched_at_its_weights() -> None:
    """Fixup has no norm at all: what comes out of each weight layer but the head is looked at."""
    made = case("resnet-none", init="fixup")
    layers = [key.removeprefix("drift.") for key in ics_ioffe(made.view, made.moment)][:-1]
    assert layers == weight_layers(made.model)[:-1]


@pytest.mark.parametrize("arm", ["mlp-none", "mlp-batch", "resnet-batch", "plain-group", "mlp-batch_noisy"])
def test_ics_training(arm: str) -> None:
    """What goes into each norm and comes out of it in training, noise included, by the textbook formula."""
    made = case(arm)
    counts = {name: buffer for name, buffer in made.moment.buffers.items() if name.endswith("num_batches_tracked")}
    last = {**made.moment.buffers, **{name: count - 1 for name, count in counts.items()}}
    earlier = Case(made.model, made.view, made.moment._replace(buffers=last))
    expected = {}
    for place, name in enumerate(("before", "after")):
        for layer in norm_layers(made.model):
            then, now = earlier.around(made.moment.earlier, layer)[0], made.around(made.moment.params, layer)[0]
            both = zip(units(then[place]), units(now[place]), strict=True)
            expected[f"{name}.{layer}"] = float(np.mean([kl(a, b) + kl(b, a) for a, b in both]))
        expected[name] = float(np.mean([value for key, value in expected.items() if key.startswith(f"{name}.")]))
    assert as_floats(ics_training(made.view, made.moment)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("arm", ["mlp-batch", "resnet-none", "plain-group"])
def test_without_noise_the_next_layer_receives_what_the_norm_puts_out(arm: str) -> None:
    """Both probes agree then, at each layer and on the mean."""
    made = case(arm)
    found, ioffe = as_floats(ics_training(made.view, made.moment)), as_floats(ics_ioffe(made.view, made.moment))
    after = {key.replace("after", "drift"): value for key, value in found.items() if key.startswith("after")}
    assert after == pytest.approx(ioffe)


def test_noise_shifts_what_the_next_layer_receives_of_weights_that_stand_still() -> None:
    """The older probe sees nothing: it looks before the noise is added."""
    made = case("mlp-batch_noisy")
    still = made.moment._replace(earlier=made.moment.params)
    assert ics_ioffe(made.view, still)["drift"] == pytest.approx(0, abs=1e-12)
    assert ics_training(made.view, still)["after"] > 0.05
    assert ics_training(made.view, still)["before.layers.0.norm"] == pytest.approx(0, abs=1e-12)


def test_what_a_norm_is_given_shifts_too() -> None:
    """Behind batch norm a scaled layer has not moved; in front of it, it has."""
    made = case("mlp-batch")
    scaled = {
        name: value * 2 if name.startswith("layers.0.layer") else value for name, value in made.moment.params.items()
    }
    found = ics_training(made.view, made.moment._replace(earlier=scaled))
    assert found["after.layers.0.norm"] < 1e-4 < 1 < found["before.layers.0.norm"]


def test_a_model_without_norm_layers_is_watched_in_front_of_its_weights_too() -> None:
    """Fixup's inputs have other channels than its outputs."""
    made = case("resnet-none", init="fixup")
    found = as_floats(ics_training(made.view, made.moment))
    assert [key.removeprefix("after.") for key in found if key.startswith("after.")] == weight_layers(made.model)[:-1]


@pytest.mark.parametrize("arm", SOME)
def test_ics_santurkar(arm: str) -> None:
    """Gradients of whole models in which the parameters in front of a weight, and no others, have taken the step."""
    made = case(arm)
    moment, grads = made.moment, made.gradients(made.moment.before)
    expected: dict[str, float] = {}
    cosines = {}
    for layer in weight_layers(made.model)[1:]:
        mixed, moved = {}, True
        for name in moment.before:
            moved = moved and name != f"{layer}.weight"
            mixed[name] = moment.params[name] if moved else moment.before[name]
        here, there = grads[f"{layer}.weight"], made.gradients(mixed)[f"{layer}.weight"]
        expected[f"norm.{layer}"] = length({"": here - there})
        cosines[f"cosine.{layer}"] = float((here * there).sum()) / length({"": here}) / length({"": there})
    means = {"norm": float(np.mean(list(expected.values()))), "cosine": float(np.mean(list(cosines.values())))}
    found = as_floats(ics_santurkar(made.view, moment))
    assert found == pytest.approx({**expected, **cosines, **means})
    assert found["cosine"] < 0.999


def test_layers_above_shift_nothing() -> None:
    """Where only the head has moved, every gradient stays as it was."""
    made = case("mlp-batch")
    only_head = {**made.moment.before, "head.weight": made.moment.params["head.weight"]}
    found = ics_santurkar(made.view, made.moment._replace(params=only_head))
    assert float(found["norm"]) == pytest.approx(0, abs=1e-12) and float(found["cosine"]) == pytest.approx(1)


@pytest.mark.parametrize("arm", SOME)
def test_landscape(arm: str) -> None:
    """Losses and gradients of whole models at eight places along the step."""
    made = case(arm)
    before, after = made.moment.before, made.moment.params
    grads = made.gradients(before)
    step = {name: after[name] - before[name] for name in before}
    losses, changes, slopes = [], [], []
    for multiple in LENGTHS:
        there = {name: before[name] + multiple * step[name] for name in before}
        losses.append(made.loss(there))
        changes.append(length({name: grad - grads[name] for name, grad in made.gradients(there).items()}))
        slopes.append(changes[-1] / (multiple * length(step)))
    assert as_floats(landscape(made.view, made.moment)) == pytest.approx(
        {
            "loss_range": max(losses) - min(losses),
            "gradient_range": max(changes) - min(changes),
            "smoothness": max(slopes),
        }
    )


def test_the_places_reach_from_half_a_step_to_four() -> None:
    """Eight of them, at equal ratios."""
    assert (LENGTHS[0], LENGTHS[-1], len(LENGTHS)) == (0.5, 4, 8)
    assert np.ptp(np.diff(np.log(LENGTHS))) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("arm", ["mlp-batch", "resnet-batch", "plain-batch"])
def test_statistics_gap(arm: str) -> None:
    """Running statistics against numpy's of what each norm is given, and accuracies of the model in both modes."""
    made = case(arm)
    moment = made.moment
    expected = {}
    for layer in norm_layers(made.model):
        before, _ = made.around(moment.params, layer)[0]
        mean, var = (np.array([f(row) for row in units(before)]) for f in (np.mean, lambda row: np.var(row, ddof=1)))
        r, q = (moment.buffers[f"{layer}.running_{name}"].numpy() for name in ("mean", "var"))
        expected[f"mean.{layer}"] = float(np.mean(np.abs(r - mean) / np.sqrt(var + 1e-5)))
        expected[f"var.{layer}"] = float(np.mean(np.abs(np.log((q + 1e-5) / (var + 1e-5)))))
    for key in ("mean", "var"):
        expected[key] = float(np.mean([value for name, value in expected.items() if name.startswith(f"{key}.")]))
    right = [
        float(
            (made.trained(moment.params).train(mode)(moment.batch["images"]).argmax(1) == moment.batch["labels"])
            .double()
            .mean()
        )
        for mode in (False, True)
    ]
    assert as_floats(statistics_gap(made.view, moment)) == pytest.approx({**expected, "accuracy": right[0] - right[1]})


def test_exact_running_statistics_leave_no_gap() -> None:
    """With momentum 1 a forward over the samples makes them the population's."""
    made = case("mlp-batch", chunk=4)
    model = made.trained(made.moment.params)
    for norm in norm_layers(model).values():
        norm.momentum, norm.norm_batch_size = 1.0, None  # type: ignore[assignment]  # nn.Module takes any attribute
    model(made.moment.batch["images"])
    found = statistics_gap(made.view, made.moment._replace(buffers=dict(model.named_buffers())))
    assert float(found["mean"]) == pytest.approx(0, abs=1e-12) and float(found["var"]) == pytest.approx(0, abs=1e-12)


WITHOUT_STATISTICS = [arm for arm in ARMS if not issubclass(NORMS[arm.split("-")[1]], BatchStatistics)]


@pytest.mark.parametrize("arm", WITHOUT_STATISTICS)
def test_a_model_without_running_statistics_has_no_gap(arm: str) -> None:
    """There is no column then, rather than one of zeros."""
    made = case(arm)
    assert statistics_gap(made.view, made.moment) == {}


@pytest.mark.parametrize("probe", REGISTRY)
@pytest.mark.parametrize("arm", ["mlp-batch", "resnet-batch"])
def test_chunks_matter_only_where_statistics_do(arm: str, probe: str) -> None:
    """Every probe sees the norm batch that training has, but for the one that is about populations."""
    whole, chunked = ({**as_floats(REGISTRY[probe].measure(m.view, m.moment))} for m in both(arm))
    assert whole.keys() == chunked.keys()
    same = whole == pytest.approx(chunked, nan_ok=True)
    assert same == (probe in {"statistics_gap", "dead_units", "gradients_time"})


def both(arm: str) -> tuple[Case, Case]:
    """Return a model with the whole batch as its norm batch, and the same with chunks of 4."""
    return case(arm), case(arm, chunk=4)


def as_floats(scalars: dict[str, Tensor]) -> dict[str, float]:
    """Return the scalars as numbers; each must be ()."""
    assert all(value.shape == () for value in scalars.values())
    return {name: float(value) for name, value in scalars.items()}
