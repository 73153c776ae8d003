"""Pictures of what a trained model makes of a few samples of its test part."""

import numpy as np
import torch

from normbench.record.pictures import Sheet
from normbench.training.setup import Setup

PICTURES = 4
"""Samples of the test part, evenly spaced and the same ones in every run on the same split."""

MOST_RUNS = 100
"""Runs of a command up to which `log.pictures=auto` saves pictures."""


@torch.no_grad()
def pictures_of(setup: Setup) -> Sheet | None:
    """Return pictures of what the model of a run makes, by running statistics; None if its task has none."""
    if not setup.task.draws:
        return None
    test = setup.parts.test
    batch = setup.parts.batch(setup.dataset, test[:: -(-len(test) // PICTURES)], test=True)
    setup.model.eval()
    drawn = setup.task.drawn(setup.model, batch)
    setup.model.train()
    tiles = torch.stack([torch.stack((one.given, one.wanted, one.made)) for one in drawn])
    return Sheet(setup.task.draws, np.ascontiguousarray(tiles.permute(0, 1, 3, 4, 2).cpu().numpy()))
