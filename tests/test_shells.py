"""Completion as a shell asks for it, and where the shell is there, as it shows it."""

import os
import pty
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Command
from test_architecture import HEAVY, loaded_by

from normbench.commands.shells import SCRIPTS


def asked(line: str, cword: str, *, shell: str = "bash", cwd: Path | None = None, **more: str) -> list[str]:
    """Return what a shell gets for a line."""
    environment = {
        **os.environ,
        "_NORMBENCH_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": cword,
        **more,
    }
    done = subprocess.run(
        [sys.executable, "-m", "normbench"], env=environment, cwd=cwd, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


def test_the_protocol_of_click() -> None:
    """Words and the number of the one at the cursor, as click's own script gives them."""
    assert asked("normbench tr", "1") == ["plain,train"]
    assert asked("normbench train norm=gr", "2") == ["plain,norm=group"]


@pytest.mark.parametrize(
    ("line", "current", "expected"),
    [
        pytest.param("normbench train norm=gr", "gr", ["plain,group"], id="behind the ="),
        pytest.param("normbench train -m norm=batch,gr", "batch,gr", ["plain,batch,group"], id="a sweep"),
        pytest.param("normbench train lo", "lo", ["plain,log."], id="a key"),
        pytest.param("normbench train 'norm=gr", "'norm=gr", ["plain,norm=group"], id="in quotes"),
        pytest.param("normbench claims run --catalogue cifar10 nothing_", "nothing_", [], id="nothing"),
        pytest.param(
            "normbench claims verdict small_batch_h", "small_batch_h", ["plain,small_batch_hurts"], id="a claim"
        ),
        pytest.param("normbench nothing x", "x", [], id="an unknown command"),
        pytest.param("normbench list prob", "prob", ["plain,probes"], id="a kind"),
        pytest.param(
            "normbench aggregate --by norm,lr,s --metric test_l", "test_l", ["plain,test_loss"], id="a metric"
        ),
        pytest.param("normbench aggregate --pivot dat", "dat", ["plain,data"], id="a column"),
        pytest.param("normbench explain norm.mom", "norm.mom", ["plain,norm.momentum"], id="a name"),
        pytest.param("normbench completion z", "z", ["plain,zsh"], id="a shell"),
        pytest.param("normbench train --config-dir ", "", ["file,"], id="a folder"),
    ],
)
def test_bash_gets_what_it_will_put_in(tmp_path: Path, line: str, current: str, expected: list[str]) -> None:
    """Bash replaces what stands behind the last `=`, and gets no more than that."""
    assert asked(line, "", COMP_CURRENT=current, cwd=tmp_path) == expected


def test_studies_and_runs_are_found(tmp_path: Path) -> None:
    """Names under the results folder that the line names."""
    (tmp_path / "mine" / "one").mkdir(parents=True)
    (tmp_path / "mine" / "one" / "runs.csv").write_text("run_id,study\nabcdefabcdef,one\n")
    line = "normbench aggregate --results-dir mine "
    assert asked(line, "", COMP_CURRENT="", cwd=tmp_path) == ["plain,one"]
    line = "normbench rerun --results-dir mine --study one ab"
    assert asked(line, "", COMP_CURRENT="ab", cwd=tmp_path) == ["plain,abcdefabcdef"]


def test_other_shells_get_the_whole_word() -> None:
    """zsh with its help, fish with commas left in."""
    assert asked("normbench train norm=gr", "2", shell="zsh") == ["plain\tnorm=group\t"]
    assert asked("normbench claims ver", "2", shell="zsh")[0].startswith("plain\tverdict\tJudge from")
    assert asked("normbench train norm=batch,gr", "norm=batch,gr", shell="fish") == ["plain,norm=batch,group"]


def test_nothing_heavy_is_loaded_at_a_tab(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TAB waits for neither torch nor Hydra nor pandas."""
    monkeypatch.setenv("_NORMBENCH_COMPLETE", "bash_complete")
    for words in ("normbench train norm=", "normbench train norm.", "normbench rerun a", "normbench explain a"):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", "")
        loaded = loaded_by("-m", "normbench")
        assert "yaml" in loaded
        assert not loaded & (HEAVY - {"numpy"})


def test_the_command_prints_the_script(normbench: Command) -> None:
    """Each shell's script is printed, and an unknown shell is answered by the nearest."""
    for shell, script in SCRIPTS.items():
        assert normbench("completion", shell).out == script
    result = normbench("completion", "bsh")
    assert result.code == 2
    assert "unknown shell 'bsh'; did you mean 'bash'?" in result.err


def installed(shell: str) -> str:
    path = shutil.which(shell)
    if path is None:
        if os.environ.get("NORMBENCH_REQUIRE_OPTIONAL") == "1":
            pytest.fail(f"needs {shell}")
        pytest.skip(f"{shell} is not installed")
    return path


@pytest.fixture
def path_with_normbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a command `normbench` first on the path, and go to an empty folder."""
    command = tmp_path / "bin" / "normbench"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m normbench "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


PROMPT = "<ready>"

TYPED = {
    "norm=gr": "[norm=group][X]",
    "norm=batch,gr": "[norm=batch,group][X]",
    "norm_b": "[norm_batch_size=X]",
    "norm.mo": "[norm.momentum=X]",
    "'norm=gr": "[norm=group][X]",
    "+experiment=qu": "[+experiment=quickstart][X]",
}


class Terminal:
    """An interactive shell behind a pseudo-terminal."""

    def __init__(self, *command: str) -> None:
        """Start the shell and wait for its prompt."""
        self._screen, inside = pty.openpty()
        environment = {**os.environ, "PS1": PROMPT, "TERM": "dumb", "INPUTRC": os.devnull, "COLUMNS": "500"}
        self._shell = subprocess.Popen(
            command, stdin=inside, stdout=inside, stderr=inside, env=environment, start_new_session=True
        )
        os.close(inside)
        self._seen = ""
        self.until(PROMPT)

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._screen, text.encode())

    def until(self, sign: str) -> str:
        """Return what is shown before a sign."""
        while sign not in self._seen:
            assert select.select([self._screen], [], [], 30)[0], self._seen
            self._seen += os.read(self._screen, 4096).decode()
        before, _, self._seen = self._seen.partition(sign)
        return before

    def close(self) -> None:
        """End the shell."""
        self._shell.kill()
        self._shell.wait()
        os.close(self._screen)


@pytest.mark.parametrize(("typed", "words"), TYPED.items())
def test_a_real_bash_completes_an_override(path_with_normbench: Path, typed: str, words: str) -> None:
    """A TAB in an interactive bash makes the word whole, with a space behind it where nothing of it can follow."""
    terminal = Terminal(installed("bash"), "--norc", "--noprofile", "-i")
    try:
        terminal.type('eval "$(normbench completion bash)"\n')
        terminal.until(PROMPT)
        # The X tells whether a space was put in; Ctrl-A goes to the start of the line, to print it instead.
        terminal.type(f"normbench train {typed}\tX\x01printf '[%s]' \n")
        terminal.until("[normbench][train]")
        assert terminal.until(PROMPT) == words
    finally:
        terminal.close()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_scripts_can_be_read(path_with_normbench: Path, shell: str) -> None:
    """Where the shell is there, it finds no fault in its script."""
    script = path_with_normbench / "script"
    script.write_text(SCRIPTS[shell])
    subprocess.run([installed(shell), "-n", str(script)], check=True)
