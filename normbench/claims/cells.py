"""The cells of an experiment claim from its YAML: a field given for the whole claim is the default of every cell."""

import re
from collections.abc import Mapping
from typing import Any

from normbench.claims import estimands
from normbench.claims.estimands.curve import check_curve
from normbench.claims.fields import choice, items, known, number, section, text
from normbench.claims.spec import FORMS, Cell, Curve, Estimand, Exploratory, Manipulation, Over
from normbench.errors import ConfigError

REQUIRED = ("scope", "design", "estimand", "form", "margin", "unit")
OPTIONAL = ("over", "exploratory", "curves", "manipulation")
NAME = re.compile(r"[a-z][a-z0-9_]*")


def read_cells(claim: str, catalogue: str, values: Mapping[str, Any]) -> tuple[Cell, ...]:
    """Return the cells of a claim; a single one without a name if the YAML has no `cells`.

    Args:
        claim: Id of the claim.
        catalogue: Its catalogue.
        values: Its YAML.

    Raises:
        ConfigError: A field is wrong; the message is one line that names it, and its cell.
    """
    given = {field: values[field] for field in (*REQUIRED, *OPTIONAL) if field in values}
    shared: dict[str, Any] = {
        "claim": claim,
        "catalogue": catalogue,
        "statement": text("statement", values["statement"]),
    }
    if "cells" not in values:
        return (Cell(name="", **shared, **_experiment(given)),)
    own = values["cells"]
    if not isinstance(own, dict) or not own:
        raise ConfigError(f"cells: got {own!r}, expected a mapping of names to cells.")
    return tuple(Cell(name=name, **shared, **_named(name, given, cell)) for name, cell in own.items())


def _named(name: object, given: Mapping[str, Any], own: object) -> dict[str, Any]:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(f"cells: got the name {name!r}, expected lowercase letters, digits and _.")
    place = f"cells.{name}"
    if not isinstance(own, dict):
        raise ConfigError(f"{place}: got {own!r}, expected a mapping of fields to values.")
    known(own, (*REQUIRED, *OPTIONAL), (), f" in {place}")
    values = {**given, **own}
    known(values, values, REQUIRED, f" in {place}")
    try:
        return _experiment(values)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error


def _experiment(values: Mapping[str, Any]) -> dict[str, Any]:
    form = choice("form", values["form"], FORMS)
    estimand = _estimand("estimand", values["estimand"])
    levelled = estimand.name in estimands.OVER_LEVELS
    if levelled != (form == "equivalent"):
        raise ConfigError(
            f"form: '{form}' does not fit the estimand '{estimand.name}': equivalent needs differences at each "
            f"level, greater needs one number per seed."
        )
    margin = number("margin", values["margin"], low=0)
    if levelled and margin == 0:
        raise ConfigError("margin: got 0, expected above 0: no data can show that two arms are exactly equivalent.")
    manipulation = values.get("manipulation")
    curves = tuple(_curve(place, curve, estimand) for place, curve in enumerate(items("curves", values)))
    return {
        "scope": text("scope", values["scope"]),
        "design": tuple(_sweep(place, line) for place, line in enumerate(items("design", values, required=True))),
        "over": None if values.get("over") is None else _over(values["over"]),
        "estimand": estimand,
        "form": form,
        "margin": margin,
        "unit": text("unit", values["unit"]),
        "exploratory": tuple(_exploratory(place, row) for place, row in enumerate(items("exploratory", values))),
        "curves": curves,
        "manipulation": None if manipulation is None else _manipulation(manipulation),
    }


def _sweep(place: int, value: object) -> tuple[str, ...]:
    overrides = tuple(text(f"design[{place}]", value).split())
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or key == "seed":
            what = "the judge sets the seeds" if key == "seed" else "expected overrides such as norm=batch,none"
            raise ConfigError(f"design[{place}]: got '{override}': {what}.")
    return overrides


def _over(value: object) -> Over:
    own = section("over", value, ("key", "lowest", "highest", "step", "extend", "span"), ("extend", "span"))
    numbers = {name: number(f"over.{name}", given) for name, given in own.items() if name != "key"}
    over = Over(text("over.key", own["key"]), **numbers)
    if over.step <= 0 or over.extend < 0:
        raise ConfigError(f"over: got step {over.step:g} and extend {over.extend:g}, expected step > 0, extend >= 0.")
    if any(octave * 2 != round(octave * 2) for octave in (over.lowest, over.highest, over.step)):
        raise ConfigError("over: lowest, highest and step are in octaves, expected multiples of 0.5.")
    width = over.highest - over.lowest
    if not 0 <= width <= over.span or width % over.step:
        raise ConfigError(f"over: got {width:g} octaves, expected whole steps of {over.step:g}, at most {over.span:g}.")
    return over


def _estimand(field: str, value: object) -> Estimand:
    own = section(field, value, ("name", "args"))
    if not isinstance(own["args"], dict):
        raise ConfigError(f"{field}.args: got {own['args']!r}, expected a mapping of arguments to values.")
    name = text(f"{field}.name", own["name"])
    estimands.check(name, own["args"])
    return Estimand(name, own["args"])


def _inner_estimand(field: str, value: object) -> Estimand:
    try:
        return _estimand("estimand", value)
    except ConfigError as error:
        raise ConfigError(f"{field}: {error}") from error


def _exploratory(place: int, value: object) -> Exploratory:
    field = f"exploratory[{place}]"
    own = section(field, value, ("label", "estimand", "unit"))
    estimand = _inner_estimand(field, own["estimand"])
    return Exploratory(text(f"{field}.label", own["label"]), estimand, text(f"{field}.unit", own["unit"]))


def _curve(place: int, value: object, estimand: Estimand) -> Curve:
    field = f"curves[{place}]"
    own = section(field, value, ("label", "argument", "values"))
    try:
        check_curve(estimand.name, estimand.args, own["argument"], own["values"])
    except ConfigError as error:
        raise ConfigError(f"{field}.{error}") from error
    return Curve(text(f"{field}.label", own["label"]), tuple(own["argument"]), tuple(own["values"]))


def _manipulation(value: object) -> Manipulation:
    own = section("manipulation", value, ("label", "estimand", "margin", "unit"))
    estimand = _inner_estimand("manipulation", own["estimand"])
    if estimand.name in estimands.OVER_LEVELS:
        raise ConfigError(f"manipulation.estimand: got '{estimand.name}', expected one number per seed.")
    return Manipulation(
        text("manipulation.label", own["label"]),
        estimand,
        number("manipulation.margin", own["margin"], low=0),
        text("manipulation.unit", own["unit"]),
    )
