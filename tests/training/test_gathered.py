"""Predictions that a task keeps of each sample, against its sums over the same samples."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from problems import CPU, dataset_of, problem
from torch import Tensor

from normbench.data import Batch
from normbench.spec import Component, Run
from normbench.tasks.classification import Classification
from normbench.training.solo import train
from normbench.training.stacked import train_stacked

SEEN: list[Tensor] = []


class Keeping(Classification):
    """Accuracy from the answer to each sample; the sum of right answers is its check."""

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"answers": torch.stack((outputs.argmax(dim=-1), batch["labels"]), dim=-1)}

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        summed = super().scores(sums)
        if "answers" not in sums:
            return summed
        answers = sums["answers"]
        SEEN.append(answers[:, 1])
        assert len(answers) == int(sums["count"])
        kept = float((answers[:, 0] == answers[:, 1]).double().mean())
        assert kept == pytest.approx(summed["accuracy"])
        return {"accuracy": kept}


def keeping(name: str, **changes: object) -> Run:
    run = problem(name, steps=4, epochs=None, **changes)
    return replace(run, task=Component("keeping", {}, f"{__name__}.Keeping"))


@pytest.mark.parametrize("name", ["mlp-batch", "mlp-batch-untracked", "mlp-layer"])
def test_predictions_of_each_sample_give_the_scores_of_sums(name: str) -> None:
    """Alone and in a stack, with every kind of statistics: scores are those of the task that keeps nothing."""
    runs = [keeping(name, seed=seed) for seed in range(2)]
    data = dataset_of(runs[0])
    stacked = train_stacked(runs, data, device=CPU, compiled=False)
    plain = [train(replace(run, task=problem(name).task), data, device=CPU) for run in runs]
    for ours, theirs, one, other in zip(
        [train(run, data, device=CPU) for run in runs], plain, runs, stacked, strict=True
    ):
        assert ours == theirs
        assert other.test.keys() == ours.test.keys()
        for statistics, score in other.test.items():
            assert score.loss == pytest.approx(ours.test[statistics].loss, rel=1e-4), one.seed


def test_predictions_come_in_the_order_of_the_data() -> None:
    """Whatever the order in which chunks of own statistics were evaluated."""
    run = keeping("mlp-batch")
    SEEN.clear()
    train(run, dataset_of(run), device=CPU)
    *_, running, batch, precise = SEEN
    assert torch.equal(running, batch) and torch.equal(running, precise)
