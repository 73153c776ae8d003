"""From overrides to frozen runs: each choice of groups is composed once, values are set on plain dicts."""

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
from normbench.spec import Requested, Run, Settings


@dataclass(frozen=True, slots=True)
class Sweep:
    """Every run of a command, frozen.

    Attributes:
        requested: The runs in the order of the axes; the first axis varies slowest.
        settings: Where and how they are carried out.
        changed: Dotted keys that differ from the default of their group in some run.
        multirun: Whether this is a sweep, even of one run.
        notes: Notes for the user, without repetition.
        config: The config before the sweep's axes, as YAML.
    """

    requested: tuple[Requested, ...]
    settings: Settings
    changed: tuple[str, ...]
    multirun: bool
    notes: tuple[str, ...]
    config: str

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs alone."""
        return tuple(one.run for one in self.requested)


def joined(sweeps: Sequence[Sweep], hidden: Collection[str] = ()) -> Sweep:
    """Return the runs of several sweeps as one, with the settings of the first.

    Args:
        sweeps: At least one.
        hidden: Keys that are no change, such as where this machine has its data.
    """
    return Sweep(
        requested=tuple(one for sweep in sweeps for one in sweep.requested),
        settings=sweeps[0].settings,
        changed=tuple(sorted({key for sweep in sweeps for key in sweep.changed}.difference(hidden))),
        multirun=True,
        notes=tuple(dict.fromkeys(note for sweep in sweeps for note in sweep.notes)),
        config="---\n".join(sweep.config for sweep in sweeps),
    )


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
        multirun: Whether the command line may give several values (`-m`).
        config_dir: A user's own conf folder, searched first.
        composed: Cache of earlier compositions of these folders; it is used and extended.

    Returns:
        The runs with their settings and notes.

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
    requested: list[Requested] = []
    changed: dict[str, None] = {}
    for case, plain in zip(cases, pristine, strict=True):
        requested.extend(case.requested())
        changed.update(dict.fromkeys(case.changed(plain.values, default.values)))
    return Sweep(
        requested=tuple(requested),
        settings=_settings(cases),
        changed=tuple(sorted(changed)),
        multirun=multirun,
        notes=tuple(notes),
        config=_config(cases[0]),
    )


def _config(case: Case) -> str:
    """Return the config before the axes as YAML; values that differ between cells stay unresolved."""
    base = case.base()
    return to_yaml({**(base if case.axes else resolve(base)), "sweep": case.sweep_as_dict()})


def _is_sweep(cases: Sequence[Case], settings: Sequence[Setting]) -> bool:
    """Return whether an experiment has its own axes, so that no -m is needed.

    Raises:
        ConfigError: If none does, yet a setting has several values.
    """
    if any(case.section.settings for case in cases):
        return True
    for setting in settings:
        if setting.sweep:
            raise ConfigError(f"{setting.text!r} gives several values: add -m for a sweep{_text_hint(setting)}")
    return False


def _text_hint(setting: Setting) -> str:
    """Return the end of a message about several values, which may be meant as one string with a comma."""
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
    """Check that the axis that ``~sweep.key`` removes exists."""
    axes = {key for case in cases for key in case.composition.values.get("sweep") or ()}
    if setting.key.removeprefix("sweep.") not in axes:
        raise ConfigError(f"{setting.text!r}: there is no such axis. Known: {', '.join(sorted(axes)) or 'none'}")


def _check_yaml(case: Case, plain: Mapping[str, Any]) -> None:
    """Check that every key in the YAMLs has an effect: a misspelt one would look like a setting.

    Raises:
        ConfigError: At the first key that these groups lack and no other value refers to.
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
        ConfigError: If they differ, as they may between two experiments.
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
    """Return the end of an unknown-key message: the nearest dotted key, else the keys of the same group."""
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
