"""Tests of what every model does with every norm."""

import inspect
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from normbench.errors import ImpossibleRunError
from normbench.models.dials import Dials
from normbench.models.dropout import draw_masks
from normbench.models.initialization import initialize
from normbench.models.registry import REGISTRY, TAKES, refuse_other_inputs
from normbench.norms import CHOICES, NormFactory
from normbench.norms import REGISTRY as NORMS
from normbench.randomness import generator
from normbench.shapes import PairShape, SequenceShape

CONF = Path(__file__).parents[2] / "conf"
SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"width": 8, "depth": 2},
    "resnet": {"depth": 8, "width": 4},
    "plain": {"depth": 8, "width": 4},
    "vgg": {"depth": 2, "width": 4},
    "resnet18": {},
    "resnet34": {},
    "resnet50": {},
}
TORCHVISION = ("resnet18", "resnet34", "resnet50")
OTHERS = ("torchvision", "timm", "own")
"""Models that are built elsewhere, see test_replacement.py."""
OWN = [name for name in REGISTRY if name not in (*TORCHVISION, *OTHERS, *TAKES)]
"""Models of images; tests/models/sequences has the others."""
NEEDS_MAPS = ("instance", "frn", "evonorm_b0", "switchable")
ACTIVATING = tuple(name for name, norm in NORMS.items() if NormFactory(norm).includes_activation)
NEEDS_OWN_LAYERS = (*ACTIVATING, *(name for name, norm in NORMS.items() if NormFactory(norm).changes_weights))


def _fits(model: str, norm: str) -> bool:
    return not (model == "mlp" and norm in NEEDS_MAPS) and not (model in TORCHVISION and norm in NEEDS_OWN_LAYERS)


PAIRS = [(model, norm) for model in (*OWN, *TORCHVISION) for norm in NORMS if _fits(model, norm)]
PLACED = [
    (model, norm, placement)
    for model, norm in PAIRS
    for placement in ("before", "after")
    # A norm that includes its activation comes after none.
    if model in OWN and not (placement == "after" and norm in ACTIVATING)
]


def _image(model: str) -> tuple[int, int, int]:
    return (3, 64, 64) if model in TORCHVISION else (3, 8, 8)


def _build(model: str, norm: str, seed: int = 0, **settings: Any) -> nn.Module:
    module = REGISTRY[model](_image(model), 5, NormFactory(NORMS[norm]), **{**SMALL[model], **settings})
    initialize(module, lambda name: generator(seed, name))
    return module


@pytest.mark.parametrize(("model", "norm"), PAIRS, ids=str)
def test_every_model_takes_every_norm_on_the_meta_device(model: str, norm: str) -> None:
    """A training forward and backward without data gives logits and a gradient for each parameter."""
    with torch.device("meta"):
        module = REGISTRY[model](_image(model), 5, NormFactory(NORMS[norm]), **SMALL[model])
        logits = module(torch.zeros(2, *_image(model)))
    torch.autograd.backward(logits.sum())
    assert logits.shape == (2, 5)
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize(("model", "norm"), [pair for pair in PAIRS if pair[0] in OWN], ids=str)
def test_an_initial_bias_changes_nothing_but_the_bias_of_each_hidden_layer(model: str, norm: str) -> None:
    """One parameter a hidden layer starts at the bias; weights and the head are those without it."""
    without = _build(model, norm).state_dict()
    params = dict(_build(model, norm, bias_init=-0.5).named_parameters())
    changed = {name for name, param in params.items() if not torch.equal(param, without[name])}
    betas = {name for name in params if name.endswith("norm.bias")}
    assert changed == (betas or {name for name in params if name.endswith("layer.bias")})
    assert len(changed) == sum(name.endswith("layer.weight") for name in params)
    assert all((params[name] == -0.5).all() for name in changed)


@pytest.mark.parametrize(("model", "norm", "placement"), PLACED, ids=str)
def test_every_model_trains_with_every_norm(model: str, norm: str, placement: str) -> None:
    """Loss and gradients are finite and reach the first layer, in float64, whatever the norm's place."""
    module = _build(model, norm, norm_placement=placement).double()
    x = torch.randn(4, *_image(model), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    loss = nn.functional.cross_entropy(module(x), torch.tensor([0, 1, 2, 3]))
    torch.autograd.backward(loss)
    gradients = [parameter.grad for parameter in module.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert gradients[0] is not None
    assert gradients[0].any()
    assert module.eval()(x).shape == (4, 5)


@pytest.mark.parametrize("model", OWN)
def test_norms_share_the_initial_weights(model: str) -> None:
    """Arms with one seed differ in their norms, not in their initial weights."""
    reference = {name: value for name, value in _build(model, "none").named_parameters() if value.ndim > 1}
    for norm in NORMS:
        module = _build(model, norm)
        weights = {name: value for name, value in module.named_parameters() if value.ndim > 1}
        assert weights.keys() == reference.keys()
        assert all(torch.equal(value, reference[name]) for name, value in weights.items())


@pytest.mark.parametrize(
    ("model", "norm", "settings"),
    [
        ("mlp", "batch", {"dropout": 0.5}),
        ("mlp", "layer", {}),
        ("resnet", "batch", {"dropout": 0.5}),
        ("resnet", "group", {"norm_placement": "after"}),
        ("resnet", "none", {"init": "skipinit"}),
        ("resnet", "none", {"init": "fixup"}),
        ("plain", "instance", {}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value),
)
def test_stacked_runs_equal_a_loop(model: str, norm: str, settings: dict[str, Any]) -> None:
    """vmap of grad over stacked runs gives each run's gradients and buffers."""
    runs = [_build(model, norm, seed, **settings).double() for seed in range(2)]
    for seed, run in enumerate(runs):
        draw_masks(run, 4, generator(seed, "dropout"))
    parameters, buffers = stack_module_state(runs)
    x = torch.randn(2, 4, *_image(model), dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3])

    def loss(p: dict[str, Tensor], b: dict[str, Tensor], x: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(runs[0], (p, b), (x,)), labels)

    stacked = torch.func.vmap(torch.func.grad(loss))(parameters, buffers, x)
    for index, run in enumerate(runs):
        torch.autograd.backward(nn.functional.cross_entropy(run(x[index]), labels))
        alone = {name: parameter.grad for name, parameter in run.named_parameters()}
        torch.testing.assert_close({name: gradient[index] for name, gradient in stacked.items()}, alone)
        for name, buffer in run.named_buffers():
            torch.testing.assert_close(buffers[name][index], buffer)


def test_a_step_compiles_into_one_graph() -> None:
    """Dynamo takes a training step of stacked runs with dropout and ghost batches whole."""
    torch._dynamo.reset()
    factory = NormFactory(NORMS["batch"], {"norm_batch_size": 2})
    runs = [REGISTRY["mlp"]((1, 2, 2), 3, factory, width=4, depth=2, dropout=0.5) for _ in range(2)]
    for seed, run in enumerate(runs):
        initialize(run, lambda name, seed=seed: generator(seed, name))  # type: ignore[misc]  # bound per run
        draw_masks(run, 4, generator(seed, "dropout"))
    parameters, buffers = stack_module_state(runs)
    x = torch.randn(2, 4, 1, 2, 2)

    def step(p: dict[str, Tensor], b: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        gradient = torch.func.grad(lambda p, b, x: functional_call(runs[0], (p, b), (x,)).square().sum())
        gradients: dict[str, Tensor] = torch.func.vmap(gradient)(p, b, x)
        return gradients

    eager_buffers = {name: buffer.clone() for name, buffer in buffers.items()}
    wanted = step(parameters, eager_buffers, x)
    compiled = torch.compile(step, backend="aot_eager", fullgraph=True)(parameters, buffers, x)
    torch.testing.assert_close(compiled, wanted)
    torch.testing.assert_close(buffers, eager_buffers)


def _keywords(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


@pytest.mark.parametrize("name", REGISTRY)
def test_the_yaml_of_a_model_holds_its_defaults(name: str) -> None:
    """conf/model names the model first and gives every keyword its default."""
    conf = yaml.safe_load((CONF / "model" / f"{name}.yaml").read_text())
    assert conf["name"] == name
    keywords = _keywords(REGISTRY[name])
    if "dials" in inspect.signature(REGISTRY[name]).parameters:
        keywords |= asdict(Dials())
    keywords["weights"] = None
    assert {key: value for key, value in conf.items() if key not in ("name", "_target_")} == keywords


@pytest.mark.parametrize("name", NORMS)
def test_the_yaml_of_a_norm_holds_its_defaults(name: str) -> None:
    """conf/norm gives every keyword its default but norm_batch_size, a key of the run, and activated, the model's."""
    conf = yaml.safe_load((CONF / "norm" / f"{name}.yaml").read_text())
    assert next(iter(conf.items())) == ("name", name)
    keywords = _keywords(NORMS[name])
    keywords.pop("norm_batch_size", None)
    keywords.pop("activated", None)
    assert {key: value for key, value in conf.items() if key != "name"} == keywords


@pytest.mark.parametrize(("group", "registry"), [("model", REGISTRY), ("norm", CHOICES)], ids=["model", "norm"])
def test_every_yaml_has_an_entry(group: str, registry: dict[str, Any]) -> None:
    """The files of conf and the registry name the same things."""
    assert {path.stem for path in (CONF / group).glob("*.yaml")} == set(registry)


SEQUENCE = SequenceShape(4, vocabulary=3)
MISMATCHES = {
    "images": ("rnn", (1, 8, 8), "model=rnn takes sequences, and task=mine gives images; choose model=mlp or"),
    "sequences": (
        "mlp",
        SEQUENCE,
        "model=mlp takes images, and task=mine gives sequences; choose model=rnn or model=transformer.",
    ),
    "pairs": (
        "transformer",
        PairShape(SEQUENCE, SEQUENCE),
        "model=transformer takes sequences, and task=mine gives pairs of sequences; choose model=seq2seq.",
    ),
}


@pytest.mark.parametrize(("model", "shape", "message"), MISMATCHES.values(), ids=MISMATCHES)
def test_inputs_that_a_model_does_not_take_are_refused(model: str, shape: tuple[object, ...], message: str) -> None:
    """The message names the models that do."""
    with pytest.raises(ImpossibleRunError, match=message):
        refuse_other_inputs(model, shape, "mine")


def test_a_model_of_ones_own_takes_all_inputs() -> None:
    """And images may be told by a plain tuple of any kind."""
    for shape in ((1, 8, 8), torch.Size((1, 8, 8)), SEQUENCE, PairShape(SEQUENCE, SEQUENCE)):
        refuse_other_inputs("own", shape, "mine")
    refuse_other_inputs("mlp", torch.Size((1, 8, 8)), "mine")
