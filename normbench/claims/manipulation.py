"""Whether a manipulation moved what it was to move: without that, a verdict on a mechanism means nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from normbench.claims.estimands.contrast import Contrast
from normbench.claims.family import ALPHA
from normbench.claims.signed_rank import hodges_lehmann, interval, p_values


@dataclass(frozen=True, slots=True)
class ManipulationCheck:
    """What a manipulation check found, at the level with the largest p where there are several.

    Attributes:
        shown: Whether "effect at most the margin" is rejected at 5 %, at every level.
        effect: The typical seed's (Hodges & Lehmann).
        ci_low: Lower end of its 95 % interval.
        ci_high: Upper end.
        p: One-sided, exact.
        n_seeds: How many seeds it is taken over.
        margin: What the effect has to exceed.
        level: The level, or empty.
    """

    shown: bool
    effect: float
    ci_low: float
    ci_high: float
    p: float
    n_seeds: int
    margin: float
    level: str = ""

    def words(self, label: str, unit: str) -> str:
        """Return one line that says what was found.

        Args:
            label: What the manipulation was to move.
            unit: What the effect is measured in.
        """
        at = f" at {self.level}" if self.level else ""
        return (
            f"manipulation {'shown' if self.shown else 'not shown'}: {label}{at}, effect {self.effect:.3g} "
            f"[{self.ci_low:.3g}, {self.ci_high:.3g}] {unit} over {self.n_seeds} seeds, p = {self.p:.2g} that it is at "
            f"most {self.margin:g}"
        )


def check_manipulation(contrast: Contrast, margin: float, seeds: Sequence[int] | None = None) -> ManipulationCheck:
    """Return whether a contrast shows that a manipulation worked.

    It is one test at 5 %, not adjusted: a check that fails withholds a verdict and never makes one.

    Args:
        contrast: What the manipulation was to move, positive where it did.
        margin: What the effect has to exceed.
        seeds: The seeds that the verdict is taken over; None takes all.
    """
    values = contrast.values if seeds is None else contrast.values.loc[list(seeds)]
    levels = values if isinstance(values, pd.DataFrame) else values.to_frame("")
    samples = levels.to_numpy(dtype=np.float64).T
    over = p_values(samples, np.full(len(samples), margin))[0]
    worst = int(np.argmax(over))
    low, high = interval(samples[worst])
    return ManipulationCheck(
        shown=bool(over[worst] <= ALPHA),
        effect=float(hodges_lehmann(samples[worst])),
        ci_low=float(low),
        ci_high=float(high),
        p=float(over[worst]),
        n_seeds=samples.shape[1],
        margin=margin,
        level=str(levels.columns[worst]),
    )
