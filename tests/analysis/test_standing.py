from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind, ttest_rel

from normbench.analysis.standing import among_best

from .tables import runs_table


def standing(*arms: Sequence[float | None], metric: str = "test_accuracy", offset: int = 0) -> list[Any]:
    """Return the standing of arms by their seeds' scores, None for a diverged run; `offset` moves the last."""
    rows: list[dict[str, Any]] = [
        {"norm": str(arm), "seed": seed + (offset if arm == len(arms) - 1 else 0), metric: score}
        | {"status": "finished" if score is not None else "diverged"}
        for arm, scores in enumerate(arms)
        for seed, score in enumerate(scores)
    ]
    numbers = np.array([int(row["norm"]) for row in rows], dtype=np.int64)
    found = among_best(runs_table(*rows), numbers, np.zeros(len(arms), dtype=np.int64), metric)
    return found.astype(object).tolist()


STEADY = [0.90, 0.91, 0.92]


def test_what_is_clearly_worse_is_not_among_the_best() -> None:
    """A third arm five points below in every seed is told apart; one that wins some seeds is not."""
    assert standing(STEADY, [0.91, 0.90, 0.92], [0.85, 0.86, 0.87]) == [True, True, False]


def test_the_lowest_loss_is_the_best() -> None:
    """Of losses and steps less is better."""
    assert standing([0.1, 0.11, 0.12], [0.5, 0.51, 0.52], metric="test_loss") == [True, False]


@pytest.mark.parametrize(("metric", "expected"), [("test_r2", [False, True]), ("test_mse_precise", [True, False])])
def test_the_metric_says_which_is_better(metric: str, expected: list[bool]) -> None:
    """No name needs to hold the word accuracy to be better where it is higher."""
    assert standing([0.1, 0.11, 0.12], [0.5, 0.51, 0.52], metric=metric) == expected


def test_shared_seeds_are_paired() -> None:
    """A small gap in every seed is seen against a large spread over seeds; with other seeds it is not."""
    best, other = [0.5, 0.7, 0.9, 0.95], [0.49, 0.685, 0.892, 0.938]
    assert standing(best, other) == [True, False]
    assert standing(best, other, offset=100) == [True, True]


@pytest.mark.parametrize("offset", [0, 100], ids=["paired", "Welch"])
@pytest.mark.parametrize("gap", np.linspace(0.001, 0.1, 9))
def test_two_arms_are_told_apart_as_scipy_tells_them(offset: int, gap: float) -> None:
    """Of two arms, the worse is left out exactly where the t-test of scipy rejects at 5 %."""
    generator = np.random.default_rng(3)
    best = generator.normal(0.9, 0.02, 6)
    other = best.mean() - gap + generator.normal(0, 0.03, 6)
    p = ttest_ind(best, other, equal_var=False).pvalue if offset else ttest_rel(best, other).pvalue
    first = best.mean() > other.mean()
    assert standing(list(best), list(other), offset=offset) == ([True, p >= 0.05] if first else [p >= 0.05, True])


def test_many_comparisons_share_one_level() -> None:
    """A gap that two arms alone would show is no proof among thirty."""
    worse = [0.88, 0.8955, 0.9]
    assert standing(STEADY, worse)[1] is False
    assert standing(STEADY, worse, *([[0.1, 0.1, 0.1]] * 28))[1] is True


def test_divergence_counts_as_chance() -> None:
    """An arm whose runs diverge is worse than one that trains, and none without values."""
    assert standing(STEADY, [None, None, None]) == [True, False]


UNJUDGED = {
    "one seed": ([0.9], [0.5]),
    "one arm": (STEADY,),
    "a seed less": (STEADY, [0.5]),
}


@pytest.mark.parametrize("arms", UNJUDGED.values(), ids=UNJUDGED)
def test_what_cannot_be_judged_is_missing(arms: tuple[Sequence[float | None], ...]) -> None:
    """Without two arms of two seeds nothing is among the best."""
    assert standing(*arms) == [pd.NA] * len(arms)


def test_a_target_that_was_missed_leaves_no_best() -> None:
    """Where a run never reached its target, its steps are unknown, and nobody is the fastest."""
    rows: list[dict[str, Any]] = [
        {"norm": norm, "seed": seed, "steps_to_target": 10} for norm in "ab" for seed in (0, 1)
    ]
    rows[-1]["steps_to_target"] = None
    numbers = np.array([0, 0, 1, 1], dtype=np.int64)
    assert pd.isna(among_best(runs_table(*rows), numbers, np.zeros(2, dtype=np.int64), "steps_to_target")).all()


def test_contests_are_apart() -> None:
    """The best of one contest is not held against another."""
    rows = [
        {"norm": norm, "batch_size": size, "seed": seed, "test_accuracy": score + seed / 100}
        for (norm, size, score) in (("a", 2, 0.5), ("b", 2, 0.3), ("a", 128, 0.9), ("b", 128, 0.7))
        for seed in (0, 1, 2)
    ]
    numbers = np.repeat(np.arange(4), 3)
    found = among_best(runs_table(*rows), numbers, np.array([0, 0, 1, 1]), "test_accuracy")
    assert list(found) == [True, False, True, False]


def test_a_seed_counts_once() -> None:
    """Runs of one seed in a pooled row count as their mean, and make it no surer."""
    rows = [
        {"norm": norm, "lr": lr, "seed": seed, "test_accuracy": score + seed / 10}
        for norm, score in (("a", 0.6), ("b", 0.5))
        for lr in range(1, 9)
        for seed in ((0, 1) if norm == "a" else (1, 2))
    ]
    assert pooled(rows) == [True, True]


def test_a_seed_counts_with_the_mean_of_its_runs() -> None:
    """Rates that cancel out leave a row where it was."""
    rows = [
        {"norm": norm, "lr": lr, "seed": seed, "test_accuracy": score + seed / 100}
        for norm, scores in (("a", (0.2, 0.8)), ("b", (0.5, 0.5)))
        for lr, score in enumerate(scores, start=1)
        for seed in (0, 1, 2)
    ]
    assert pooled(rows) == [True, True]


def pooled(rows: list[dict[str, Any]]) -> list[Any]:
    """Return the standing of norms a and b, whatever else tells their runs apart."""
    numbers = np.array([int(row["norm"] == "b") for row in rows], dtype=np.int64)
    return list(among_best(runs_table(*rows), numbers, np.zeros(2, dtype=np.int64), "test_accuracy"))
