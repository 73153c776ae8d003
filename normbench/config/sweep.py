"""From overrides to frozen runs: group choices are composed once each, values are set on plain dicts."""

import difflib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from normbench.config.build import COMPONENTS, SETTINGS, Built, build_run, build_settings
from normbench.config.compose import Composer, Composition, Compositions, resolve, to_yaml
from normbench.config.overrides import Setting, axis, parse
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
        cases = list(_cases(composer, settings))
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
    first = cases[0].base()
    return Sweep(
        runs=tuple(runs),
        settings=_settings(cases),
        changed=tuple(sorted(changed)),
        multirun=multirun,
        notes=tuple(notes),
        config=to_yaml({**resolve(first), "sweep": cases[0].sweep_as_dict()}),
    )


@dataclass(frozen=True, eq=False)
class _Case:
    """One composition, the settings that it knows, and the axes that run over it.

    Attributes:
        composition: What Hydra made of the choice of groups.
        settings: Settings of one value.
        axes: Settings of several.
        dropped: Settings that these groups do not know.
        own: Groups whose part is the user's own, by `_target_`: its keys are not known here.
    """

    composition: Composition
    settings: tuple[Setting, ...]
    axes: tuple[Setting, ...]
    dropped: tuple[Setting, ...]
    own: frozenset[str]

    def base(self) -> dict[str, Any]:
        """Return the config before the axes."""
        values = dict(self.composition.values)
        for setting in (*self.settings, *self.axes):
            if setting.key.endswith("._target_"):
                group = setting.key.partition(".")[0]
                values[group] = {"name": None}
        for setting in self.settings:
            path = setting.key.split(".")
            if not setting.delete:
                values = _with_value(values, path, setting.values[0])
            elif path[0] in self.own:
                values = _deleted(values, path)
            else:
                _check_may_be_null(setting)
                values = _with_value(values, path, None)
        return values

    def runs(self) -> Iterator[Run]:
        base = self.base()
        explicit = {setting.key for setting in (*self.settings, *self.axes)}
        if not self.composition.interpolated:
            base = resolve(base)
        paths = [setting.key.split(".") for setting in self.axes]
        memo: dict[str, Built] = {}
        for combination in itertools.product(*(setting.values for setting in self.axes)):
            values = base
            for path, value in zip(paths, combination, strict=True):
                values = _with_value(values, path, value)
            if self.composition.interpolated:
                values = resolve(values)
            yield build_run(values, explicit=explicit, memo=memo)

    def changed(self, pristine: Mapping[str, Any], default: Mapping[str, Any]) -> Iterator[str]:
        """Yield the keys that a run of this case has off the default of its groups, and groups off the default."""
        base, plain = _flat(self.base()), _flat(pristine)
        for setting in self.axes:
            base[setting.key] = setting.values if len(setting.values) > 1 else setting.values[0]
        for key, value in base.items():
            group, _, leaf = key.partition(".")
            if group in SETTINGS or leaf == "name" or group == "sweep":
                continue
            if key not in plain or plain[key] != value:
                yield key
        for group in COMPONENTS:
            if base[f"{group}.name"] != default[group]["name"]:
                yield group

    def notes(self) -> Iterator[str]:
        if self.composition.interpolated:
            yield "the config interpolates values: each cell is resolved on its own, which is slow for large sweeps."
        for setting in self.dropped:
            group = setting.key.partition(".")[0]
            yield f"{setting.key} means nothing to {group}={self.composition.choices.get(group)} and is left out there."

    def sweep_as_dict(self) -> dict[str, list[Any]]:
        return {setting.key: list(setting.values) for setting in self.axes}


def _cases(composer: Composer, settings: Sequence[Setting]) -> Iterator[_Case]:
    """Yield a case for every distinct choice of groups, the axes of its experiment included."""
    groups = composer.groups
    typed = {setting.key for setting in settings}
    choice_axes = [_options(composer, setting) for setting in settings if setting.key in groups]
    for choices in itertools.product(*choice_axes):
        composition = composer.compose(dict(choices))
        own_axes = [own for own in _experiment_axes(composition, settings) if own.key not in typed]
        more_axes = [_options(composer, setting) for setting in own_axes if setting.key in groups]
        for more in itertools.product(*more_axes):
            chosen = composer.compose({**dict(choices), **dict(more)}) if more else composition
            yield _case(chosen, [*settings, *own_axes], groups)


def _case(composition: Composition, settings: Sequence[Setting], groups: Sequence[str]) -> _Case:
    values = [setting for setting in settings if setting.key not in groups and not setting.key.startswith("sweep.")]
    targets = {setting.key.partition(".")[0] for setting in values if setting.key.endswith("._target_")}
    targets |= {group for group in COMPONENTS if _has(composition.values, [group, "_target_"])}
    known = [
        setting
        for setting in values
        if _has(composition.values, setting.key.split(".")) or setting.key.partition(".")[0] in targets
    ]
    return _Case(
        composition=composition,
        settings=tuple(setting for setting in known if not setting.sweep),
        axes=tuple(setting for setting in known if setting.sweep),
        dropped=tuple(setting for setting in values if setting not in known),
        own=frozenset(targets),
    )


def _check_may_be_null(setting: Setting) -> None:
    """See that a key may be taken away: that is key=null, so that the same run has one identity.

    Raises:
        ConfigError: If the key has to have a value.
    """
    rule = RULES.get(setting.key)
    if rule is not None and not rule.optional:
        raise ConfigError(f"{setting.text!r}: {setting.key} needs a value, {rule.describe()}.")


def _is_sweep(cases: Sequence[_Case], settings: Sequence[Setting]) -> bool:
    """Return whether an experiment brings axes of its own, so that no -m is needed.

    Raises:
        ConfigError: If none does and a setting has several values all the same.
    """
    if any(_experiment_axes(case.composition, settings) for case in cases):
        return True
    for setting in settings:
        if setting.sweep:
            raise ConfigError(f"{setting.text!r} gives several values: add -m for a sweep.")
    return False


def _experiment_axes(composition: Composition, settings: Sequence[Setting]) -> list[Setting]:
    axes = {key: axis(key, values) for key, values in (composition.values.get("sweep") or {}).items()}
    for setting in settings:
        if setting.key.startswith("sweep."):
            key = setting.key.removeprefix("sweep.")
            if setting.delete:
                axes.pop(key, None)
            else:
                axes[key] = replace(setting, key=key) if setting.sweep else axis(key, setting.values[0])
    return list(axes.values())


def _options(composer: Composer, setting: Setting) -> list[tuple[str, str]]:
    if setting.delete:
        raise ConfigError(f"{setting.text!r}: every run needs a {setting.key}.")
    options = composer.expand_glob(setting) if setting.glob is not None else setting.values
    return [(setting.key, composer.check_option(setting.key, option)) for option in options]


def _check_known(cases: Sequence[_Case], settings: Sequence[Setting], groups: Sequence[str]) -> None:
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
            raise ConfigError(f"{setting.text!r}: {setting.key} changes no result and cannot be swept.")
        if setting.glob is not None:
            raise ConfigError(f"{setting.text!r}: glob is for config groups ({', '.join(sorted(groups))}).")
        if setting.key not in known:
            names = {key for case in cases for key in _flat(case.composition.values)} | set(groups)
            where = f" in {setting.text!r}" if setting.text.startswith("sweep.") else ""
            raise ConfigError(f"unknown key {setting.key!r}{where}{_nearest_key(setting.key, names)}")


def _check_axis(cases: Sequence[_Case], setting: Setting) -> None:
    """See that there is an axis for ``~sweep.key`` to take away."""
    axes = {key for case in cases for key in case.composition.values.get("sweep") or ()}
    if setting.key.removeprefix("sweep.") not in axes:
        raise ConfigError(f"{setting.text!r}: there is no such axis. Known: {', '.join(sorted(axes)) or 'none'}")


def _check_yaml(case: _Case, plain: Mapping[str, Any]) -> None:
    """See that the YAMLs hold no key that does nothing: a misspelt one would pass for a setting.

    Raises:
        ConfigError: At the first key that these groups do not have and no other value refers to.
    """
    known = _flat(plain).keys() & RULES.keys()
    values = _flat(case.composition.values)
    references = [str(value) for value in values.values() if "${" in str(value)]
    for key in values:
        group = key.partition(".")[0]
        free = group in ("sweep", *case.own) or key in COMPONENTS or any(key in text for text in references)
        if not free and key not in known:
            raise ConfigError(f"unknown key {key!r} in the YAMLs{_nearest_key(key, known)}")


def _settings(cases: Sequence[_Case]) -> Settings:
    """Return the settings that all cases share.

    Raises:
        ConfigError: If they differ, as those of two experiments may.
    """
    first, *others = (build_settings(resolve(case.base())) for case in cases)
    for other in others:
        if other != first:
            raise ConfigError(f"one sweep, one study: got {_differences(first, other)}; set it on the command line.")
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


def _has(values: Mapping[str, Any], path: Sequence[str]) -> bool:
    inner: Any = values
    for key in path:
        if not isinstance(inner, Mapping) or key not in inner:
            return False
        inner = inner[key]
    return True


def _with_value(values: dict[str, Any], path: Sequence[str], value: object) -> dict[str, Any]:
    """Return a copy of `values` with one value set; what is not on the path is shared."""
    head, *rest = path
    return {**values, head: _with_value(values[head] or {}, rest, value) if rest else value}


def _deleted(values: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    head, *rest = path
    if rest:
        return {**values, head: _deleted(values[head], rest)}
    return {key: value for key, value in values.items() if key != head}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
