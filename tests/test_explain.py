"""What is known of a name: it comes from the files where it is written, and no name is left out."""

import csv
from pathlib import Path

import pytest
from commands import Command
from test_architecture import HEAVY, loaded_by

from normbench.commands.explaining.docstrings import REGISTRIES, docstring
from normbench.commands.explaining.senses import known_names, senses
from normbench.commands.explaining.tables import columns, columns_named
from normbench.commands.explaining.text import shown
from normbench.commands.listing import option_files, probe_files
from normbench.config.rules import RULES
from normbench.config.shipped import shipped_results
from normbench.record.columns import CURVES, FIXED

NAMES = ("group", "momentum", "landscape", "small_batch_hurts", "test_accuracy_precise", "quickstart", "norms", "cell")


def tables() -> dict[str, list[str]]:
    """Return the columns of each table of a study."""
    with (shipped_results() / "reference" / "verdicts.csv").open(newline="") as file:
        verdicts = next(csv.reader(file))
    counted = ["n", "n_finished", "n_reached_target", "test_accuracy_sd", "val_loss_ci_low", "test_map_mean_finished"]
    return {
        "runs.csv": [*FIXED, "test_bleu_precise", "chance_map"],
        "curves.csv": [*CURVES, "probe.gradients.slope"],
        "summary.csv": counted,
        "verdicts.csv": verdicts,
    }


@pytest.mark.parametrize("table", tables())
def test_every_column_is_explained(table: str) -> None:
    """The page on a study's files has each column of its tables."""
    missing = [name for name in tables()[table] if table not in [row.table for row in columns_named(name)]]
    assert missing == []


def test_every_table_of_the_page_has_a_reader() -> None:
    """A column of any table on the page can be asked for."""
    one = {row.table: row.names[0] for row in columns()}
    assert set(one) >= {*tables(), "contrasts.csv", "doses.csv", "provenance.csv"}
    assert all(senses(name) for name in one.values())


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_shipped_choice_has_its_docstring(kind: str) -> None:
    """Read from the source, whatever way its registry names it."""
    names = [path.stem for path in probe_files()] if kind == "probe" else option_files(kind)
    assert names
    assert [name for name in names if len(docstring(kind, name)) < 20] == []


def test_every_name_is_known() -> None:
    """Keys with a rule, claims of every catalogue, groups: what a command takes can be asked for."""
    keys = {key for key in RULES if not key.endswith((".name", "._target_"))}
    assert keys | {"higher_lr", "higher_lr_cifar10", "norm", "keep", "zoo", "run_id"} <= set(known_names())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_known_fits_80_columns(name: str) -> None:
    """Long texts are wrapped, and no label stands without its text."""
    lines = shown(senses(name), 80).splitlines()
    assert len(lines) >= 3
    assert max(map(len, lines)) <= 80


def test_all_senses_of_a_name_are_printed(normbench: Command) -> None:
    """An experiment and two keys have one name; each says what it is, with its default and what is allowed."""
    result = normbench("explain", "momentum")
    assert (result.code, result.err) == (0, "")
    titles = [line for line in result.out.splitlines() if line and not line.startswith(" ")]
    assert titles == ["experiment momentum", "key norm.momentum", "key optimizer.momentum"]
    assert "default 0.01 in batch_renorm: weight of the newest statistics" in result.out
    assert "allowed: a number of at least 0 and below 1" in result.out


def test_a_claim_comes_with_its_literature_and_verdict(normbench: Command) -> None:
    """What the claim says, what others found, and what was published here."""
    text = " ".join(normbench("explain", "small_batch_hurts").out.split())
    for part in ("Batch norm loses accuracy", "literature: Wu & He 2018", "caveat: ", "scope of digits_mlp: "):
        assert part in text
    assert "verdict in digits_mlp: supported (greater): typical effect +36.6 accuracy points" in text


@pytest.mark.parametrize(
    ("name", "message"), [("gruop", "did you mean 'group'?"), ("12345678", "see `normbench list`.")]
)
def test_an_unknown_name_is_answered_by_the_nearest(normbench: Command, name: str, message: str) -> None:
    """With exit code 2, in one line."""
    result = normbench("explain", name)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"normbench: unknown name '{name}'") and result.err.endswith(f"{message}\n")


def test_names_of_the_users_own_are_known(normbench: Command, tmp_path: Path) -> None:
    """A YAML of the user's says what it is; the docstring of a shipped namesake is not shown for it."""
    (tmp_path / "mine" / "norm").mkdir(parents=True)
    (tmp_path / "mine" / "norm" / "group.yaml").write_text(
        "# My groups.\n_target_: m.G\nname: group\nsize: 2  # of one\n"
    )
    result = normbench("explain", "group", "--config-dir", "mine")
    assert result.code == 0
    assert "My groups." in result.out and "norm.size=2: of one" in result.out and "Wu & He" not in result.out
    assert normbench("explain", "group", "--config-dir", "nowhere").code == 2


def test_a_damaged_claim_is_named(normbench: Command, tmp_path: Path) -> None:
    """Not by a traceback."""
    (tmp_path / "mine" / "claim").mkdir(parents=True)
    (tmp_path / "mine" / "claim" / "odd.yaml").write_text("literature: [1]\n")
    result = normbench("explain", "odd", "--config-dir", "mine")
    assert result.code == 2
    assert "odd.yaml" in result.err and result.err.count("\n") == 1


def test_nothing_heavy_is_loaded_to_explain() -> None:
    """Docstrings are read from the source: no torch, no pandas."""
    assert not loaded_by("-m", "normbench", "explain", "batch") & HEAVY


def test_a_metric_is_explained(normbench: Command) -> None:
    """By what it is, its direction and its range."""
    done = normbench("explain", "miou")
    assert done.code == 0
    assert done.out.startswith("metric miou\n  intersection over union")
    assert "higher is better" in done.out and "from 0 to 1" in done.out
