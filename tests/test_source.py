"""Tests of where the source of a user's own part is found."""

import linecache
import sys
from pathlib import Path
from types import ModuleType

import pytest

from normbench.errors import ConfigError
from normbench.source import source_hash


@pytest.fixture
def own_norm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the source of a user's norm that can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "own_norm_of_source.py"
    path.write_text("class Norm: ...\n")
    return path


def test_a_source_is_found_for_what_is_nested_in_it(own_norm: Path) -> None:
    """The path may go on within the module."""
    assert source_hash(f"{own_norm.stem}.Norm.make") == source_hash(f"{own_norm.stem}.Norm")


@pytest.mark.parametrize("target", ["no_such_module.Norm", "Norm", "sys.path"])
def test_a_target_without_a_source(target: str) -> None:
    """What has no source file has no identity."""
    with pytest.raises(ConfigError, match=f"^_target_={target}: no module of that name"):
        source_hash(target)


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return an empty `__main__`, as that of a notebook is."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


def test_in_a_script_it_is_the_file(main: ModuleType, tmp_path: Path) -> None:
    """Whatever of it has changed: the part may use all of it."""
    script = tmp_path / "script.py"
    main.__file__ = str(script)
    script.write_text("class Norm: ...\n")
    before = source_hash("__main__.Norm")
    assert source_hash("__main__.Norm.make") == before
    script.write_text("gain = 2\nclass Norm: ...\n")
    assert source_hash("__main__.Norm") != before


CELLS = {
    "first": "import torch\n\nclass Norm:\n    gain = 1\n\n    def forward(self, x): return x\n",
    "the same, and more": "class Norm:\n    gain = 1\n\n    def forward(self, x): return x\n\nprint(Norm)\n",
    "an attribute": "class Norm:\n    gain = 2\n\n    def forward(self, x): return x\n",
    "a function": "def Norm(num_features):\n    return num_features\n",
    "another function": "def Norm(num_features):\n    return num_features + 1\n",
}


def hash_of_cell(main: ModuleType, text: str) -> str:
    """Return the hash of `Norm` after a cell was run as IPython does it."""
    name = f"<cell {hash(text)}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), vars(main))
    return source_hash("__main__.Norm")


def test_in_a_notebook_it_is_the_definition(main: ModuleType) -> None:
    """Not the cell, in which the user goes on typing."""
    hashes = {name: hash_of_cell(main, text) for name, text in CELLS.items()}
    assert hashes["first"] == hashes["the same, and more"]
    assert len(set(hashes.values())) == len(hashes) - 1


def test_what_python_did_not_keep_has_no_identity(main: ModuleType) -> None:
    """As what was typed after python -c, in versions that keep nothing of it."""
    exec(compile("class Norm:\n    def forward(self, x): return x\n", "<nowhere>", "exec"), vars(main))
    with pytest.raises(ConfigError, match=r"^_target_=__main__\.Norm: Python does not keep its source"):
        source_hash("__main__.Norm")
