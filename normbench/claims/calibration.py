"""Calibration of the judge: simulated families with known effects, and real seeds compared with themselves."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from normbench.analysis.intervals import Floats, clopper_pearson
from normbench.claims.family import LOOKS, TWO_LOOKS, Looks, cell_p, decide, holm, weigh

SEEDS = LOOKS[-1].seeds
MARGIN = 1.0
"""Of the simulated cells, in points; the noise of one seed's difference has a deviation of one point."""

LATTICE = 100 / 360
"""Points of accuracy between neighbouring values where 360 samples are tested."""

APART = 2.0
"""Of an effect that is beyond the margin in one cell of two, in deviations of one seed's difference."""

SUPPORTED, PAIRS = "cells supported", "claims of two cells supported"
"""What power is counted in; the power curve shows that of cells."""

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
            this is no point of the power curve.
        seeds: How many seeds the last look takes.
    """

    scenario: str
    noise: str
    counted: str
    hits: int
    trials: int
    bound: float | None = None
    beyond: float | None = None
    seeds: int = SEEDS

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
            "seeds": self.seeds,
        }


def simulate(families: int, cells: int, seed: int = 0) -> list[Rate]:
    """Judge simulated families through all looks and Holm's adjustment.

    Args:
        families: Families of each scenario.
        cells: Cells of a family: those of the catalogue. Two and two they are also taken as a claim of two cells.
        seed: Of the simulation.

    Returns:
        False verdicts a family on cells, and on claims of two cells, where every effect is at the margin, at zero with
        a margin of zero, or beyond the margin in every second cell only; and the power where every effect is beyond
        the margin, in two looks also.
    """
    draw = np.random.default_rng(seed)
    second = np.arange(cells) % 2
    scenarios = {
        "effect at the margin": (MARGIN, np.zeros(cells)),
        "no effect, margin 0": (0.0, np.zeros(cells)),
        "effect at the margin in one cell of two": (MARGIN, APART * second),
    }
    rates: list[Rate] = []
    for noise, make in NOISES.items():
        shape = (families, cells, 1, SEEDS)
        for scenario, (margin, beyond) in scenarios.items():
            decided = _decided(margin + beyond[:, None, None] + make(draw, shape), margin, LOOKS)
            false = decided[:, beyond == 0]
            rates += _rates(scenario, noise, "families with a false cell", false[:, :, None], ("supported", "refuted"))
            pairs = _pairs(decided)
            whole = ("supported", "refuted", "depends")
            rates += _rates(scenario, noise, "families with a false claim of two cells", pairs, whole)
        for size in POWERS:
            samples = MARGIN + size + make(draw, (max(families // 10, 1), *shape[1:]))
            for looks in (TWO_LOOKS, LOOKS):
                decided = _decided(samples, MARGIN, looks)
                hits, pairs = int((decided == 1).sum()), (_pairs(decided) == 1).all(axis=-1)
                scenario = f"effect {size:g} deviations beyond the margin, at most {looks[-1].seeds} seeds"
                rates += [
                    Rate(scenario, noise, SUPPORTED, hits, decided.size, beyond=size, seeds=looks[-1].seeds),
                    Rate(scenario, noise, PAIRS, int(pairs.sum()), pairs.size, seeds=looks[-1].seeds),
                ]
    return rates


def _pairs(decided: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the verdicts on cells as claims of two cells, (families, claims, 2); the last odd cell is left out."""
    families, cells = decided.shape
    return decided[:, : cells // 2 * 2].reshape(families, cells // 2, 2)


def _rates(
    scenario: str, noise: str, counted: str, claims: NDArray[np.int64], names: tuple[str, ...]
) -> Iterator[Rate]:
    """Count the families in which some claim has a verdict, from the verdicts on cells: (families, claims, cells)."""
    up, down = claims == 1, claims == -1
    found = {
        "supported": up.all(axis=-1),
        "refuted": down.all(axis=-1),
        "depends": up.any(axis=-1) & down.any(axis=-1),
    }
    for name in names:
        yield Rate(scenario, noise, f"{counted}: {name}", int(found[name].any(axis=-1).sum()), len(claims), 0.05)


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
    cells = len(scores) // (2 * SEEDS)
    assert cells > 0, f"{len(scores)} seeds are too few for a pair a seed"
    orders = np.stack([draw.permutation(len(scores))[: cells * 2 * SEEDS] for _ in range(families)])
    arms = scores[orders].reshape(families, cells, 2, SEEDS)
    decided = _decided((arms[:, :, 0] - arms[:, :, 1])[:, :, None, :], 0.0, LOOKS)
    place, counted = f"{len(scores)} real seeds against each other", f"families of {cells} with a false cell"
    return list(_rates(place, "as trained", counted, decided[:, :, None], ("supported", "refuted")))


def _decided(samples: Floats, margin: float, looks: Looks) -> NDArray[np.int64]:
    """Return the verdicts of families of samples, (families, cells, 1, seeds): 1, -1 or 0."""
    sides = weigh("greater", samples, margin, looks)
    return decide(sides, holm(cell_p(sides)))
