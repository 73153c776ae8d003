"""Parses the overrides of the user into settings, with Hydra's own grammar."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, QuotedString, ValueType

from normbench.config.logspace import logspace
from normbench.config.rules import RULES
from normbench.config.texts import UNREADABLE, quoted, to_paste
from normbench.errors import ConfigError
from normbench.spec import Value


@dataclass(frozen=True, slots=True)
class Setting:
    """One override: a key with its value, or with the values of a sweep.

    Attributes:
        key: Dotted name of a value, or the name of a config group.
        values: One value, or those of the sweep; empty for a glob sweep.
        sweep: Whether the user asked for a sweep over `values`.
        delete: Whether the key is deleted (`~key`).
        glob: The ``glob(...)`` whose matching options are still to be looked up; else None.
        text: What the user typed.
    """

    key: str
    values: tuple[Value, ...]
    sweep: bool = False
    delete: bool = False
    glob: object | None = None
    text: str = ""


def parse(texts: Iterable[str]) -> tuple[Setting, ...]:
    """Parse overrides such as ``norm=batch,none``, ``seed=range(10)``, ``+experiment=x`` and ``~key``.

    Args:
        texts: The overrides as typed.

    Returns:
        A setting for each, in order.

    Raises:
        ConfigError: If one does not follow the grammar, or a key is given twice.
    """
    settings = tuple(_parse_one(text) for text in texts)
    seen: dict[str, str] = {}
    for setting in settings:
        if setting.key in seen:
            raise ConfigError(f"'{setting.key}' is given twice: {seen[setting.key]} and {setting.text}.")
        seen[setting.key] = setting.text
    return settings


def axis(key: str, values: Value) -> Setting:
    """Return the sweep axis that an experiment's YAML gives as a list, or as a string in Hydra's grammar.

    Args:
        key: Dotted name or group.
        values: A list such as ``[batch, none]`` or a string such as ``range(10)``.

    Returns:
        A sweep setting.

    Raises:
        ConfigError: If `values` is neither.
    """
    if isinstance(values, list) and values:
        return Setting(key, tuple(values), sweep=True, text=f"sweep.{key}")
    if isinstance(values, str):
        setting = _parse_one(f"{key}={values}")
        return Setting(key, setting.values, sweep=True, glob=setting.glob, text=f"sweep.{key}")
    raise ConfigError(f"sweep.{key}: got {values!r}, expected a list of values or a string such as range(10).")


@cache
def parser() -> OverridesParser:
    """Return Hydra's parser of overrides, extended with `logspace`."""
    own = OverridesParser.create()
    own.functions.register("logspace", logspace)
    return own


def quoting_hint(key: str, value: str) -> str:
    """Return the end of a message that shows how to quote a string; empty if the key takes no string."""
    rule = RULES.get(key)
    takes_text = "." in key if rule is None else rule.kind is str and not rule.choices
    return f"; quote a string: {to_paste(key, value)}" if takes_text else ""


def _parse_one(text: str) -> Setting:
    override = _override(text)
    if override.package is not None:
        raise ConfigError(f"{text!r}: packages (@) are not supported on the command line.")
    key = override.key_or_group
    if not key:
        raise ConfigError(f"cannot read the override {text!r}: a key is missing before '='.")
    if override.type is OverrideType.DEL:
        return Setting(key, (), delete=True, text=text)
    if not override.is_sweep_override():
        value: Any = override.value()
        return Setting(key, (value,), text=text)
    if override.value_type is ValueType.GLOB_CHOICE_SWEEP:
        return Setting(key, (), sweep=True, glob=override.value(), text=text)
    return Setting(key, _sweep_values(override, text), sweep=True, text=text)


def _override(text: str) -> Override:
    try:
        return parser().parse_override(text)
    except UNREADABLE as error:
        start, equals, value = text.partition("=")
        try:
            return parser().parse_override(f"{start}{equals}{quoted(value, parser())}")
        except UNREADABLE:
            hint = quoting_hint(start.lstrip("+~"), value)
            raise ConfigError(f"cannot read the override {text!r}: {_first_line(error)}{hint or '.'}") from error


def _sweep_values(override: Override, text: str) -> tuple[Value, ...]:
    if override.value_type is ValueType.INTERVAL_SWEEP:
        raise ConfigError(f"{text!r}: an interval cannot be swept; give choices or range(start, stop, step).")
    values = tuple(_unquoted(value) for value in override.sweep_iterator())
    if not values:
        raise ConfigError(f"{text!r}: the sweep is empty.")
    return values


def _unquoted(value: Any) -> Any:
    """Return a value of a sweep as plain data: Hydra removes the quotes of single values only."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_unquoted(item) for item in value]
    if isinstance(value, dict):
        return {_unquoted(key): _unquoted(item) for key, item in value.items()}
    return value


def _first_line(error: Exception) -> str:
    """Return a parser's error message, without the list of tokens it expected."""
    return str(error).splitlines()[0].partition(" expecting ")[0].rstrip(".")
