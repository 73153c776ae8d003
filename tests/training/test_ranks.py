"""Two processes of one run against the run in one process: for every norm, statistics of the whole batch or of each."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from problems import NEEDS_MAPS, SEQUENCES, run_of

from normbench.norms import REGISTRY, BatchStatistics
from normbench.training.outcome import Outcome, Score

from .two_ranks import SIZE, Answers, answer

BATCH = 16
STEPS = 20

_MLP = ("model=mlp", "model.width=16", "model.depth=2", "model.dropout=0.3")
_RESNET = ("model=resnet", "model.depth=8", "model.width=4", "model.dropout=0.3")
_DIALS = {
    "batch_renorm": ("norm.plain_steps=2", "norm.dmax_steps=8", "norm.rmax_steps=12"),
    "batch_frozen": ("norm.freeze_step=8",),
    "power": ("norm.plain_steps=4",),
}
"""So that twenty steps see what these norms do late."""

STATISTICS = {
    "synchronised": "null",
    "each rank's own": str(BATCH // SIZE),
    "two chunks a rank": str(BATCH // SIZE // 2),
}


def overrides(norm: str, statistics: str, *more: str) -> tuple[str, ...]:
    """Return the overrides of a run with dropout and augmentation."""
    model = () if "model=resnet" in more else _RESNET if norm in NEEDS_MAPS else _MLP
    own = (*_DIALS.get(norm, ()), f"batch_size={BATCH}", f"norm_batch_size={STATISTICS[statistics]}")
    return (*model, f"norm={norm}", "data.augment=crop_flip", "lr=0.05", *own, *more)


def on_sequences(name: str, statistics: str, *more: str) -> tuple[str, ...]:
    """Return the overrides of a problem on sequences, with dropout; lengths differ, and so do those of the ranks."""
    own = (f"batch_size={BATCH}", f"norm_batch_size={STATISTICS[statistics]}")
    return (*SEQUENCES[name], f"steps={STEPS // 4}", "lr=0.05", "model.dropout=0.3", *own, *more)


CASES = {
    **{
        f"{norm}, {statistics}": overrides(norm, statistics)
        for norm, layer in REGISTRY.items()
        for statistics in (STATISTICS if issubclass(layer, BatchStatistics) else ("synchronised",))
    },
    "maps of batch norm": overrides("batch", "synchronised", *_RESNET),
    "cumulative averages": overrides("batch", "each rank's own", "norm.momentum=null"),
    "no running statistics": overrides("batch", "synchronised", "norm.track_running_stats=false"),
    "adamw, clipped": overrides("batch", "synchronised", "optimizer=adamw", "optimizer.clip_norm=0.5"),
    **{
        f"{name}, {statistics}": on_sequences(name, statistics)
        for name in ("rnn-batch", "encoder-batch", "translation-batch")
        for statistics in STATISTICS
    },
    **{
        f"encoder with {norm}": on_sequences(f"encoder-{norm}", "synchronised", *_DIALS.get(norm, ()))
        for norm, layer in REGISTRY.items()
        if issubclass(layer, BatchStatistics) and norm != "batch"
    },
    **{
        name: on_sequences(name, "each rank's own")
        for name in ("rnn-batch_renorm", "rnn-power", "language-batch", "translation-layer")
    },
}
RUNS = {
    **{statistics: overrides("batch", statistics, "eval_every=3", "steps=6") for statistics in STATISTICS},
    **{
        f"{name}, {statistics}": on_sequences(name, statistics, "eval_every=3", "steps=6")
        for name in ("rnn-batch", "translation-batch")
        for statistics in ("synchronised", "each rank's own")
    },
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Answers]]:
    """Return what each of two ranks found; one process group serves all cases."""
    folder = tmp_path_factory.mktemp("ranks")
    steps, runs = ({name: run_of(f"steps={STEPS}", *texts) for name, texts in table.items()} for table in (CASES, RUNS))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=answer, args=(rank, folder, steps, runs)) for rank in range(SIZE)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    yield [_read(folder / f"{rank}.pt") for rank in range(SIZE)]


def _read(path: Path) -> Answers:
    found = torch.load(path, weights_only=False)
    assert isinstance(found, Answers), found
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_step_of_two_ranks_is_the_step_on_the_whole_batch(case: str, answers: list[Answers]) -> None:
    """From each of twenty states both take the same step, to rounding in float64, on each rank."""
    for own in answers:
        apart, changed = own.apart[case]
        assert apart < 1e-10 < changed


def scores(outcome: Outcome) -> list[Score]:
    """Return all scores of a run."""
    return [*(score for point in outcome.curve for score in (point.train, point.val)), *outcome.test.values()]


@pytest.mark.parametrize("case", RUNS)
def test_a_run_of_two_ranks_has_the_scores_of_the_run_alone(case: str, answers: list[Answers]) -> None:
    """Curves and the test scores by running, precise and batch statistics agree, and both ranks know them."""
    for own in answers:
        shared, alone = own.outcomes[case]
        assert [point.step for point in shared.curve] == [point.step for point in alone.curve] == [3, 6]
        for one, other in zip(scores(shared), scores(alone), strict=True):
            assert one.loss == pytest.approx(other.loss, rel=1e-8)
            assert one.metrics == pytest.approx(other.metrics, rel=1e-8)
    assert answers[0].outcomes[case] == answers[1].outcomes[case]


def test_all_ranks_resume_from_what_rank_0_saved(answers: list[Answers]) -> None:
    """The run that goes on from a checkpoint is the run that was never interrupted, to the bit."""
    for own in answers:
        first, second = own.resumed
        assert first == second
