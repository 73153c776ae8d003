"""The measures by the names that a claim's YAML gives them."""

from collections.abc import Callable, Mapping

from normbench.claims.estimands.log2_error import log2_error
from normbench.claims.estimands.measures import (
    Measured,
    grid_share,
    steps_to_target,
    time_to_target,
    tuned_score,
    worst_case,
)
from normbench.claims.estimands.probe_column import probe
from normbench.claims.estimands.rates import diverged, diverged_beyond, largest_rate, trained

MEASURES: Mapping[str, Callable[..., Measured]] = {
    "diverged": diverged,
    "diverged_beyond": diverged_beyond,
    "grid_share": grid_share,
    "largest_rate": largest_rate,
    "log2_error": log2_error,
    "probe": probe,
    "steps_to_target": steps_to_target,
    "time_to_target": time_to_target,
    "trained": trained,
    "tuned_score": tuned_score,
    "worst_case": worst_case,
}
