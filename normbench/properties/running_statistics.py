"""Running statistics and the gradients of training."""

from itertools import pairwise

from torch import Tensor

from normbench.norms import BatchNorm
from normbench.norms.factory import NormFactory
from normbench.properties.finding import Finding
from normbench.properties.small_problem import ModelMaker, NormMaker, initial, small_mlp, train

_STEPS = 20


def running_stats_fix_gradients(
    norm: NormMaker = BatchNorm,
    *,
    build: ModelMaker = small_mlp,
    momenta: tuple[float, ...] = (0.0, 0.1, 1.0),
) -> Finding:
    """Judge whether running averages mitigate gradient problems: train with different averages, compare the weights.

    Training normalises with batch statistics and only writes the running ones, so no gradient can depend on them.

    Args:
        norm: Called as ``norm(num_features, momentum=...)``.
        build: Makes the model.
        momenta: Weights of the newest statistics in the running ones.

    Returns:
        `refuted` if all weights are bit for bit the same; `supported` if they differ; `inconclusive` if the momenta
        give the same running statistics, so that nothing was tested.
    """
    models = [initial(build, NormFactory(norm, {"momentum": momentum})) for momentum in momenta]
    for model in models:
        train(model, steps=_STEPS)
    weights = _largest_gap([dict(model.named_parameters()) for model in models])
    averages = _largest_gap([dict(model.named_buffers()) for model in models])
    numbers = {"steps": float(_STEPS), "largest_weight_gap": weights, "largest_running_statistics_gap": averages}
    listed = ", ".join(f"{momentum:g}" for momentum in momenta)
    if averages == 0:
        evidence = f"Momenta {listed} left the same running statistics, so nothing was compared."
        return Finding("inconclusive", "no contrast", evidence, numbers)
    if weights == 0:
        evidence = (
            f"After {_STEPS} steps with momentum {listed} the running statistics differ by up to {averages:.2g} and "
            "every weight is bit for bit the same: no gradient reads them."
        )
        return Finding("refuted", "disproved", evidence, numbers)
    evidence = f"After {_STEPS} steps with momentum {listed} weights differ by up to {weights:.2g}."
    return Finding("supported", "running statistics act on training", evidence, numbers)


def _largest_gap(states: list[dict[str, Tensor]]) -> float:
    """Return the largest difference between entries of consecutive states, 0 only if all are equal."""
    gaps = [
        float((one[name].detach().double() - other[name].detach().double()).abs().max())
        for one, other in pairwise(states)
        for name in one
    ]
    return max(gaps, default=0.0)
