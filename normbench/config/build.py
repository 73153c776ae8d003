"""Turns plain config values into the frozen dataclasses of `normbench.spec`, and checks each value."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from normbench.config.rules import checked, too_long
from normbench.errors import ConfigError
from normbench.spec import PLACE, Component, Engine, Log, Requested, Run, Settings, Value, apart


class Built(NamedTuple):
    """A component, the dict that it was built from, and where its files are."""

    values: object
    component: Component
    place: Mapping[str, Value]


COMPONENTS = ("task", "model", "norm", "data", "optimizer", "schedule")
SETTINGS = ("study", "results_dir", "engine", "log")

OWN_DATA_DEFAULTS: Mapping[str, Value] = {
    "limit": None,
    "size": None,
    "val_fraction": 0.1,
    "test_fraction": 0.2,
    "label_noise": 0.0,
    "augment": "none",
    "test_shift": "none",
}
"""Keys that a user's own data set takes in addition to its own arguments."""

_OWN_DEFAULTS: Mapping[str, Mapping[str, Value]] = {
    "data": OWN_DATA_DEFAULTS,
    "optimizer": {"decay_norm": True, "clip_norm": None},
}

_VALUES = (
    "batch_size",
    "norm_batch_size",
    "lr",
    "seed",
    "epochs",
    "steps",
    "eval_every",
    "target_accuracy",
    "target",
    "precision",
)
_ENGINE = ("name", "mode", "threads", "ranks", "memory", "checkpoint_every")
_NOT_IN_A_STUDY_NAME = set('/\\\0"<>|*?')


def build_run(values: Mapping[str, Any], *, explicit: Collection[str], memo: dict[str, Built]) -> Requested:
    """Return the run that a resolved config describes.

    Args:
        values: The config, every interpolation resolved.
        explicit: Keys set by the command line or an axis: they decide between `epochs` and `steps`.
        memo: The last component built for each group; cells of one composition share most of them.

    Returns:
        The frozen run, with its probes and the place of its data.

    Raises:
        ConfigError: If a value is missing, of a wrong type or out of bounds.
    """
    built = {group: _build(group, values.get(group), memo) for group in COMPONENTS}
    parts: dict[str, Any] = {group: one.component for group, one in built.items()}
    parts |= {key: checked(key, _given(values, key)) for key in _VALUES}
    probes = checked("probes", _given(values, "probes"))
    assert isinstance(probes, list)
    parts["epochs"], parts["steps"] = _budget(parts["epochs"], parts["steps"], explicit)
    return Requested(Run(**parts), frozenset(map(str, probes)), built["data"].place)


def build_settings(values: Mapping[str, Any]) -> Settings:
    """Return the settings of a resolved config: where and how its runs are carried out.

    Raises:
        ConfigError: If a value is missing, of a wrong type or out of bounds.
    """
    # Each place has further keys of its own, and later versions have more; a key that is not given keeps the default.
    engine = _section("engine", values, _ENGINE)
    engine |= _section("engine", values, [key for key in Engine.__slots__ if key in values["engine"]])
    log = _section("log", values, ("tensorboard", "weights"))
    log |= _section("log", values, [key for key in Log.__slots__ if key in values["log"]])
    study = str(checked("study", _given(values, "study")))
    if study in (".", "..") or _NOT_IN_A_STUDY_NAME & set(study) or not study.isprintable():
        raise ConfigError(f"study: got {study!r}, expected a folder name without slashes; see results_dir.")
    if study != study.strip():
        raise ConfigError(f"study: got {study!r}, expected a name that neither begins nor ends with a space.")
    if too_long(study):
        raise ConfigError(f"study: got '{study[:40]}...', longer than the 255 bytes that file systems allow.")
    return Settings(
        study=study,
        results_dir=str(checked("results_dir", _given(values, "results_dir"))),
        engine=Engine(**engine),
        log=Log(**log),
    )


def _build(group: str, values: object, memo: dict[str, Built]) -> Built:
    if group in memo and memo[group].values is values:
        return memo[group]
    if not isinstance(values, Mapping):
        raise ConfigError(f"{group}: got {values!r}, expected an option of conf/{group}.")
    target = values.get("_target_")
    if values.get("name") is None:
        raise ConfigError(f"{group}.name is missing: give {target or 'it'} a name, {group}.name=mine.")
    shared = {} if target is None else _OWN_DEFAULTS.get(group, {})
    places = PLACE.get(group, ())
    # A user's own class checks its own arguments; every data set takes the shared keys.
    args = {
        str(key): checked(f"{group}.{key}", value) if target is None or key in shared or key in places else value
        for key, value in values.items()
        if key not in ("name", "_target_")
    }
    args, place = apart(group, {**shared, **args})
    component = Component(str(values["name"]), args, None if target is None else str(target))
    memo[group] = Built(values, component, place)
    return memo[group]


def _section(group: str, values: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    section = values.get(group)
    if not isinstance(section, Mapping):
        raise ConfigError(f"{group}: got {section!r}, expected a section of keys.")
    dotted = {f"{group}.{key}": _gigabytes(value) if key == "memory" else value for key, value in section.items()}
    return {key: checked(f"{group}.{key}", _given(dotted, f"{group}.{key}")) for key in keys}


def _gigabytes(value: Value) -> Value:
    """Return a size such as ``8GB`` or ``500 MB`` as a number of GB, and anything else unchanged."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?)\s*(GB|MB)", value.strip(), re.IGNORECASE) if isinstance(value, str) else None
    if found is None:
        return value
    return float(found[1]) / (1000 if found[2].upper() == "MB" else 1)


def _given(values: Mapping[str, Any], key: str) -> Value:
    if key not in values:
        raise ConfigError(f"{key} is missing from the config.")
    value: Value = values[key]
    return value


def _budget(epochs: int | None, steps: int | None, explicit: Collection[str]) -> tuple[int | None, int | None]:
    if epochs is None and steps is None:
        raise ConfigError("epochs and steps are both null: a run needs one of the two.")
    if epochs is None or steps is None:
        return epochs, steps
    if ("epochs" in explicit) == ("steps" in explicit):
        raise ConfigError(f"epochs={epochs} and steps={steps} are both given: a run takes only one of the two.")
    return (epochs, None) if "epochs" in explicit else (None, steps)
