"""Every distinct choice of config groups in a command, and the cells of each."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from normbench.config.axes import SweepAxes, Zips, bundled, checked_zips, section_axes, steps
from normbench.config.build import COMPONENTS, SETTINGS, Built, build_run, build_settings
from normbench.config.compose import Cells, Composer, Composition, interpolates
from normbench.config.nested import deleted, flat, has, with_value
from normbench.config.overrides import Setting
from normbench.config.rules import RULES
from normbench.errors import ConfigError
from normbench.spec import Requested, Settings


@dataclass(frozen=True, eq=False)
class Case:
    """One composition, the settings that apply to it, and its axes.

    Attributes:
        composition: Hydra's result for the choice of groups.
        settings: Settings with one value.
        axes: Settings with several values.
        zips: Which axes run together.
        dropped: Settings that do not apply to these groups.
        own: Groups set by the user's `_target_`: their keys are not known here.
        section: The axes of the `sweep` section.
        sweep: Every axis of the command, including those over groups.
    """

    composition: Composition
    settings: tuple[Setting, ...]
    axes: tuple[Setting, ...]
    zips: Zips
    dropped: tuple[Setting, ...]
    own: frozenset[str]
    section: SweepAxes
    sweep: tuple[Setting, ...]

    @property
    def interpolates(self) -> bool:
        """Whether a value refers to another, so that each cell needs its own resolution."""
        typed = (setting.values for setting in (*self.settings, *self.axes))
        return self.composition.interpolated or any(map(interpolates, typed))

    def base(self) -> dict[str, Any]:
        """Return the config before the axes.

        Raises:
            ConfigError: If a key that needs a value is deleted.
        """
        values = {key: value for key, value in self.composition.values.items() if key != "sweep"}
        for setting in (*self.settings, *self.axes):
            if setting.key.endswith("._target_"):
                group = setting.key.partition(".")[0]
                values[group] = {"name": None}
        for setting in self.settings:
            path = setting.key.split(".")
            if not setting.delete:
                values = with_value(values, path, setting.values[0])
            elif path[0] in self.own:
                values = deleted(values, path)
            else:
                _check_may_be_null(setting)
                values = with_value(values, path, None)
        return values

    def cells(self) -> Iterator[dict[str, Any]]:
        """Yield the config of each cell, resolved.

        Raises:
            ConfigError: If an interpolation cannot be resolved.
        """
        base = self.base()
        bundles = bundled(self.axes, self.zips)
        keys = [setting.key for bundle in bundles for setting in bundle]
        cells = map(itertools.chain.from_iterable, itertools.product(*map(steps, bundles)))
        if self.interpolates:
            resolved = Cells(base, keys)
            yield from (resolved.at(tuple(cell)) for cell in cells)
            return
        paths = [key.split(".") for key in keys]
        for cell in cells:
            values = base
            for path, value in zip(paths, cell, strict=True):
                values = with_value(values, path, value)
            yield values

    def requested(self) -> Iterator[Requested]:
        """Yield the run of each cell; the first axis varies slowest.

        Raises:
            ConfigError: If a value is of a wrong type or out of bounds.
        """
        explicit = {setting.key for setting in (*self.settings, *self.axes)}
        memo: dict[str, Built] = {}
        for values in self.cells():
            yield build_run(values, explicit=explicit, memo=memo)

    def cell_settings(self) -> Iterator[Settings]:
        """Yield the settings of the runs: once, or for each cell if they may differ."""
        base = self.base()
        differs = any(interpolates(base[key]) for key in SETTINGS)
        for values in self.cells() if differs else [base]:
            yield build_settings(values)

    def changed(self, pristine: Mapping[str, Any], default: Mapping[str, Any]) -> Iterator[str]:
        """Yield the keys off the default of their group, and the groups off their default."""
        base, plain = flat(self.base()), flat(pristine)
        for setting in self.axes:
            base[setting.key] = setting.values if len(setting.values) > 1 else setting.values[0]
        for key, value in base.items():
            group, _, leaf = key.partition(".")
            if group in SETTINGS or leaf == "name" or (group not in COMPONENTS and key not in RULES):
                continue
            if key not in plain or plain[key] != value:
                yield key
        for group in COMPONENTS:
            if base[f"{group}.name"] != default[group]["name"]:
                yield group

    def notes(self) -> Iterator[str]:
        """Yield notes for the user."""
        for setting in self.dropped:
            group = setting.key.partition(".")[0]
            yield f"{setting.key} does not apply to {group}={self.composition.choices.get(group)} and is ignored there."

    def sweep_as_dict(self) -> dict[str, Any]:
        """Return the equivalent `sweep` section."""
        axes: dict[str, Any] = {setting.key: list(setting.values) for setting in self.sweep}
        zips = [list(names) for names in self.zips if len(names) > 1]
        return {**axes, "zip": zips} if zips else axes


def find_cases(composer: Composer, typed: Sequence[Setting]) -> Iterator[Case]:
    """Yield a case for every distinct choice of groups, including the axes of its experiment.

    Args:
        composer: Composes each choice, once.
        typed: The settings of the command line.

    Raises:
        ConfigError: If an option or a YAML is wrong, or axes that run together have different lengths.
    """
    experiments = next(
        (_options(composer, setting).values for setting in typed if setting.key == "experiment"), (None,)
    )
    for experiment in experiments:
        choices = {} if experiment is None else {"experiment": str(experiment)}
        section = section_axes(composer.compose(choices).values.get("sweep"), typed)
        yield from _cases(composer, typed, choices, section)


def _cases(
    composer: Composer, typed: Sequence[Setting], choices: Mapping[str, str], section: SweepAxes
) -> Iterator[Case]:
    groups = composer.groups
    given = {setting.key for setting in typed}
    settings = [
        _options(composer, setting) if setting.key in groups else setting
        for setting in (*typed, *(own for own in section.settings if own.key not in given))
        if setting.key != "experiment" and not setting.key.startswith("sweep.")
    ]
    sweep = tuple(setting for setting in settings if setting.sweep)
    fixed = {setting.key for setting in settings if not setting.sweep}
    zips = checked_zips(section.zips, sweep, fixed)
    chosen = [setting for setting in settings if setting.key in groups or setting.sweep]
    # A key that runs together with a group has one value for each choice of the group.
    outer = [bundle for bundle in bundled(chosen, zips) if any(setting.key in groups for setting in bundle)]
    names = [setting.key for bundle in outer for setting in bundle]
    for cell in map(itertools.chain.from_iterable, itertools.product(*map(steps, outer))):
        picked = dict(zip(names, cell, strict=True))
        options = {key: option for key, option in picked.items() if key in groups}
        composition = composer.compose({**options, **choices})
        values = [
            replace(setting, values=(picked[setting.key],)) if setting.key in picked else setting
            for setting in settings
            if setting.key not in groups
        ]
        yield _case(composition, values, zips, section, sweep)


def _case(
    composition: Composition, values: Sequence[Setting], zips: Zips, section: SweepAxes, sweep: tuple[Setting, ...]
) -> Case:
    targets = {setting.key.partition(".")[0] for setting in values if setting.key.endswith("._target_")}
    targets |= {group for group in COMPONENTS if has(composition.values, [group, "_target_"])}
    known = [
        setting
        for setting in values
        if has(composition.values, setting.key.split(".")) or setting.key.partition(".")[0] in targets
    ]
    return Case(
        composition=composition,
        settings=tuple(setting for setting in known if not setting.sweep),
        axes=tuple(setting for setting in known if setting.sweep),
        zips=zips,
        dropped=tuple(setting for setting in values if setting not in known),
        own=frozenset(targets),
        section=section,
        sweep=sweep,
    )


def _options(composer: Composer, setting: Setting) -> Setting:
    """Return a setting of a group with its option names checked."""
    if setting.delete:
        raise ConfigError(f"{setting.text!r}: every run needs a {setting.key}.")
    options = composer.expand_glob(setting) if setting.glob is not None else setting.values
    for option in options:
        if isinstance(option, list):
            several = ",".join(map(str, option))
            raise ConfigError(
                f"{setting.text!r} is one value, a list; for a sweep use {setting.key}={several} with -m."
            )
    checked = tuple(composer.check_option(setting.key, option) for option in options)
    return replace(setting, values=checked, glob=None)


def _check_may_be_null(setting: Setting) -> None:
    """Check that a key may be deleted, which means key=null: the same run keeps one identity.

    Raises:
        ConfigError: If the key needs a value.
    """
    rule = RULES.get(setting.key)
    if rule is not None and not rule.optional:
        raise ConfigError(f"{setting.text!r}: {setting.key} needs a value, {rule.describe()}.")
