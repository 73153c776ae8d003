"""A detector fine-tuned with the frozen statistics of a checkpoint, as detectors are."""

from dataclasses import replace
from pathlib import Path

import torch
from problems import dataset_of, problem

from normbench.norms.factory import norm_layers
from normbench.training.dry_run import dry_run

from .trained import state_of, trained


def test_a_detector_keeps_the_statistics_of_a_checkpoint(tmp_path: Path) -> None:
    """Its weights train on, scales and shifts of the norms too, and the three test scores are the same."""
    first, _ = trained(problem("ssd-batch", steps=20))
    torch.save(first.model.state_dict(), tmp_path / "first.pt")
    run = problem("ssd-batch_frozen", steps=6, lr=0.01)
    run = replace(run, model=replace(run.model, args={**run.model.args, "weights": str(tmp_path / "first.pt")}))
    checked = dry_run(run, dataset_of(run))
    assert checked.run.norm.args["freeze_step"] == 0
    setup, outcome = trained(checked.run)
    before, after = state_of(first), state_of(setup)
    layers = norm_layers(setup.model)
    statistics = {name for name in after if name.rpartition(".")[2] in ("running_mean", "running_var")}
    assert len(statistics) == 2 * len(layers) > 0
    assert all(torch.equal(before[name], after[name]) for name in statistics)
    assert all(not torch.equal(before[f"{name}.weight"], after[f"{name}.weight"]) for name in layers)
    assert outcome.status == "finished"
