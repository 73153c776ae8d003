"""Training of style transfer: what stays as it is, and what batch norm shares with instance norm."""

import pytest
import torch
from problems import run_of

from normbench.tasks import StyleTransfer
from normbench.tasks.features import feature_net

from .trained import trained

SMALL = (
    *("task=style", "data.size=16", "data.limit=40", "model.width=4", "model.depth=1"),
    *("task.style_size=16", "task.stages=2", "steps=4", "eval_every=4"),
)


def test_the_network_is_frozen_and_no_part_of_the_run() -> None:
    """Its tensors are the same bits after a training, and neither parameters nor buffers of the model."""
    before = [values.clone() for stage in feature_net(None, 2).stages for values in sum(stage, ())]
    setup, outcome = trained(run_of(*SMALL, "norm=batch", "batch_size=2"))
    assert outcome.status == "finished" and isinstance(setup.task, StyleTransfer)
    after = [values for stage in setup.task.net.stages for values in sum(stage, ())]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert not any(values.requires_grad for values in after)
    assert {name.split(".")[0] for name in setup.model.state_dict()} == {"down", "blocks", "up", "last"}


def test_batch_norm_of_one_picture_is_instance_norm_until_it_is_evaluated() -> None:
    """Weights are equal to the bit, and so are scores by own statistics; those by running ones differ."""
    (one, batch), (other, instance) = (
        trained(run_of(*SMALL, f"norm={norm}", "batch_size=1")) for norm in ("batch", "instance")
    )
    params = dict(other.model.named_parameters())
    assert all(torch.equal(value, params[name]) for name, value in one.model.named_parameters())
    assert batch.curve[-1].train == instance.curve[-1].train
    assert batch.test["batch"].metrics == pytest.approx(instance.test["running"].metrics, rel=1e-5)
    assert abs(batch.test["running"].loss - instance.test["running"].loss) > 1e-3
