"""Where batch norm stands in the architectures that people build."""

from collections.abc import Sequence
from typing import Literal

import torch

from normbench.properties.data_flow import NormPlace, places
from normbench.properties.finding import Citation, Finding
from normbench.properties.published import Architecture, has_batch_norm, torchvision_architectures, without_memory

_USUAL = 0.75

PREACTIVATION = Citation(
    ("He", "Zhang", "Ren", "Sun"),
    2016,
    "Identity Mappings in Deep Residual Networks",
    "ECCV 2016, arXiv:1603.05027; built in timm as resnetv2_50",
    "puts the first norm of each block before its first convolution",
)


def standard_placement(
    architectures: Sequence[Architecture] | None = None, *, exception: Citation = PREACTIVATION
) -> Finding:
    """Judge whether batch norm usually stands between a linear layer and the activation, by following forward passes.

    Of each architecture, the first model that has batch norm counts. The architecture has the placement if more than
    half of the model's batch norms take the output of a convolution or linear layer and pass theirs to an activation,
    directly or in a residual sum.

    Args:
        architectures: Architectures with models for images (3, 224, 224); None takes torchvision's.
        exception: A known exception that is not among them.

    Returns:
        `supported` if at least three quarters of the architectures with batch norm have the placement, `refuted` if
        less than half or none has batch norm, otherwise `inconclusive`.
    """
    with_batch_norm: dict[str, list[NormPlace]] = {}
    layer_norms: list[NormPlace] = []
    for architecture in torchvision_architectures() if architectures is None else architectures:
        name, found = _first_with_batch_norm(architecture)
        layer_norms += [place for place in found if place.norm == "layer_norm"]
        if own := [place for place in found if place.norm == "batch_norm"]:
            with_batch_norm[name] = own
    norms = [place for found in with_batch_norm.values() for place in found]
    others = {name: _share(found) for name, found in with_batch_norm.items() if _share(found) <= 0.5}
    usual = 1 - len(others) / len(with_batch_norm) if with_batch_norm else 0.0
    numbers = {
        "architectures_with_batch_norm": float(len(with_batch_norm)),
        "architectures_with_the_placement": float(len(with_batch_norm) - len(others)),
        "batch_norms": float(len(norms)),
        "after_linear": float(sum(place.after_linear for place in norms)),
        "after_activation": float(sum(place.after_activation for place in norms)),
        "before_activation": float(sum(place.before_activation for place in norms)),
        "between": float(sum(place.between for place in norms)),
        "layer_norms": float(len(layer_norms)),
        "layer_norms_between": float(sum(place.between for place in layer_norms)),
    }
    evidence = (
        f"In {numbers['architectures_with_the_placement']:g} of {len(with_batch_norm)} architectures more than half of "
        f"the batch norms stand between a convolution or linear layer and an activation (not in: {_shares(others)}). "
        f"Of all {len(norms)} batch norms {numbers['after_linear']:g} directly follow a convolution or linear layer, "
        f"{numbers['between']:g} of them before an activation, and {numbers['after_activation']:g} follow an "
        f"activation. Of {len(layer_norms)} layer norms {numbers['layer_norms_between']:g} stand between. "
        f"An exception by design: {exception} {exception.shows}."
    )
    verdict: Literal["supported", "inconclusive", "refuted"] = (
        "supported" if usual >= _USUAL else "inconclusive" if usual >= 0.5 else "refuted"
    )
    return Finding(verdict, "read off", evidence, numbers)


def _first_with_batch_norm(architecture: Architecture) -> tuple[str, list[NormPlace]]:
    """Return the name and places of its first model with batch norm; of its last model if none has it."""
    models = ((name, without_memory(build)) for name, build in architecture.builders.items())
    for name, model in models:  # noqa: B007  # both are used after the loop
        if has_batch_norm(model):
            break
    return name, places(model, torch.zeros(1, 3, 224, 224, device="meta"))


def _share(found: Sequence[NormPlace]) -> float:
    return sum(place.between for place in found) / len(found)


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} ({share:.0%})" for name, share in shares.items()) or "none"
