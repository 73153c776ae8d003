"""Calibration of the judge: simulated families with known effects, and real seeds compared with themselves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from normbench.analysis.intervals import Floats, clopper_pearson
from normbench.claims.family import LOOKS, claim_p, decide, holm, weigh

SEEDS = LOOKS[-1].seeds
MARGIN = 1.0
"""Of the simulated claims, in points; the noise of one seed's difference has a deviation of one point."""

LATTICE = 100 / 360
"""Points of accuracy between neighbouring values where 360 samples are tested."""

POWERS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Effects beyond the margin, in deviations of one seed's difference."""

Noise = Callable[[np.random.Generator, tuple[int, ...]], Floats]

NOISES: Mapping[str, Noise] = {
    "normal": lambda draw, shape: draw.standard_normal(shape),
    "of 360 samples": lambda draw, shape: np.round(draw.standard_normal(shape) / LATTICE) * LATTICE,
    "heavy tails": lambda draw, shape: draw.standard_t(2, shape),
    "one arm collapses": lambda draw, shape: _collapsing(draw, shape),
}
"""Noise around the typical seed."""

COLLAPSES = 0.05
"""Share of seeds in which the favoured arm collapses, for the last of `NOISES`."""


def _collapsing(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return normal noise, now and then 50 points lower, around the pseudo-median that Hodges and Lehmann estimate.

    That is the median of the mean of two seeds: where neither has collapsed (a share s of pairs) normal with deviation
    1 / sqrt(2), and far below otherwise; so it lies at the quantile (s - 1/2) / s of that normal.
    """
    sound = (1 - COLLAPSES) ** 2
    center = ndtri((sound - 0.5) / sound) / np.sqrt(2)
    return np.asarray(draw.standard_normal(shape) - 50 * (draw.random(shape) < COLLAPSES) - center)


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happened.

    Attributes:
        scenario: What was simulated, or drawn.
        noise: How seeds differ.
        counted: What is counted, and of what.
        hits: How often it happened.
        trials: Of how many.
        bound: What it may be at most; None if there is no such bound.
        beyond: How far the simulated effect lies beyond the margin, in deviations of one seed's difference; None if
            that is not the question.
    """

    scenario: str
    noise: str
    counted: str
    hits: int
    trials: int
    bound: float | None = None
    beyond: float | None = None

    @property
    def share(self) -> float:
        """The share of the trials."""
        return self.hits / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval (Clopper & Pearson 1934)."""
        low, high = clopper_pearson(self.hits, self.trials)
        return float(low), float(high)

    @property
    def held(self) -> bool | None:
        """Whether the bound may hold, by the interval; None if there is none."""
        return None if self.bound is None else self.interval[0] <= self.bound

    def row(self) -> dict[str, object]:
        """Return its row of calibration.csv."""
        low, high = self.interval
        own = {"scenario": self.scenario, "noise": self.noise, "counted": self.counted, "hits": self.hits}
        return {**own, "trials": self.trials, "share": self.share, "ci_low": low, "ci_high": high} | {
            "bound": self.bound,
            "beyond": self.beyond,
        }


def simulate(families: int, claims: int, seed: int = 0) -> list[Rate]:
    """Judge simulated families through both looks and Holm's adjustment.

    Args:
        families: Families of each scenario.
        claims: Claims of a family: the experiment claims of the catalogue.
        seed: Of the simulation.

    Returns:
        False verdicts a family where every effect is at the margin, or at zero with a margin of zero; and the power a
        claim where every effect is beyond the margin.
    """
    draw = np.random.default_rng(seed)
    rates: list[Rate] = []
    for noise, make in NOISES.items():
        shape = (families, claims, 1, SEEDS)
        for scenario, margin in (("effect at the margin", MARGIN), ("no effect, margin 0", 0.0)):
            decided = _decided(margin + make(draw, shape), margin)
            for side, sign in (("supported", 1), ("refuted", -1)):
                hits = int((decided == sign).any(axis=-1).sum())
                rates.append(Rate(scenario, noise, f"families with a claim {side}", hits, families, 0.05))
        for beyond in POWERS:
            decided = _decided(MARGIN + beyond + make(draw, (max(families // 10, 1), *shape[1:])), MARGIN)
            scenario = f"effect {beyond:g} deviations beyond the margin"
            hits = int((decided == 1).sum())
            rates.append(Rate(scenario, noise, "claims supported", hits, decided.size, beyond=beyond))
    return rates


def compare_with_itself(scores: Floats, families: int, seed: int = 0) -> list[Rate]:
    """Judge an arm against itself: pairs of real seeds, drawn without replacement within a family.

    Args:
        scores: The tuned score of each seed of one arm, in points, (seeds,); at least two for every seed of a look.
        families: How many families are drawn; they share seeds, so that the interval of the rate is a rough one.
        seed: Of the drawing.

    Returns:
        How many families hold a verdict, at margin 0: each is false.
    """
    draw = np.random.default_rng(seed)
    claims = len(scores) // (2 * SEEDS)
    assert claims > 0, f"{len(scores)} seeds are too few for a pair a seed"
    orders = np.stack([draw.permutation(len(scores))[: claims * 2 * SEEDS] for _ in range(families)])
    arms = scores[orders].reshape(families, claims, 2, SEEDS)
    decided = _decided((arms[:, :, 0] - arms[:, :, 1])[:, :, None, :], 0.0)
    hits = [int((decided == sign).any(axis=-1).sum()) for sign in (1, -1)]
    place = f"{len(scores)} real seeds against each other"
    return [
        Rate(place, "as trained", f"families of {claims} with a claim {side}", hit, families, 0.05)
        for side, hit in zip(("supported", "refuted"), hits, strict=True)
    ]


def _decided(samples: Floats, margin: float) -> NDArray[np.int64]:
    """Return the verdicts of families of samples, (families, claims, 1, seeds): 1, -1 or 0."""
    sides = weigh("greater", samples, margin)
    return decide(sides, holm(claim_p(sides)))
