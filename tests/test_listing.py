"""What can be chosen: every name, with a line on what it is."""

from collections.abc import Collection
from pathlib import Path

import pytest
from commands import Command

from normbench import data, models, norms
from normbench.commands.listing import GROUPS, LISTED, Choice, choices, choices_table
from normbench.training.optimizers import REGISTRY as OPTIMIZERS
from normbench.training.probing import REGISTRY as PROBES
from normbench.training.schedules import REGISTRY as SCHEDULES

REGISTRIES: dict[str, Collection[str]] = {
    "norms": norms.CHOICES,
    "models": models.REGISTRY,
    "data": data.REGISTRY,
    "optimizers": OPTIMIZERS,
    "schedules": SCHEDULES,
    "probes": PROBES,
}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_all_of_a_registry_is_listed(kind: str) -> None:
    """What the package has by name is what the list shows, without a list kept by hand."""
    assert {choice.name for choice in choices(kind)} == set(REGISTRIES[kind])


@pytest.mark.parametrize("kind", [*GROUPS, "probes"])
def test_each_choice_says_what_it_is(kind: str) -> None:
    """Every shipped file begins with a line that tells what it configures."""
    found = choices(kind)
    assert found
    assert all(len(choice.about) > 10 and "@" not in choice.about for choice in found), found


@pytest.mark.parametrize("kind", LISTED)
def test_the_command_lists_every_kind_in_80_columns(normbench: Command, kind: str) -> None:
    """Each kind is printed, within the terminal and without an escape code."""
    result = normbench("list", kind)
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 80
    assert "\x1b" not in result.out


def test_without_a_kind_the_kinds_are_listed(normbench: Command) -> None:
    """A user who does not know what there is learns it."""
    assert [line.split()[0] for line in normbench("list").out.splitlines()] == list(LISTED)


def test_claims_are_those_of_the_claims_command(normbench: Command) -> None:
    """Two commands, one list."""
    assert normbench("list", "claims").out == normbench("claims", "list").out


def test_an_unknown_kind_is_answered_by_the_nearest(normbench: Command) -> None:
    """A misspelt kind ends with code 2 and the known ones."""
    result = normbench("list", "norm")
    assert result.code == 2
    assert "unknown kind 'norm'; did you mean 'norms'?" in result.err


def test_a_users_own_choices_are_listed(normbench: Command, tmp_path: Path) -> None:
    """What --config-dir adds stands with the rest, by its comment or by the code that it names; a copy wins."""
    own = tmp_path / "conf" / "norm"
    own.mkdir(parents=True)
    (own / "tanh.yaml").write_text("# Squashes.\n_target_: my_norms.TanhNorm\nname: tanh\n")
    (own / "plain.yaml").write_text("_target_: my_norms.Plain\nname: plain\n")
    (own / "batch.yaml").write_text("# Mine.\nname: batch\n")
    lines = normbench("list", "norms", "--config-dir", "conf").out.splitlines()
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line[0] != " "}
    assert shown["tanh"] == "Squashes. (from conf)"
    assert shown["plain"] == "my_norms.Plain (from conf)"
    assert shown["batch"] == "Mine. (from conf)"
    assert "(from conf)" not in shown["group"]


def test_a_config_dir_that_is_none(normbench: Command) -> None:
    """A folder that is not there is an error."""
    result = normbench("list", "norms", "--config-dir", "nowhere")
    assert result.code == 2
    assert "--config-dir: no folder at" in result.err


def test_hostile_names_keep_to_their_line() -> None:
    """A file may be called anything."""
    text = choices_table([Choice("a\x1b[31m\nb", "x" * 300)], width=40)
    assert "\x1b" not in text
    assert text.startswith("a\\x1b[31m\\nb  x")
