"""Torchvision's classification models by the paper that each comes from, built without memory for their weights."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d+)")

_OWN_ARGUMENTS: dict[str, dict[str, Any]] = {
    # Left out, they warn; drawn, they take seconds.
    "googlenet": {"init_weights": False},
    "inception_v3": {"init_weights": False},
}

_UNNAMED = {"squeezenet1_1": "1602.07360"}
"""Papers of the models whose documentation names none: it names the code of SqueezeNet's authors."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """An architecture, as one paper published it.

    Attributes:
        paper: arXiv number.
        year: Year of the arXiv number.
        builders: Make its models, for images (3, H, W), by name.
    """

    paper: str
    year: int
    builders: dict[str, Callable[[], nn.Module]]

    @property
    def name(self) -> str:
        """Name of its first model."""
        return next(iter(self.builders))


def torchvision_architectures() -> tuple[Architecture, ...]:
    """Return every classification model of torchvision by paper, in the order of publication.

    The paper is the first arXiv number that the documentation of the model names. A model without one has no year and
    is left out.
    """
    # Torchvision takes seconds to import; only facts need it here.
    import torchvision

    models = torchvision.models
    found: dict[str, Architecture] = {}
    for name in models.list_models(module=models):
        named = _ARXIV.search(models.get_model_builder(name).__doc__ or "")
        paper = named[1] if named else _UNNAMED.get(name)
        if paper is None:
            continue
        architecture = found.setdefault(paper, Architecture(paper, 2000 + int(paper[:2]), {}))
        architecture.builders[name] = partial(models.get_model, name, **_OWN_ARGUMENTS.get(name, {}))
    return tuple(found[paper] for paper in sorted(found))


def without_memory(build: Callable[[], nn.Module]) -> nn.Module:
    """Return a model on the meta device, in evaluation mode.

    Values that a constructor computes with are real: torchvision's RegNet takes its widths from tensors.
    """
    with torch.random.fork_rng(devices=[]), _WeightsOnMeta():
        model = build()
    return model.to("meta").eval()


def has_batch_norm(model: nn.Module) -> bool:
    """Return whether a model has a batch norm layer."""
    return any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) for module in model.modules())


class _WeightsOnMeta(TorchFunctionMode):
    """Allocates no weights and initialises none."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs | {"device": "meta"} if func is torch.empty else kwargs))
