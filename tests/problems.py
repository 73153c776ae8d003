"""One table of small trainings, name -> overrides, that the reference is checked on and every faster path after it."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch

from normbench.config.sweep import expand
from normbench.data import Dataset, load
from normbench.norms import REGISTRY
from normbench.spec import Run

CPU = torch.device("cpu")

_SMALL = ("batch_size=16", "steps=3", "lr=0.05")

_MODELS: Mapping[str, tuple[str, ...]] = {
    "mlp": ("model=mlp", "model.width=16", "model.depth=2"),
    "resnet": ("model=resnet", "model.depth=8", "model.width=4"),
    "plain": ("model=plain", "model.depth=8", "model.width=4"),
}

NEEDS_MAPS = ("instance", "frn", "evonorm_b0", "switchable")
"""Norms that have nothing to average over on an MLP."""

CORE = ("batch", "layer", "group", "instance", "none")

ARMS = {
    f"{model}-{norm}": (*overrides, f"norm={norm}")
    for model, overrides in _MODELS.items()
    for norm in REGISTRY
    if not (model == "mlp" and norm in NEEDS_MAPS)
}

_DIALS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "sgd_plain": (("mlp-batch", "mlp-none"), ("optimizer.momentum=0.0",)),
    "nesterov": (("mlp-batch", "resnet-group"), ("optimizer.nesterov=true", "optimizer.weight_decay=0.01")),
    "undecayed": (("mlp-batch", "resnet-layer"), ("optimizer.weight_decay=0.1", "optimizer.decay_norm=false")),
    "adamw": (("mlp-batch", "mlp-layer", "resnet-batch"), ("optimizer=adamw", "lr=0.003")),
    "adamw_undecayed": (("mlp-group",), ("optimizer=adamw", "lr=0.01", "optimizer.decay_norm=false")),
    "clipped": (("mlp-batch", "resnet-none"), ("optimizer.clip_norm=0.5",)),
    "cosine_warmup": (("mlp-batch",), ("schedule=cosine", "schedule.warmup_steps=2")),
    "multistep": (("mlp-none",), ("schedule=multistep", "schedule.milestones=[0.4,0.7]")),
    "dropout": (("mlp-batch", "mlp-layer", "resnet-batch"), ("model.dropout=0.3",)),
    "crop_flip": (("mlp-none", "resnet-batch"), ("data.augment=crop_flip",)),
    "resized_crop": (("mlp-none",), ("data.augment=random_resized_crop_flip",)),
    "label_noise": (("mlp-batch",), ("data.label_noise=0.3",)),
    "ghost": (
        ("mlp-batch", "resnet-batch", "mlp-batch_noisy", "mlp-batch_renorm", "resnet-evonorm_b0"),
        ("norm_batch_size=4",),
    ),
    "widening": (("mlp-batch_renorm",), ("norm.plain_steps=2", "norm.dmax_steps=8", "norm.rmax_steps=12")),
    "freezing": (("mlp-batch_frozen",), ("norm.freeze_step=8",)),
    "running": (("mlp-power", "resnet-power"), ("norm.plain_steps=2",)),
    "running_ghost": (("mlp-power",), ("norm.plain_steps=2", "norm_batch_size=4")),
    "running_cumulative": (("mlp-power",), ("norm.plain_steps=2", "norm.momentum=null")),
    "ghost_cumulative": (("mlp-batch",), ("norm_batch_size=4", "norm.momentum=null")),
    "pairs": (("mlp-batch", "mlp-layer", "resnet-batch"), ("batch_size=2",)),
    "after": (("mlp-batch", "resnet-batch", "plain-group"), ("model.norm_placement=after",)),
    "cumulative": (("mlp-batch", "plain-batch"), ("norm.momentum=null",)),
    "untracked": (("mlp-batch", "resnet-batch"), ("norm.track_running_stats=false",)),
    "no_affine": (("mlp-batch", "resnet-instance"), ("norm.affine=false",)),
    "xavier_tanh": (("mlp-layer", "plain-batch"), ("model.init=xavier", "model.activation=tanh")),
    "small_init": (("mlp-none",), ("model.init_scale=0.5",)),
    "low_bias": (("mlp-none", "mlp-batch", "resnet-group"), ("model.bias_init=-0.5",)),
    "less_contrast": (("mlp-batch",), ("data.test_shift=contrast",)),
    "noisy_test": (("mlp-batch", "mlp-layer", "resnet-batch"), ("data.test_shift=noise",)),
    "zero_init": (("resnet-batch",), ("model.zero_init_residual=true",)),
    "skipinit": (("resnet-none",), ("model.init=skipinit",)),
    "fixup": (("resnet-none",), ("model.init=fixup",)),
    "colour": (
        ("mlp-batch", "resnet-batch"),
        ("data=synthetic", "data.num_samples=300", "data.num_classes=4", "data.image_size=8"),
    ),
    "grouped": (("mlp-batch", "resnet-batch"), ("data=digit_scenes", "data.num_scenes=500", "data.size=8")),
}

PROBLEMS: Mapping[str, tuple[str, ...]] = {
    **ARMS,
    **{f"{arm}-{dial}": (*ARMS[arm], *own) for dial, (arms, own) in _DIALS.items() for arm in arms},
}


def problem(name: str, **changes: Any) -> Run:
    """Return a run of the table with some of its fields changed, such as ``steps=30``."""
    return replace(_run(name), **changes)


def dataset_of(run: Run) -> Dataset:
    """Return the data set of a run; loaded once a process."""
    data = load(run.data.name, run.data.args)
    assert isinstance(data, Dataset)
    return data


@lru_cache
def _run(name: str) -> Run:
    values = dict(override.split("=", 1) for override in (*_SMALL, *PROBLEMS[name]))
    (run,) = expand([f"{key}={value}" for key, value in values.items()]).runs
    return run
