"""The axes of a sweep: those of an experiment, the changes of the command line, and which axes run together."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from normbench.config.overrides import Setting, axis
from normbench.errors import ConfigError, nearest

ZIP = "zip"
"""The one key of `sweep` that is not an axis: it names the axes that run together."""

Zips = tuple[tuple[str, ...], ...]
"""Names of axes that run together, value by value, instead of nested."""


@dataclass(frozen=True, slots=True)
class SweepAxes:
    """The `sweep` section of a config, with the changes of the command line.

    Attributes:
        settings: The axes, in order.
        zips: Which of these and of the typed axes run together.
    """

    settings: tuple[Setting, ...]
    zips: Zips


def section_axes(section: object, typed: Sequence[Setting]) -> SweepAxes:
    """Return the axes of a `sweep` section; ``sweep.key=values`` adds or replaces one, ``~sweep.key`` removes one.

    Args:
        section: What the YAMLs give as `sweep`.
        typed: Every setting of the command line.

    Raises:
        ConfigError: If an axis is neither a list nor a string, or `zip` does not hold names.
    """
    if not isinstance(section, Mapping | None):
        raise ConfigError(f"sweep: got {section!r}, expected a section of axes, such as seed: range(10).")
    given: dict[str, Any] = dict(section or {})
    for setting in typed:
        if setting.key.startswith("sweep."):
            key = setting.key.removeprefix("sweep.")
            if setting.delete:
                given.pop(key, None)
            else:
                given[key] = replace(setting, key=key) if setting.sweep else setting.values[0]
    zips = _zips(given.pop(ZIP, []))
    if "experiment" in given:
        raise ConfigError("sweep.experiment: an experiment cannot be an axis; +experiment=a,b with -m runs both.")
    return SweepAxes(
        tuple(values if isinstance(values, Setting) else axis(key, values) for key, values in given.items()), zips
    )


def checked_zips(zips: Zips, axes: Sequence[Setting], fixed: Collection[str]) -> Zips:
    """Return which axes run together; a key with one value on the command line is left out.

    Args:
        zips: As asked for.
        axes: All of the sweep.
        fixed: Keys that have one value.

    Raises:
        ConfigError: If a name is not an axis or is given twice, or if axes have different numbers of values.
    """
    counts = {setting.key: len(setting.values) for setting in axes}
    free = tuple(tuple(name for name in names if name not in fixed) for names in zips)
    every = [name for names in free for name in names]
    for name in every:
        if name not in counts:
            known = nearest(name, counts) if counts else ", which has none."
            raise ConfigError(f"sweep.zip: {name!r} is not an axis of this sweep{known}")
        if every.count(name) > 1:
            raise ConfigError(f"sweep.zip: {name!r} is given twice.")
    for names in free:
        if len({counts[name] for name in names}) > 1:
            listed = ", ".join(f"{name} has {counts[name]}" for name in names)
            raise ConfigError(f"sweep.zip: axes that run together need the same number of values: {listed}.")
    return free


def bundled(axes: Sequence[Setting], zips: Zips) -> list[tuple[Setting, ...]]:
    """Return the axes in order; those that run together are one bundle, at the place of their first."""
    together = {name: names for names in zips for name in names}
    bundles: dict[tuple[str, ...], list[Setting]] = {}
    for setting in axes:
        bundles.setdefault(together.get(setting.key, (setting.key,)), []).append(setting)
    return [tuple(bundle) for bundle in bundles.values()]


def steps(bundle: Sequence[Setting]) -> Iterator[tuple[Any, ...]]:
    """Yield the values that the axes of a bundle have together."""
    return zip(*(setting.values for setting in bundle), strict=True)


def _zips(value: object) -> Zips:
    if isinstance(value, str):
        value = axis(ZIP, value)
    names = list(value.values) if isinstance(value, Setting) else value
    groups = names if isinstance(names, list) and all(isinstance(group, list) for group in names) else [names]
    for group in groups:
        if not isinstance(group, list) or not all(isinstance(name, str) for name in group) or len(group) < 2:
            raise ConfigError(
                f"sweep.zip: got {value!r}, expected names of axes of the same sweep, such as [lr, batch_size]."
            )
    return tuple(map(tuple, groups))
