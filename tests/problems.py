"""One table of small trainings, name -> overrides, that the reference is checked on and every faster path after it."""

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

import torch
from made_up_pictures import rectangles
from torch import Tensor

from normbench.config.compose import Compositions
from normbench.config.sweep import expand
from normbench.data import Dataset, Examples, Fields, load
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

_PADDED = ("task=sequence_classification", "data=digit_rows", "data.lengths=varied", "data.limit=200")
_TRANSFORMER = ("model.width=8", "model.depth=1", "model.heads=2")
_PAIRS = tuple(f"data.{key}" for key in ("num_samples=200", "vocabulary=6", "min_length=2", "max_length=5"))

_SEQUENCE_MODELS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rnn": (tuple(REGISTRY), (*_PADDED, "model=rnn", "model.cell=rnn", "model.width=8")),
    "encoder": (tuple(REGISTRY), (*_PADDED, "model=transformer", *_TRANSFORMER)),
    "language": (
        ("batch", "layer", "power", "none"),
        ("task=language_model", "data.length=8", "data.limit=60", *_TRANSFORMER),
    ),
    "translation": (("batch", "layer"), ("task=translation", *_PAIRS, *_TRANSFORMER)),
}

SEQUENCE_ARMS = {
    f"{model}-{norm}": (
        *overrides,
        f"norm={norm}",
        *(("model.norm_place=input", "model.norm_time=shared") if model == "rnn" and norm in NEEDS_MAPS else ()),
    )
    for model, (norms, overrides) in _SEQUENCE_MODELS.items()
    for norm in norms
}

_SEQUENCE_DIALS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "lstm": (("rnn-batch", "rnn-layer"), ("model.cell=lstm",)),
    "both_ways": (("rnn-batch", "rnn-none"), ("model.cell=gru", "model.bidirectional=true")),
    "deep_dropout": (("rnn-batch",), ("model.depth=2", "model.dropout=0.3")),
    "dropout": (("encoder-layer", "translation-batch"), ("model.dropout=0.3",)),
    "shared": (("rnn-batch", "rnn-power"), ("model.norm_time=shared",)),
    "step": (("encoder-batch", "language-batch", "language-power"), ("model.norm_time=step",)),
    "over_time": (("encoder-layer",), ("model.norm_over=time",)),
    "post_norm": (("encoder-layer", "encoder-batch", "language-layer"), ("model.norm_first=false",)),
    "ghost": (("rnn-batch", "encoder-batch", "language-batch", "translation-batch"), ("norm_batch_size=4",)),
    "cumulative": (("rnn-batch", "encoder-batch"), ("norm.momentum=null",)),
    "untracked": (("rnn-batch", "encoder-batch"), ("norm.track_running_stats=false",)),
    "whole": (("rnn-batch", "encoder-batch"), ("data.lengths=full",)),
}

SEQUENCES: Mapping[str, tuple[str, ...]] = {
    **SEQUENCE_ARMS,
    **{f"{arm}-{dial}": (*SEQUENCE_ARMS[arm], *own) for dial, (arms, own) in _SEQUENCE_DIALS.items() for arm in arms},
    "pixels-batch": (
        "task=sequence_classification",
        "data=digit_pixels",
        "data.per_step=16",
        "data.limit=200",
        *("model=rnn", "model.cell=rnn", "model.width=8", "norm=batch"),
    ),
}

# Their data are `rectangles`, whatever the config names.
_DENSE_MODELS: Mapping[str, tuple[str, ...]] = {
    "unet": ("task=segmentation", "model=unet", "model.depth=2", "model.width=4", "data=synthetic"),
    "fcn": ("task=segmentation", "model=fcn", "model.width=4", "data=synthetic"),
    "ssd": ("task=detection", "model=ssd", "model.width=4", "model.anchors=[4,6,8]", "data=synthetic"),
}

DENSE: Mapping[str, tuple[str, ...]] = {
    **{f"{model}-{norm}": (*own, f"norm={norm}") for model, own in _DENSE_MODELS.items() for norm in CORE},
    "ssd-batch-dropout": (*_DENSE_MODELS["ssd"], "norm=batch", "model.dropout=0.3"),
    "ssd-batch-ghost": (*_DENSE_MODELS["ssd"], "norm=batch", "norm_batch_size=4"),
    "ssd-batch_frozen": (*_DENSE_MODELS["ssd"], "norm=batch_frozen", "norm.freeze_step=8"),
    "ssd-batch-bare_head": (*_DENSE_MODELS["ssd"], "norm=batch", "model.head_norm=false"),
    "ssd-none-fixup": (*_DENSE_MODELS["ssd"], "norm=none", "model.init=fixup"),
    "unet-batch-pairs": (*_DENSE_MODELS["unet"], "norm=batch", "batch_size=2"),
}

PROBLEMS: Mapping[str, tuple[str, ...]] = {
    **ARMS,
    **{f"{arm}-{dial}": (*ARMS[arm], *own) for dial, (arms, own) in _DIALS.items() for arm in arms},
    **SEQUENCES,
    **DENSE,
}

_COMPOSED: Compositions = {}


class _Float64(Dataset):
    """Images whose batches are in float64."""

    def batch(self, index: Tensor) -> Tensor:
        return super().batch(index).double()


def problem(name: str, **changes: Any) -> Run:
    """Return a run of the table with some of its fields changed, such as ``steps=30``."""
    return replace(_run(name), **changes)


def dataset_of(run: Run) -> Examples:
    """Return the data set of a run; loaded once a process."""
    if run.task.name in ("segmentation", "detection"):
        return _rectangles(run.task.name)
    return load(run.data.name, run.data.args)


@lru_cache
def _rectangles(task: str) -> Examples:
    return rectangles(masks=task == "segmentation")


def images_of(run: Run) -> Dataset:
    """Return the data set of a run on images."""
    data = dataset_of(run)
    assert isinstance(data, Dataset)
    return data


def in_float64(data: Examples) -> Examples:
    """Return a data set whose numbers are in float64."""
    if isinstance(data, Dataset):
        return _Float64(**{field.name: getattr(data, field.name) for field in fields(data)})
    assert isinstance(data, Fields)
    numbers = {name: values.double() if values.is_floating_point() else values for name, values in data.fields.items()}
    return replace(data, fields=numbers)


def run_of(*overrides: str) -> Run:
    """Return the run of some overrides; of two with the same key the later one counts."""
    values = dict(override.split("=", 1) for override in overrides)
    (run,) = expand([f"{key}={value}" for key, value in values.items()], composed=_COMPOSED).runs
    return run


@lru_cache
def _run(name: str) -> Run:
    return run_of(*_SMALL, *PROBLEMS[name])
