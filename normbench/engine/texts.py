"""What a trained model writes after a few samples of its test part."""

import json

import torch

from normbench.record.files import write_whole
from normbench.record.store import Study
from normbench.tasks.task import Written
from normbench.training.setup import Setup

TEXTS = 3
"""Samples of the test part, evenly spaced and the same ones in every run on the same split."""


@torch.no_grad()
def texts_of(setup: Setup) -> list[Written]:
    """Return what the model of a run writes, with running statistics in its norms; none if its task has no texts."""
    test = setup.parts.test
    batch = setup.parts.batch(setup.dataset, test[:: -(-len(test) // TEXTS)], test=True)
    setup.model.eval()
    written = setup.task.written(setup.model, batch)
    setup.model.train()
    return written


def write_vocabularies(study: Study, run_id: str, setup: Setup) -> None:
    """Write the vocabularies of a run's data next to its weights, as ``<run_id>.vocabulary.json``; nothing without any.

    The file has a vocabulary for each field of tokens, as `Vocabulary.of_dict` reads it.
    """
    if setup.dataset.vocabularies:
        path = study.weights(run_id).with_suffix(".vocabulary.json")
        found = {field: vocabulary.as_dict() for field, vocabulary in setup.dataset.vocabularies.items()}
        write_whole(path, [json.dumps(found) + "\n"])
