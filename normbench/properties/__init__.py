"""Claims that need no experiment: exactly computed properties, and facts.

Each check takes its subject (a norm, a model, a citation) as an argument, so that tests can show it to fail.
"""

from collections.abc import Callable

from normbench.properties.architectures import bert_uses_bn, resnet_uses_bn
from normbench.properties.finding import Citation, Finding
from normbench.properties.independence import sample_independence
from normbench.properties.leakage import bn_leaks_time
from normbench.properties.literature import history_2015, sota_required
from normbench.properties.placement import standard_placement
from normbench.properties.prevalence import standard_in_architectures
from normbench.properties.running_statistics import running_stats_fix_gradients
from normbench.properties.scale import scale_invariance
from normbench.properties.standardization import affine_restores_capacity, standardized_outputs
from normbench.properties.tiny_batch import tiny_norm_batch

CHECKS: dict[str, Callable[[], Finding]] = {
    "running_stats_fix_gradients": running_stats_fix_gradients,
    "standardized_outputs": standardized_outputs,
    "affine_restores_capacity": affine_restores_capacity,
    "tiny_norm_batch": tiny_norm_batch,
    "scale_invariance": scale_invariance,
    "sample_independence": sample_independence,
    "bn_leaks_time": bn_leaks_time,
    "resnet_uses_bn": resnet_uses_bn,
    "bert_uses_bn": bert_uses_bn,
    "history_2015": history_2015,
    "sota_required": sota_required,
    "standard_placement": standard_placement,
    "standard_in_architectures": standard_in_architectures,
}

__all__ = ["CHECKS", "Citation", "Finding"]
