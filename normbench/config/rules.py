"""The allowed values of each config key: one literal table, and the check of a value against it."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from normbench.errors import ConfigError, nearest
from normbench.spec import Value


@dataclass(frozen=True, slots=True)
class Rule:
    """The type of a key's value and the bounds of a number.

    Attributes:
        kind: `int`, `float`, `bool`, `str` or `list` (of numbers, or of strings).
        optional: Whether null is allowed.
        low: Lowest allowed number.
        above: The value must be greater than this.
        high: Highest allowed number.
        below: The value must be less than this.
        choices: The allowed strings; empty allows any non-empty string.
        auto: Whether the string `auto` means null.
        texts: Whether a list holds strings.
        path: Whether a string is a path, in which ~ is the user's home.
    """

    kind: type
    optional: bool = False
    low: float | None = None
    above: float | None = None
    high: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    auto: bool = False
    texts: bool = False
    path: bool = False

    def describe(self) -> str:
        """Return what is allowed, in words."""
        words = f"one of {', '.join(self.choices)}" if self.choices else _WORDS[self.kind]
        words = "a list of names" if self.texts else words
        bounds = [
            f"{label} {bound:g}"
            for label, bound in (
                ("of at least", self.low),
                ("above", self.above),
                ("of at most", self.high),
                ("below", self.below),
            )
            if bound is not None
        ]
        if bounds:
            words += " " + " and ".join(bounds)
        return words + (" or auto" if self.auto else " or null" if self.optional else "")


_WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "a string", list: "a list of numbers"}

_LARGEST = 2**63 - 1
"""Largest integer of any key: the limit of tables, plans and torch's generators."""

_MOST = 1024
"""Most threads, and most processes: with some thousands of threads OpenMP crashes."""

_LONGEST_PATH = 3000
"""Bytes: Linux allows 4096, including the current directory and the file names of a study."""

_COUNT = Rule(int, low=1)
_SHARE = Rule(float, low=0, high=1)
_PART = Rule(float, low=0, below=1)

RULES: Mapping[str, Rule] = {
    "probes": Rule(list, texts=True),
    "batch_size": _COUNT,
    "norm_batch_size": Rule(int, optional=True, low=1),
    "lr": Rule(float, above=0),
    "seed": Rule(int, low=0),
    "epochs": Rule(int, optional=True, low=1),
    "steps": Rule(int, optional=True, low=1),
    "eval_every": Rule(int, optional=True, low=1),
    "target_accuracy": Rule(float, optional=True, above=0, high=1),
    "target": Rule(float, optional=True),
    "precision": Rule(str, choices=("float32", "bfloat16", "float16")),
    "study": Rule(str),
    "results_dir": Rule(str, path=True),
    "log.tensorboard": Rule(str, choices=("auto", "off", "cell", "run")),
    "log.weights": Rule(str, choices=("none", "final")),
    "log.pictures": Rule(str, choices=("auto", "all", "none")),
    "engine.name": Rule(str, choices=("local", "ray", "slurm")),
    "engine.address": Rule(str, optional=True),
    "engine.partition": Rule(str, optional=True),
    "engine.time": Rule(int, optional=True, low=1),
    "engine.cpus": Rule(int, optional=True, low=1, high=_MOST, auto=True),
    "engine.gpus": Rule(int, low=0, high=1),
    "engine.array_parallelism": Rule(int, optional=True, low=1),
    "engine.setup": Rule(list, texts=True),
    "engine.wait": Rule(bool),
    "engine.mode": Rule(str, choices=("auto", "solo", "stacked", "compiled")),
    "engine.device": Rule(str),
    "engine.threads": Rule(int, optional=True, low=1, high=_MOST, auto=True),
    "engine.workers": Rule(int, optional=True, low=1, high=_MOST, auto=True),
    "engine.memory": Rule(float, optional=True, above=0),
    "engine.ranks": Rule(int, low=1, high=_MOST),
    "engine.checkpoint_every": Rule(int, optional=True, low=1),
    "task.name": Rule(str),
    "task.background_weight": Rule(float, above=0),
    "task.style": Rule(str, optional=True, path=True),
    "task.features": Rule(str, optional=True, path=True),
    "task.style_size": _COUNT,
    "task.stages": _COUNT,
    "task.content_stage": _COUNT,
    "task.style_weight": Rule(float, above=0),
    "model.name": Rule(str),
    "model.width": _COUNT,
    "model.depth": Rule(int, low=1, high=100_000),
    "model.activation": Rule(str),
    "model.norm_placement": Rule(str, choices=("before", "after")),
    "model.init": Rule(str),
    "model.init_scale": Rule(float, above=0),
    "model.bias_init": Rule(float),
    "model.dropout": _PART,
    "model.zero_init_residual": Rule(bool),
    "model.head_norm": Rule(bool),
    "model.anchors": Rule(list, above=0),
    "model.anchor_size": Rule(float, above=0),
    "model.cell": Rule(str, choices=("rnn", "lstm", "gru")),
    "model.bidirectional": Rule(bool),
    "model.heads": _COUNT,
    "model.norm_first": Rule(bool),
    "model.norm_place": Rule(str, choices=("input", "recurrent", "both")),
    "model.norm_time": Rule(str, choices=("shared", "step")),
    "model.norm_over": Rule(str, choices=("tokens", "time")),
    "model.norm_gain": Rule(float, optional=True, above=0),
    "model.architecture": Rule(str),
    "model.weights": Rule(str, optional=True),
    # For the model `own`, whose other keys belong to its source.
    "model._target_": Rule(str),
    "model.source": Rule(str, optional=True),
    "norm.name": Rule(str),
    "norm.eps": Rule(float, low=0),
    "norm.momentum": Rule(float, optional=True, low=0, high=1),
    "norm.affine": Rule(bool),
    "norm.track_running_stats": Rule(bool),
    "norm.num_groups": Rule(int, optional=True, low=1),
    "norm.alpha": Rule(float, above=0),
    "norm.activation_gain": Rule(float, above=0),
    "norm.rmax": Rule(float, low=1),
    "norm.dmax": Rule(float, low=0),
    "norm.plain_steps": Rule(int, low=0),
    "norm.dmax_steps": Rule(int, low=0),
    "norm.rmax_steps": Rule(int, low=0),
    "norm.freeze_step": Rule(int, low=0),
    "norm.shift": Rule(float, low=0),
    "norm.scale": Rule(float, low=1),
    "norm.shift_spread": Rule(float, low=0),
    "norm.scale_spread": Rule(float, low=0),
    "data.name": Rule(str),
    "data.root": Rule(str, optional=True, path=True),
    "data.download": Rule(bool),
    "data.limit": Rule(int, optional=True, low=1),
    "data.size": Rule(int, optional=True, low=1),
    "data.val_fraction": Rule(float, above=0, below=1),
    "data.test_fraction": Rule(float, above=0, below=1),
    "data.label_noise": _SHARE,
    "data.augment": Rule(
        str, choices=("none", "crop", "flip", "crop_flip", "random_resized_crop", "random_resized_crop_flip")
    ),
    "data.test_shift": Rule(str, choices=("none", "contrast", "noise")),
    "data.num_classes": Rule(int, low=2),
    "data.num_samples": _COUNT,
    "data.image_size": _COUNT,
    "data.channels": _COUNT,
    "data.difficulty": _SHARE,
    "data.generator_seed": Rule(int, low=0),
    "data.num_scenes": _COUNT,
    "data.min_size": Rule(int, low=8, high=64),
    "data.max_size": Rule(int, low=8, high=64),
    "data.min_digits": Rule(int, low=0, high=64),
    "data.max_digits": Rule(int, low=1, high=64),
    "data.clutter": Rule(int, low=0, high=64),
    "data.overlap": _SHARE,
    "data.contrast": Rule(float, low=0.001, high=1),
    "data.images": Rule(str, optional=True),
    "data.images_val": Rule(str, optional=True),
    "data.images_test": Rule(str, optional=True),
    "data.annotations": Rule(str, optional=True),
    "data.annotations_val": Rule(str, optional=True),
    "data.annotations_test": Rule(str, optional=True),
    "data.split": Rule(str, optional=True),
    "data.classes": Rule(list, optional=True, texts=True),
    "data.first_pixel": Rule(int, low=0, high=1),
    "data.whole_pixels": Rule(bool),
    "data.skip_bad": Rule(bool),
    "data.lengths": Rule(str, choices=("full", "varied")),
    "data.per_step": Rule(int, low=1, high=64),
    "data.permuted": Rule(bool),
    "data.drop_constant": Rule(bool),
    "data.kind": Rule(str, choices=("copy", "reverse", "sort")),
    "data.vocabulary": Rule(int, low=2),
    "data.min_length": _COUNT,
    "data.max_length": _COUNT,
    "data.length": _COUNT,
    "data.unit": Rule(str, choices=("character", "word", "subword")),
    "data.encoding": Rule(str),
    "data.vocabulary_size": Rule(int, optional=True, low=4),
    "data.min_count": _COUNT,
    "data.text_column": Rule(str),
    "data.label_column": Rule(str),
    "data.split_column": Rule(str, optional=True),
    "data.split_seed": Rule(int, low=0),
    "data.source": Rule(str, optional=True),
    "data.target": Rule(str, optional=True),
    "data.source_val": Rule(str, optional=True),
    "data.target_val": Rule(str, optional=True),
    "data.source_test": Rule(str, optional=True),
    "data.target_test": Rule(str, optional=True),
    "optimizer.name": Rule(str),
    "optimizer.momentum": _PART,
    "optimizer.nesterov": Rule(bool),
    "optimizer.beta1": _PART,
    "optimizer.beta2": _PART,
    "optimizer.eps": Rule(float, above=0),
    "optimizer.weight_decay": Rule(float, low=0),
    "optimizer.decay_norm": Rule(bool),
    "optimizer.clip_norm": Rule(float, optional=True, above=0),
    "schedule.name": Rule(str),
    "schedule.warmup_steps": Rule(int, low=0),
    "schedule.final_fraction": _SHARE,
    "schedule.milestones": Rule(list, above=0, below=1),
    "schedule.gamma": Rule(float, above=0, high=1),
}


def checked(key: str, value: Value) -> Value:
    """Return `value` in the type that the rule of `key` asks for; a key without a rule takes any value.

    Args:
        key: Dotted name, such as ``model.depth``.
        value: The value in the config.

    Returns:
        The value. Integers become floats where the rule asks for a number, so that equal configs compare equal.

    Raises:
        ConfigError: If the type is wrong or the value out of bounds.
    """
    rule = RULES.get(key)
    if rule is None or (value is None and rule.optional):
        return value
    if value == "auto" and rule.auto:
        return None
    if value is False and "off" in rule.choices:
        return "off"  # YAML reads a bare off as false
    if rule.kind is list:
        if not isinstance(value, list):
            raise _wrong(key, value, rule)
        if rule.texts and any(not isinstance(item, str) or not item for item in value):
            raise _wrong(key, value, rule)
        return list(value) if rule.texts else [_number(key, item, rule, float) for item in value]
    if rule.kind in (int, float):
        return _number(key, value, rule, rule.kind)
    if type(value) is not rule.kind or value == "":
        raise _wrong(key, value, rule)
    if rule.choices and value not in rule.choices:
        raise ConfigError(f"{key}: unknown value {value!r}{nearest(str(value), rule.choices)}")
    return _expanded(key, str(value)) if rule.path else value


def too_long(path: str) -> bool:
    """Return whether a path, or a name in it, has too many bytes for file systems."""
    return len(os.fsencode(path)) > _LONGEST_PATH or any(len(os.fsencode(name)) > 255 for name in path.split("/"))


def _expanded(key: str, path: str) -> str:
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise ConfigError(f"{key}: got {path!r}, but there is no such home folder; write './{path}' for a folder here.")
    if too_long(expanded):
        raise ConfigError(f"{key}: got '{path[:40]}...', longer than the 255 bytes per name that file systems allow.")
    return expanded


def _number(key: str, value: Value, rule: Rule, kind: type) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(key, value, rule)
    if kind is int and not isinstance(value, int):
        raise _wrong(key, value, rule)
    if kind is int and value > _LARGEST:
        raise ConfigError(f"{key}: got {value}, expected an integer of at most {_LARGEST} (64 bits).")
    inside = (
        (rule.low is None or value >= rule.low)
        and (rule.above is None or value > rule.above)
        and (rule.high is None or value <= rule.high)
        and (rule.below is None or value < rule.below)
        and (kind is int or abs(value) <= sys.float_info.max)
    )
    if not inside or value != value:
        raise _wrong(key, value, rule)
    # Adding zero makes -0.0 the same as 0.0.
    return int(value) if kind is int else float(value) + 0.0


def _wrong(key: str, value: Value, rule: Rule) -> ConfigError:
    several = (
        f"; for a sweep use {key}={','.join(map(str, value))} with -m" if isinstance(value, list) and value else ""
    )
    return ConfigError(f"{key}: got {value!r}, expected {rule.describe()}{several if rule.kind is not list else ''}.")
