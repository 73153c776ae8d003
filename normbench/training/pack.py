"""Trains the runs of a pack in the planned mode."""

from collections.abc import Sequence

import torch

from normbench.data import Examples
from normbench.ranks import ALONE, Ranks
from normbench.spec import Requested
from normbench.training.checkpoint import Checkpoint
from normbench.training.outcome import Outcome
from normbench.training.solo import Observer, train
from normbench.training.stacked import train_stacked


def train_pack(
    runs: Sequence[Requested],
    dataset: Examples,
    *,
    mode: str,
    fill: int = 0,
    device: torch.device,
    observers: Sequence[Sequence[Observer]],
    checkpoints: Sequence[Checkpoint | None],
    ranks: Ranks = ALONE,
) -> list[Outcome]:
    """Train the runs of a pack.

    Args:
        runs: The runs; of one structure if the mode stacks them.
        dataset: The data set of all of them.
        mode: `solo`, one after another; `stacked` or `compiled`, together.
        fill: Number of runs to which a pack whose runs train together is padded with copies.
        device: Where to train.
        observers: Observers of each run; only runs that train alone can be observed.
        checkpoints: Storage for the state of each run; not used for runs that train together.
        ranks: The processes that share each batch of a run that trains alone.

    Returns:
        The outcome of each run.

    Raises:
        Exception: Any error that one of the runs raises.
    """
    if mode in ("stacked", "compiled"):
        assert not any(observers), "the plan lets runs that are looked into train solo"
        return train_stacked(
            [one.run for one in runs],
            dataset,
            device=device,
            compiled=mode == "compiled",
            fill=fill,
            probes=[one.probes for one in runs],
        )
    return [
        train(one.run, dataset, device=device, probes=one.probes, observers=own, checkpoint=checkpoint, ranks=ranks)
        for one, own, checkpoint in zip(runs, observers, checkpoints, strict=True)
    ]
