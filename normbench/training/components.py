"""Finds what a component of a run names, in a registry or at a dotted path, and calls it."""

import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from normbench.errors import ConfigError, described, nearest, own_place
from normbench.spec import Component


def find(component: Component, registry: Mapping[str, Callable[..., Any]], group: str) -> Callable[..., Any]:
    """Return what a component names: an entry of the registry, or the user's object at its dotted path.

    Args:
        component: The choice of the group.
        registry: The shipped choices by name.
        group: The config group, for messages.

    Raises:
        ConfigError: If the name is unknown, or the dotted path leads to nothing callable.
    """
    if component.target is not None:
        return resolve_target(component.target, group)
    if component.name not in registry:
        raise ConfigError(f"unknown {group} {component.name!r}{nearest(component.name, registry)}")
    return registry[component.name]


def make(
    component: Component, registry: Mapping[str, Callable[..., Any]], group: str, /, *parts: Any, **args: Any
) -> Any:
    """Return what a component makes.

    Args:
        component: The choice of the group.
        registry: The shipped choices by name.
        group: The config group, for messages.
        *parts: What it is made for, such as the data.
        **args: Its arguments; they may have any name.

    Raises:
        ConfigError: If the name is unknown or an argument wrong.
    """
    maker = find(component, registry, group)
    try:
        return maker(*parts, **args)
    except TypeError as error:
        place = own_place(error)
        raise ConfigError(f"{group}={component.name}: {error}{f' ({place})' if place else ''}") from error


def resolve_target(target: str, group: str) -> Callable[..., Any]:
    """Return the user's class or function at a dotted path.

    Args:
        target: Such as ``my_package.layers.MyNorm``.
        group: The config group that names it, for the message.

    Raises:
        ConfigError: If it is not callable, or its import raises any error.
    """
    try:
        own = pkgutil.resolve_name(target)
    except Exception as error:
        raise ConfigError(f"{group}._target_={target}: {described(error)}") from error
    if not callable(own):
        raise ConfigError(f"{group}._target_={target}: not a class or function.")
    found: Callable[..., Any] = own
    return found
