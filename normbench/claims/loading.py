"""From `conf/claim/<id>.yaml` to claims, every field checked: an error names the field and what is allowed."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from normbench.claims import cells
from normbench.claims.fields import choice, items, known, section, text, whole
from normbench.claims.ledger import Entry, history, read_ledger
from normbench.claims.spec import KINDS, LITERATURE_VERDICTS, Claim, Source
from normbench.errors import ConfigError, nearest

_SHARED = ("kind", "statement", "literature", "literature_verdict")
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "experiment": (*_SHARED, *cells.REQUIRED),
    "property": (*_SHARED, "scope", "check"),
    "fact": (*_SHARED, "scope", "check"),
    "literature": (*_SHARED, "scope"),
}
_OPTIONAL = ("caveat", "contradicts", "assertions")

_ID = re.compile(r"[a-z][a-z0-9_]*")


def load_claims(*folders: Path) -> dict[str, Claim]:
    """Return every claim of a catalogue by id, in the order of the ids.

    Args:
        folders: Each holds one `<id>.yaml` per claim, and a later folder wins; a folder inside `claim` is a catalogue
            named after it.

    Raises:
        ConfigError: There is none, or a file is wrong; the message is one line that names the file and the field.
    """
    paths = _files(folders)
    if not paths:
        raise ConfigError(f"no claims in {', '.join(map(str, folders))}, expected one <id>.yaml per claim.")
    claims = {name: load_claim(path) for name, path in sorted(paths.items())}
    ledger = read_ledger(dict.fromkeys(_root(folder) for folder in folders))
    return {
        name: with_history(replace(claim, folder=_root(paths[name].parent)), ledger)
        for name, claim in _contradicting(claims, paths).items()
    }


def with_history(claim: Claim, ledger: Sequence[Entry]) -> Claim:
    """Return a claim, and its cells, with their designs of a ledger."""
    return replace(
        claim,
        history=tuple(entry for entry in ledger if entry.claim == claim.id),
        cells=tuple(replace(cell, history=history(ledger, claim.id, cell.name)) for cell in claim.cells),
    )


def find_catalogues(shipped: Path, config_dir: Path | None) -> dict[str, list[Path]]:
    """Return the folders of each catalogue by its name, empty for the main one, the user's own last.

    Args:
        shipped: The conf folder that normbench ships.
        config_dir: A user's own conf folder.

    Raises:
        ConfigError: `config_dir` is no folder.
    """
    if config_dir is not None and not config_dir.is_dir():
        raise ConfigError(f"--config-dir: no folder at {config_dir.absolute()}.")
    confs = [shipped, *([] if config_dir is None else [config_dir])]
    roots = [conf / "claim" for conf in confs if (conf / "claim").is_dir()]
    catalogues = {"": roots}
    for root in roots:
        for folder in sorted(root.glob("*/")):
            catalogues.setdefault(folder.name, []).append(folder)
    return catalogues


def unknown_claim(name: str, catalogue: str, catalogues: Mapping[str, Sequence[Path]]) -> ConfigError:
    """Return the error that says which catalogue has a claim, else which id is nearest.

    Args:
        name: The id that was given.
        catalogue: Where it is not; empty for the main one.
        catalogues: The folders of each.
    """
    ids = {own: _files(folders).keys() for own, folders in catalogues.items()}
    holders = [own for own, names in ids.items() if name in names]
    if "" in holders:
        tail = "; it is in the main catalogue: omit --catalogue."
    elif holders:
        tail = f"; it is in the catalogue {holders[0]}: --catalogue {holders[0]}."
    else:
        command = f"normbench claims list{f' --catalogue {catalogue}' if catalogue else ''}"
        tail = nearest(name, ids[catalogue], command)
    return ConfigError(f"unknown claim {name!r}{tail}")


def load_claim(path: Path) -> Claim:
    """Return the claim of one file.

    Raises:
        ConfigError: The file is wrong; the message is one line that names it and the field.
    """
    try:
        return _claim(path.stem, _catalogue(path), yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ConfigError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error


def _files(folders: Iterable[Path]) -> dict[str, Path]:
    return {path.stem: path for folder in folders for path in folder.glob("*.yaml")}


def _root(folder: Path) -> Path:
    """Return the `conf/claim` folder of a catalogue's folder."""
    return folder.parent if folder.parent.name == "claim" else folder


def _catalogue(path: Path) -> str:
    return path.parent.name if path.parent.parent.name == "claim" else ""


def _contradicting(claims: Mapping[str, Claim], paths: Mapping[str, Path]) -> dict[str, Claim]:
    """Return the claims, each with all that it contradicts.

    Two claims in one folder must list each other. In two folders, one of which may be shipped, one listing suffices.
    """
    against = {name: list(claim.contradicts) for name, claim in claims.items()}
    for name, claim in claims.items():
        for other in claim.contradicts:
            mutual = other in claims and name in claims[other].contradicts
            apart = other in claims and paths[other].parent != paths[name].parent
            if other == name or not (mutual or apart):
                raise ConfigError(
                    f"{paths[name]}: contradicts: got '{other}', expected another claim that also lists this one."
                )
            if name not in against[other]:
                against[other].append(name)
    return {name: replace(claim, contradicts=tuple(against[name])) for name, claim in claims.items()}


class _Loader(yaml.SafeLoader):
    """Plain YAML, but a key given twice is an error: the first would be lost silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ConfigError(f"line {node.start_mark.line + 1}: '{key}' is given twice.")
        return super().construct_mapping(node, deep)


def _claim(name: str, catalogue: str, values: object) -> Claim:
    if not _ID.fullmatch(name):
        raise ConfigError(f"the file name is the claim's id: got '{name}', expected lowercase letters, digits and _.")
    if not isinstance(values, dict):
        raise ConfigError("expected a mapping of fields to values.")
    kind = choice("kind", values.get("kind"), KINDS)
    more = (*cells.OPTIONAL, "cells") if kind == "experiment" else ()
    required = _SHARED if kind == "experiment" and "cells" in values else _REQUIRED[kind]
    known(values, (*_REQUIRED[kind], *_OPTIONAL, *more), required, f" of kind {kind}")
    texts = {
        field: text(field, values[field]) for field in ("statement", "scope", "caveat", "check") if field in values
    }
    return Claim(
        name,
        kind,
        statement=texts["statement"],
        scope=texts.get("scope", ""),
        caveat=texts.get("caveat", ""),
        check=texts.get("check", ""),
        literature=tuple(_source(place, value) for place, value in enumerate(items("literature", values))),
        literature_verdict=choice("literature_verdict", values["literature_verdict"], LITERATURE_VERDICTS),
        contradicts=tuple(text("contradicts", other) for other in items("contradicts", values)),
        assertions=tuple(whole("assertions", number) for number in items("assertions", values)),
        cells=cells.read_cells(name, catalogue, values) if kind == "experiment" else (),
        catalogue=catalogue,
    )


def _source(place: int, value: object) -> Source:
    field = f"literature[{place}]"
    own = section(field, value, ("source", "figures", "says"), ("figures",))
    return Source(**{name: text(f"{field}.{name}", given) for name, given in own.items()})
