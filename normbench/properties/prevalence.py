"""How many architectures have batch norm, by the year of their paper."""

from collections.abc import Sequence

from torch import nn

from normbench.properties.finding import Finding
from normbench.properties.published import Architecture, has_batch_norm, torchvision_architectures, without_memory

_STANDARD = 0.75
_PERIODS = {"before_2015": range(2015), "2015_to_2019": range(2015, 2020), "since_2020": range(2020, 9999)}
"""Batch norm was introduced in 2015, the first vision transformer in 2020."""


def standard_in_architectures(architectures: Sequence[Architecture] | None = None) -> Finding:
    """Judge whether batch norm is standard in modern architectures, by counting those that have it.

    An architecture is a paper, and has batch norm if each of its models has. Modern are those since 2015, when batch
    norm was introduced, in two periods: until 2019, and since 2020.

    Args:
        architectures: Architectures by paper; None takes torchvision's.

    Returns:
        `supported` if at least three quarters of the architectures of each period have batch norm, `refuted` if less
        than half of each, otherwise `inconclusive`: it depends on the period.
    """
    architectures = torchvision_architectures() if architectures is None else architectures
    norms = {one.paper: [_norms_of(without_memory(build)) for build in one.builders.values()] for one in architectures}
    numbers = {"architectures": float(len(architectures)), **_by_model([has for one in norms.values() for has in one])}
    shares, counts = {}, {}
    for name, years in _PERIODS.items():
        period = [one for one in architectures if one.year in years]
        lacking = [one for one in period if not all("batch" in has for has in norms[one.paper])]
        having = len(period) - len(lacking)
        without = ", ".join(f"{one.name} {one.year}" for one in lacking) or "none"
        counts[name] = f"{having} of {len(period)} (without it: {without})"
        shares[name] = having / len(period) if period else 0.0
        numbers |= {f"architectures_{name}": float(len(period)), f"with_batch_norm_{name}": float(having)}
    evidence = (
        f"Of {len(architectures)} architectures, batch norm is in {counts['2015_to_2019']} of 2015 to 2019, and in "
        f"{counts['since_2020']} since 2020. Of their {numbers['models']:g} models, {numbers['models_with_batch']:g} "
        f"have batch norm, {numbers['models_with_layer']:g} layer norm, {numbers['models_with_both']:g} both and "
        f"{numbers['models_with_neither']:g} neither."
    )
    before, since = shares["2015_to_2019"], shares["since_2020"]
    if min(before, since) >= _STANDARD:
        return Finding("supported", "read off", evidence, numbers)
    if max(before, since) < 0.5:
        return Finding("refuted", "read off", evidence, numbers)
    return Finding("inconclusive", f"{_word(before)} until 2019, {_word(since)} since", evidence, numbers)


def _by_model(models: Sequence[set[str]]) -> dict[str, float]:
    counts = {
        "models": len(models),
        "models_with_batch": sum("batch" in has for has in models),
        "models_with_layer": sum("layer" in has for has in models),
        "models_with_both": sum(len(has) == 2 for has in models),
        "models_with_neither": sum(not has for has in models),
    }
    return {name: float(count) for name, count in counts.items()}


def _norms_of(model: nn.Module) -> set[str]:
    has = {"batch"} if has_batch_norm(model) else set()
    return has | ({"layer"} if any(isinstance(module, nn.LayerNorm) for module in model.modules()) else set())


def _word(share: float) -> str:
    return "standard" if share >= _STANDARD else "common" if share >= 0.5 else "not standard"
