"""Tests of output where the terminal's encoding lacks what is to be shown."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from normbench.commands.streams import show_anything

TEXT = "0.5 ± 0.1 \N{EN DASH} é \u7814"
SHOWN = {
    "ascii": "0.5 +- 0.1 - \\xe9 \\u7814",
    "latin-1": "0.5 ± 0.1 - é \\u7814",
    "utf-8": TEXT,
}


@pytest.mark.parametrize("encoding", SHOWN)
def test_what_an_encoding_lacks_is_spelt_out(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost, and what can be shown is left as it is."""
    written = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, file in written.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(file, encoding))
    show_anything()
    for name, file in written.items():
        print(TEXT, end="", file=getattr(sys, name), flush=True)
        assert file.getvalue().decode(encoding) == SHOWN[encoding]


@pytest.mark.slow
def test_commands_show_their_tables_in_ascii(tmp_path: Path) -> None:
    """From the first word of a sweep to its table, and what is read from the records afterwards."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "NORMBENCH_CACHE": str(tmp_path / "cache")}
    sweep = ("train", "-m", "steps=2", "model.width=8", "seed=range(2)", "engine.workers=1", "study=mine")
    for command in (sweep, ("aggregate", "mine"), ("aggregate", "mine", "--format", "markdown")):
        done = subprocess.run(
            [sys.executable, "-m", "normbench", *command], capture_output=True, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert " +- " in done.stdout.decode("ascii")
        assert done.stderr.isascii()
