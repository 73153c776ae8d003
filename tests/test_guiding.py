"""What leads a newcomer on: complete help, examples that can be pasted, and the next step after each command."""

import re
import shutil
import subprocess
from collections.abc import Iterator

import click
import pytest
from commands import Command

from normbench.cli import cli
from normbench.commands.guiding import NEXT, next_step


def contexts(group: click.Group, parent: click.Context) -> Iterator[click.Context]:
    """Yield a context of every command, groups too, without parameters."""
    yield parent
    for name, command in group.commands.items():
        own = click.Context(command, info_name=name, parent=parent)
        yield from contexts(command, own) if isinstance(command, click.Group) else (own,)


ALL = {context.command_path: context for context in contexts(cli, click.Context(cli, info_name="normbench"))}


@pytest.mark.parametrize("path", ALL)
def test_help_is_cut_off_nowhere(path: str, normbench: Command) -> None:
    """In 80 columns every sentence is whole, and the example is one line."""
    result = normbench(*path.split()[1:], "--help")
    assert result.code == 0
    usage, *lines = result.out.splitlines()
    assert max(map(len, (usage, *lines))) <= 80
    assert not [line for line in lines if "..." in line]
    assert lines[-1].lstrip().startswith("Example")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_examples_can_be_pasted_into_a_shell() -> None:
    """Brackets and stars are quoted where a shell would read them."""
    examples = [re.sub(r"(?s).*Example[^:]*: ", "", context.command.epilog or "") for context in ALL.values()]
    assert all("normbench" in example for example in examples)
    assert not [example for example in examples if re.search(r"[(*\[]", re.sub(r"'[^']*'|\"[^\"]*\"", "", example))]
    subprocess.run(["bash", "-n", "-c", "\n".join(examples)], check=True)


def test_each_command_has_a_next_step() -> None:
    """The table has every command that does something, and each line can be made from the command's parameters."""
    own = {path.partition(" ")[2]: one for path, one in ALL.items() if not isinstance(one.command, click.Group)}
    assert set(NEXT) == set(own)
    for context in own.values():
        context.params = {param.name: None for param in context.command.params if param.name is not None}
        context.obj = "results/mine"
        step = next_step(context)
        assert "normbench " in step and "\n" not in step


@pytest.mark.parametrize(
    ("words", "step"),
    [
        (("status", "my study", "--results-dir", "here"), "normbench aggregate 'my study' --results-dir here"),
        (("aggregate", "a", "b"), "normbench report a b"),
        (("merge", "a", "b", "-o", "c"), "normbench aggregate c"),
        (("train", "--cfg"), ""),
    ],
)
def test_the_next_step_is_for_the_same_study(words: tuple[str, ...], step: str) -> None:
    """It names studies and folder as they were given, quoted for a shell; a config printed leaves no study."""
    name, *args = words
    context = cli.commands[name].make_context(name, args, parent=click.Context(cli, info_name="normbench"))
    assert next_step(context) == step


def test_the_next_step_stands_on_stderr(normbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a command that ended well, at a terminal; stdout has the table alone."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert normbench("list").err == f"next: {NEXT['list']}\n"
    assert "next:" not in normbench("list", "nothing").err


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_no_next_step_without_a_terminal(normbench: Command, monkeypatch: pytest.MonkeyPatch, stream: str) -> None:
    """A script or a pipe gets what it got before."""
    monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    assert normbench("list").err == ""


def test_normbench_alone_shows_first_steps(normbench: Command) -> None:
    """A line for each: what to type, and what it gives."""
    result = normbench()
    assert "First steps:\n    normbench doctor  " in result.err
    assert result.out == ""
