"""Hydra's compose API on the shipped conf folder and the user's own, which is searched first."""

import codecs
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.version import VersionBase
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from normbench.config.overrides import Setting
from normbench.config.shipped import shipped_conf
from normbench.errors import ConfigError, nearest
from normbench.spec import Value

_HEADER = re.compile(rb"(\s*#\s*@[^\n]*\n)*\s*#\s*@package\s+_global_\s")
"""The header that Hydra looks for at the start of a YAML, after empty lines."""

_OF_AN_APP = (GlobalHydra, HydraConfig, JobRuntime, VersionBase)
"""Hydra's global state that belongs to one app."""


class _UserFolders(SearchPathPlugin):
    """Puts the user's conf folders before the shipped one."""

    folders: tuple[Path, ...] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in reversed(self.folders):
            search_path.prepend("config-dir", f"file://{folder}")


@dataclass(frozen=True, slots=True)
class Composition:
    """Hydra's result for one choice of config groups.

    Attributes:
        choices: Group name to chosen option.
        values: The config as nested plain values, interpolations unresolved.
        interpolated: Whether a value refers to another.
    """

    choices: Mapping[str, str]
    values: dict[str, Any]
    interpolated: bool


Compositions = dict[tuple[tuple[str, str], ...], Composition]
"""A cache of compositions: each takes Hydra 50 ms."""


class Composer:
    """Composes configs from the shipped conf folder and a user's. A context manager, since Hydra's state is global."""

    def __init__(self, config_dir: Path | None = None, composed: Compositions | None = None) -> None:
        """Prepare to compose.

        Args:
            config_dir: A user's own conf folder, searched first.
            composed: Cache of earlier compositions of these folders; it is used and extended.

        Raises:
            ConfigError: If `config_dir` is not a folder.
        """
        folder = None if config_dir is None else Path(os.path.expanduser(config_dir)).absolute()
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"--config-dir: no folder at {folder}.")
        self._folders = () if folder is None else (folder,)
        self._composed: Compositions = {} if composed is None else composed

    def __enter__(self) -> "Composer":
        _UserFolders.folders = self._folders
        Plugins.instance().register(_UserFolders)
        # The caller may be a Hydra app: hide its state here, and restore it afterwards.
        self._callers = Singleton._instances
        Singleton._instances = {kind: own for kind, own in self._callers.items() if kind not in _OF_AN_APP}
        initialize_config_dir(str(shipped_conf()), version_base="1.3", job_name="normbench")
        self._loader = GlobalHydra.instance().config_loader()
        return self

    def __exit__(self, *exception: object) -> None:
        Singleton._instances = self._callers
        _UserFolders.folders = ()

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Names of the config groups."""
        return tuple(name for name in self._loader.list_groups("") if name not in ("hydra", "claim"))

    def options(self, group: str) -> list[str]:
        """Return the names of a group's options."""
        return list(self._loader.get_group_options(group, ObjectType.CONFIG))

    def compose(self, choices: Mapping[str, str]) -> Composition:
        """Compose the config of one choice of groups, once.

        Args:
            choices: Group to option; groups left out keep their default.

        Returns:
            The composition.

        Raises:
            ConfigError: If a YAML is wrong; `check_option` must catch unknown options before.
        """
        key = tuple(sorted(choices.items()))
        if key not in self._composed:
            self._composed[key] = self._compose(choices)
        return self._composed[key]

    def _compose(self, choices: Mapping[str, str]) -> Composition:
        if "experiment" in choices:
            self._check_header(choices["experiment"])
        overrides = [f"{'+' if group == 'experiment' else ''}{group}={option}" for group, option in choices.items()]
        try:
            composed = compose("config", overrides=overrides, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
            raise ConfigError(f"cannot compose {' '.join(overrides) or 'the config'}: {_flat(error)}") from error
        chosen = {str(group): str(option) for group, option in composed.hydra.runtime.choices.items()}
        own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
        values = OmegaConf.to_container(own, resolve=False)
        assert isinstance(values, dict)
        return Composition(
            choices={group: option for group, option in chosen.items() if group in self.groups},
            values={str(key): value for key, value in values.items()},
            interpolated=interpolates(values),
        )

    def _check_header(self, experiment: str) -> None:
        """Check that an experiment's keys go to the top of the config, not into a section `experiment`."""
        files = [folder / "experiment" / f"{experiment}.yaml" for folder in (*self._folders, shipped_conf())]
        path = next(path for path in files if path.is_file())
        content = path.read_bytes()
        if _HEADER.match(content):
            return
        if content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise ConfigError(
                f"{path} begins with a byte order mark, which hides its first line: save it as plain UTF-8."
            )
        raise ConfigError(f"{path}: its first line must be '# @package _global_', so that its keys are the config's.")

    def check_option(self, group: str, option: object) -> str:
        """Return `option` if the group has it.

        Raises:
            ConfigError: If it does not, with the nearest name.
        """
        options = self.options(group)
        if not isinstance(option, str) or option not in options:
            raise ConfigError(f"unknown {group} {option!r}{nearest(str(option), options)}")
        return option

    def expand_glob(self, setting: Setting) -> tuple[str, ...]:
        """Return the options of a group that a ``glob(...)`` sweep matches.

        Raises:
            ConfigError: If it matches none.
        """
        names = setting.glob.filter(self.options(setting.key))  # type: ignore[attr-defined]
        if not names:
            raise ConfigError(f"{setting.text!r} matches no {setting.key}{nearest('', self.options(setting.key))}")
        return tuple(names)


class Cells:
    """Resolves one config repeatedly, with some values changed each time."""

    def __init__(self, values: Mapping[str, Any], keys: Sequence[str]) -> None:
        """Prepare to resolve.

        Args:
            values: The config, interpolations unresolved.
            keys: Dotted names of the values that each cell sets.

        Raises:
            ConfigError: If an interpolation cannot be read.
        """
        with _told():
            self._config = OmegaConf.create(dict(values))
        self._keys = keys

    def at(self, cell: Sequence[Value]) -> dict[str, Any]:
        """Return the config with the values of a cell, every interpolation resolved.

        Raises:
            ConfigError: If one cannot be.
        """
        with _told():
            for key, value in zip(self._keys, cell, strict=True):
                OmegaConf.update(self._config, key, value, merge=False, force_add=True)
            # Resolver results are cached under the text of their arguments, which has another value in each cell.
            OmegaConf.clear_cache(self._config)
            resolved = OmegaConf.to_container(self._config, resolve=True)
        assert isinstance(resolved, dict)
        json.dumps(resolved, default=_refuse)
        return {str(key): value for key, value in resolved.items()}


def resolve(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with every interpolation resolved.

    Raises:
        ConfigError: If one cannot be.
    """
    return Cells(values, ()).at(())


def interpolates(value: object) -> bool:
    """Return whether a value, or one inside it, refers to another."""
    if isinstance(value, dict):
        return any(interpolates(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(interpolates(item) for item in value)
    return isinstance(value, str) and "${" in value


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return a config as YAML text."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(values)))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OmegaConfBaseException as error:
        why = (error.msg or str(error)).splitlines()[0]
        raise ConfigError(f"cannot resolve {error.full_key or 'the config'}: {why}") from error


def _refuse(value: object) -> None:
    raise ConfigError(
        f"an interpolation gives {value!r}, expected a number, a string, true or false, null, a list or a dict."
    )


def _flat(error: Exception) -> str:
    lines: Sequence[str] = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])
