"""Tests of the shipped config files."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from normbench import data, models, norms, tasks
from normbench.config.rules import RULES, checked
from normbench.config.shipped import shipped_conf
from normbench.config.sweep import expand
from normbench.training.optimizers import REGISTRY as OPTIMIZERS
from normbench.training.schedules import REGISTRY as SCHEDULES

CONF = shipped_conf()
GROUPS = ("task", "model", "norm", "data", "optimizer", "schedule", "engine")
FILES = {f"{group}/{path.stem}": path for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves = {}
    for key, value in values.items():
        leaves.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return leaves


def is_global(path: Path) -> bool:
    """Return whether a group's YAML also sets what is not its group's, such as a task's learning rate."""
    return path.read_text().startswith("# @package _global_")


def settings(path: Path) -> dict[str, Any]:
    """Return the keys that a group's YAML, or the primary one, gives a default."""
    values = yaml.safe_load(path.read_text())
    prefix = "" if path.parent == CONF or is_global(path) else f"{path.parent.name}."
    return flat({key: value for key, value in values.items() if key not in ("defaults", "sweep")}, prefix)


ALL = {"config": CONF / "config.yaml", **FILES}


@pytest.mark.parametrize("path", ALL.values(), ids=ALL)
def test_every_key_has_a_rule_that_its_default_keeps(path: Path) -> None:
    """No default is refused, and none is changed into another type."""
    for key, value in settings(path).items():
        assert key in RULES
        if key != "data.root":  # an image folder has to be given one
            meant = None if value == "auto" and RULES[key].auto else value
            assert checked(key, value) == meant
            assert type(checked(key, value)) is type(meant)


def test_no_rule_is_for_a_key_that_no_yaml_has() -> None:
    """A rule for nothing would be a misspelt one."""
    assert set(RULES) == {key for path in ALL.values() for key in settings(path)}


@pytest.mark.parametrize("path", FILES.values(), ids=FILES)
def test_a_group_file_bears_the_name_of_what_it_configures(path: Path) -> None:
    """norm=batch gives the norm named batch."""
    values = yaml.safe_load(path.read_text())
    assert (values[path.parent.name] if is_global(path) else values)["name"] == path.stem


@pytest.mark.parametrize(
    ("group", "registry"),
    [
        ("model", models.REGISTRY),
        ("norm", norms.CHOICES),
        ("data", data.REGISTRY),
        ("optimizer", OPTIMIZERS),
        ("schedule", SCHEDULES),
        ("task", tasks.REGISTRY),
    ],
)
def test_every_entry_of_a_registry_has_a_file(group: str, registry: dict[str, object]) -> None:
    """Nothing can be built that cannot be asked for, and the other way round."""
    assert {path.stem for path in (CONF / group).glob("*.yaml")} == set(registry)


@pytest.mark.parametrize("path", ALL.values(), ids=ALL)
def test_no_shipped_value_refers_to_another(path: Path) -> None:
    """Interpolation takes the slow path of planning."""
    assert "${" not in path.read_text()


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))
def test_every_experiment_expands_without_m(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An experiment is complete, and its study bears its name."""
    monkeypatch.chdir(tmp_path)
    sweep = expand([f"+experiment={name}"])
    assert sweep.settings.study == name
    assert len(set(map(repr, sweep.runs))) == len(sweep.runs) > 0
