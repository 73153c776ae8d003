"""From overrides to frozen runs: group choices are composed once each, values are set on plain dicts."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normbench.config.build import COMPONENTS, SETTINGS
from normbench.config.cases import Case, find_cases
from normbench.config.compose import Composer, Composition, Compositions, resolve, to_yaml
from normbench.config.nested import flat
from normbench.config.overrides import Setting, parse, quoting_hint
from normbench.config.rules import RULES
from normbench.errors import ConfigError
from normbench.spec import Run, Settings


@dataclass(frozen=True, slots=True)
class Sweep:
    """Every run that a command asks for, frozen.

    Attributes:
        runs: The runs in the order of the axes, the first axis slowest.
        settings: Where and how they are carried out.
        changed: Dotted keys that some run has off the default of its groups.
        multirun: Whether a sweep was asked for, even of one run.
        notes: What the user should be told, each once.
        config: The config before the sweep's axes, as YAML.
    """

    runs: tuple[Run, ...]
    settings: Settings
    changed: tuple[str, ...]
    multirun: bool
    notes: tuple[str, ...]
    config: str


def expand(
    overrides: Iterable[str],
    *,
    multirun: bool = False,
    config_dir: Path | None = None,
    composed: Compositions | None = None,
) -> Sweep:
    """Compose and expand the overrides of one command.

    Args:
        overrides: In Hydra's grammar, such as ``norm=batch,none`` or ``+experiment=quickstart``.
        multirun: Whether values of a sweep are allowed on the command line (`-m`).
        config_dir: A user's own conf folder, searched first.
        composed: What was composed of these folders before; it is used, and added to.

    Returns:
        The runs and all that belongs to them.

    Raises:
        ConfigError: If anything is unknown, of a wrong type or out of bounds.
    """
    settings = parse(overrides)
    with Composer(config_dir, composed) as composer:
        cases = list(find_cases(composer, settings))
        _check_known(cases, settings, composer.groups)
        multirun = multirun or _is_sweep(cases, settings)
        default = composer.compose({})
        pristine = [_pristine(composer, case.composition) for case in cases]
        for case, plain in zip(cases, pristine, strict=True):
            _check_yaml(case, plain.values)
    notes = dict.fromkeys(note for case in cases for note in case.notes())
    runs: list[Run] = []
    changed: dict[str, None] = {}
    for case, plain in zip(cases, pristine, strict=True):
        runs.extend(case.runs())
        changed.update(dict.fromkeys(case.changed(plain.values, default.values)))
    return Sweep(
        runs=tuple(runs),
        settings=_settings(cases),
        changed=tuple(sorted(changed)),
        multirun=multirun,
        notes=tuple(notes),
        config=_config(cases[0]),
    )


def _config(case: Case) -> str:
    """Return the config before the axes as YAML; what their cells resolve differently stands there as it was given."""
    base = case.base()
    return to_yaml({**(base if case.axes else resolve(base)), "sweep": case.sweep_as_dict()})


def _is_sweep(cases: Sequence[Case], settings: Sequence[Setting]) -> bool:
    """Return whether an experiment brings axes of its own, so that no -m is needed.

    Raises:
        ConfigError: If none does and a setting has several values all the same.
    """
    if any(case.section.settings for case in cases):
        return True
    for setting in settings:
        if setting.sweep:
            raise ConfigError(f"{setting.text!r} gives several values: add -m for a sweep{_text_hint(setting)}")
    return False


def _text_hint(setting: Setting) -> str:
    """Return the end of a message about several values, which may be one text with a comma in it."""
    value = setting.text.partition("=")[2]
    one_text = value and all(isinstance(one, str) for one in setting.values)
    return (quoting_hint(setting.key, value) if one_text else "") or "."


def _check_known(cases: Sequence[Case], settings: Sequence[Setting], groups: Sequence[str]) -> None:
    known = {setting.key for case in cases for setting in (*case.settings, *case.axes)}
    own = [setting for case in cases for setting in (*case.axes, *case.dropped) if setting not in settings]
    for setting in (*settings, *own):
        if setting.delete and setting.key.startswith("sweep."):
            _check_axis(cases, setting)
        if setting.key in groups or setting.key.startswith("sweep."):
            continue
        group = setting.key.partition(".")[0]
        if any(isinstance(case.composition.values.get(setting.key), dict) for case in cases):
            raise ConfigError(f"{setting.text!r}: {setting.key} is a section; set one of its keys.")
        if setting.sweep and group in SETTINGS:
            raise ConfigError(
                f"{setting.text!r}: {setting.key} changes no result and cannot be swept{_text_hint(setting)}"
            )
        if setting.glob is not None:
            raise ConfigError(f"{setting.text!r}: glob works only for config groups ({', '.join(sorted(groups))}).")
        if setting.key not in known:
            names = {key for case in cases for key in flat(case.composition.values)} | set(groups)
            where = f" in {setting.text!r}" if setting.text.startswith("sweep.") else ""
            raise ConfigError(f"unknown key {setting.key!r}{where}{_nearest_key(setting.key, names)}")


def _check_axis(cases: Sequence[Case], setting: Setting) -> None:
    """See that there is an axis for ``~sweep.key`` to take away."""
    axes = {key for case in cases for key in case.composition.values.get("sweep") or ()}
    if setting.key.removeprefix("sweep.") not in axes:
        raise ConfigError(f"{setting.text!r}: there is no such axis. Known: {', '.join(sorted(axes)) or 'none'}")


def _check_yaml(case: Case, plain: Mapping[str, Any]) -> None:
    """See that the YAMLs hold no key that does nothing: a misspelt one would pass for a setting.

    Raises:
        ConfigError: At the first key that these groups do not have and no other value refers to.
    """
    known = flat(plain).keys() & RULES.keys()
    values = flat(case.composition.values)
    given = (setting.values for setting in (*case.settings, *case.axes))
    references = [str(value) for value in (*values.values(), *given) if "${" in str(value)]
    for key in values:
        group = key.partition(".")[0]
        free = group in ("sweep", *case.own) or key in COMPONENTS or any(key in text for text in references)
        if not free and key not in known:
            raise ConfigError(f"unknown key {key!r} in the YAMLs{_nearest_key(key, known)}")


def _settings(cases: Sequence[Case]) -> Settings:
    """Return the settings that all cases share.

    Raises:
        ConfigError: If they differ, as those of two experiments may.
    """
    first, *others = (settings for case in cases for settings in case.cell_settings())
    for other in others:
        if other != first:
            raise ConfigError(
                f"the runs of a sweep share study, engine and log: got {_differences(first, other)}; "
                "set it on the command line."
            )
    return first


def _differences(one: Settings, other: Settings) -> str:
    pairs = ((name, getattr(one, name), getattr(other, name)) for name in one.__slots__)
    return ", ".join(f"{name}={left!r} and {right!r}" for name, left, right in pairs if left != right)


def _nearest_key(key: str, known: Collection[str]) -> str:
    """Return the tail of an unknown-key message: the nearest dotted key, else those beside it."""
    leaves = {name.rpartition(".")[2]: name for name in sorted(known, reverse=True)}
    close = difflib.get_close_matches(key, [*known], n=1, cutoff=0.7)
    close = close or [leaves[leaf] for leaf in difflib.get_close_matches(key.rpartition(".")[2], leaves, n=1)]
    if close:
        return f"; did you mean '{close[0]}'?"
    group = key.partition(".")[0]
    beside = sorted(name for name in known if "." in key and name.startswith(f"{group}."))
    return f". Known: {', '.join(beside or sorted(name for name in known if '.' not in name))}"


def _pristine(composer: Composer, composition: Composition) -> Composition:
    """Return the same choice of groups without the experiment's own settings."""
    if "experiment" not in composition.choices:
        return composition
    return composer.compose({group: option for group, option in composition.choices.items() if group != "experiment"})
