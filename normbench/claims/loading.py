"""From `conf/claim/<id>.yaml` to claims, every field checked: an error names the field and what is allowed."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from normbench.claims import estimands
from normbench.claims.spec import FORMS, KINDS, LITERATURE_VERDICTS, Claim, Estimand, Exploratory, Over, Source
from normbench.errors import ConfigError, nearest

_SHARED = ("kind", "statement", "literature", "literature_verdict", "scope")
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "experiment": (*_SHARED, "design", "estimand", "form", "margin", "unit"),
    "property": (*_SHARED, "check"),
    "fact": (*_SHARED, "check"),
    "literature": _SHARED,
}
_OPTIONAL: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(KINDS, ("caveat", "contradicts")),
    "experiment": ("caveat", "contradicts", "over", "exploratory"),
}

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
    claims = {name: replace(load_claim(path), catalogue=_catalogue(path)) for name, path in sorted(paths.items())}
    return _contradicting(claims, paths)


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
        return _claim(path.stem, yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ConfigError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error


def _files(folders: Iterable[Path]) -> dict[str, Path]:
    return {path.stem: path for folder in folders for path in folder.glob("*.yaml")}


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


def _claim(name: str, values: object) -> Claim:
    if not _ID.fullmatch(name):
        raise ConfigError(f"the file name is the claim's id: got '{name}', expected lowercase letters, digits and _.")
    if not isinstance(values, dict):
        raise ConfigError("expected a mapping of fields to values.")
    kind = _choice("kind", values.get("kind"), KINDS)
    _known(values, (*_REQUIRED[kind], *_OPTIONAL[kind]), _REQUIRED[kind], f" of kind {kind}")
    texts = {
        field: _text(field, values[field]) for field in ("statement", "scope", "caveat", "check") if field in values
    }
    shared: dict[str, Any] = {
        **texts,
        "literature": tuple(_source(place, value) for place, value in enumerate(_list("literature", values))),
        "literature_verdict": _choice("literature_verdict", values["literature_verdict"], LITERATURE_VERDICTS),
        "contradicts": tuple(_text("contradicts", other) for other in _list("contradicts", values)),
    }
    return Claim(name, kind, **shared, **(_experiment(values) if kind == "experiment" else {}))


def _experiment(values: Mapping[str, Any]) -> dict[str, Any]:
    form = _choice("form", values["form"], FORMS)
    estimand = _estimand("estimand", values["estimand"])
    levelled = estimand.name in estimands.OVER_LEVELS
    if levelled != (form == "equivalent"):
        raise ConfigError(
            f"form: '{form}' does not fit the estimand '{estimand.name}': equivalent needs differences at each "
            f"level, greater needs one number per seed."
        )
    margin = _number("margin", values["margin"], low=0)
    if levelled and margin == 0:
        raise ConfigError("margin: got 0, expected above 0: no data can show that two arms are exactly equivalent.")
    rows = [_exploratory(place, row) for place, row in enumerate(_list("exploratory", values))]
    return {
        "design": tuple(_sweep(place, text) for place, text in enumerate(_list("design", values, required=True))),
        "over": None if values.get("over") is None else _over(values["over"]),
        "estimand": estimand,
        "form": form,
        "margin": margin,
        "unit": _text("unit", values["unit"]),
        "exploratory": tuple(rows),
    }


def _sweep(place: int, value: object) -> tuple[str, ...]:
    overrides = tuple(_text(f"design[{place}]", value).split())
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or key == "seed":
            what = "the judge sets the seeds" if key == "seed" else "expected overrides such as norm=batch,none"
            raise ConfigError(f"design[{place}]: got '{override}': {what}.")
    return overrides


def _over(value: object) -> Over:
    own = _section("over", value, ("key", "lowest", "highest", "step", "extend", "span"), ("extend", "span"))
    numbers = {name: _number(f"over.{name}", number) for name, number in own.items() if name != "key"}
    over = Over(_text("over.key", own["key"]), **numbers)
    if over.step <= 0 or over.extend < 0:
        raise ConfigError(f"over: got step {over.step:g} and extend {over.extend:g}, expected step > 0, extend >= 0.")
    if any(octave * 2 != round(octave * 2) for octave in (over.lowest, over.highest, over.step)):
        raise ConfigError("over: lowest, highest and step are in octaves, expected multiples of 0.5.")
    width = over.highest - over.lowest
    if not 0 <= width <= over.span or width % over.step:
        raise ConfigError(f"over: got {width:g} octaves, expected whole steps of {over.step:g}, at most {over.span:g}.")
    return over


def _estimand(field: str, value: object) -> Estimand:
    own = _section(field, value, ("name", "args"))
    if not isinstance(own["args"], dict):
        raise ConfigError(f"{field}.args: got {own['args']!r}, expected a mapping of arguments to values.")
    name = _text(f"{field}.name", own["name"])
    estimands.check(name, own["args"])
    return Estimand(name, own["args"])


def _exploratory(place: int, value: object) -> Exploratory:
    field = f"exploratory[{place}]"
    own = _section(field, value, ("label", "estimand", "unit"))
    try:
        estimand = _estimand("estimand", own["estimand"])
    except ConfigError as error:
        raise ConfigError(f"{field}: {error}") from error
    return Exploratory(_text(f"{field}.label", own["label"]), estimand, _text(f"{field}.unit", own["unit"]))


def _source(place: int, value: object) -> Source:
    field = f"literature[{place}]"
    own = _section(field, value, ("source", "figures", "says"))
    return Source(**{name: _text(f"{field}.{name}", text) for name, text in own.items()})


def _section(field: str, value: object, names: Collection[str], optional: Collection[str] = ()) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{field}: got {value!r}, expected a mapping with {', '.join(names)}.")
    _known(value, names, [name for name in names if name not in optional], f" in {field}")
    return value


def _known(values: Mapping[Any, Any], names: Collection[str], required: Collection[str], where: str) -> None:
    for name in values:
        if name not in names:
            raise ConfigError(f"unknown field '{name}'{where}{nearest(str(name), names)}")
    for name in required:
        if values.get(name) is None:
            raise ConfigError(f"the field '{name}'{where} is missing.")


def _list(field: str, values: Mapping[str, Any], *, required: bool = False) -> list[Any]:
    value = values.get(field, [])
    if not isinstance(value, list) or (required and not value):
        raise ConfigError(f"{field}: got {value!r}, expected a list.")
    return value


def _text(field: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{field}: got {value!r}, expected a non-empty text.")
    return " ".join(value.split())


def _choice(field: str, value: object, allowed: Collection[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise ConfigError(f"{field}: unknown value {value!r}{nearest(str(value), allowed)}")
    return value


def _number(field: str, value: object, low: float = -math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < low:
        raise ConfigError(
            f"{field}: got {value!r}, expected a number{'' if low == -math.inf else f' of at least {low:g}'}."
        )
    return float(value)
