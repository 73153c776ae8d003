"""Who may import whom, read from the source: the table below is the architecture."""

import ast
import graphlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "normbench"

# A layer is a module or folder right under normbench/; each may import itself and what stands beside it here.
LAYERS = {
    "errors": "",
    "cache": "errors",
    "metrics": "",
    "randomness": "",
    "source": "errors",
    "spec": "errors",
    "ranks": "",
    "shapes": "",
    "norms": "errors randomness ranks",
    "models": "errors randomness ranks shapes norms",
    "data": "errors cache randomness",
    "properties": "errors randomness norms models",
    "tasks": "errors randomness shapes data metrics",
    "training": "errors cache randomness ranks shapes spec metrics norms models data tasks source",
    "config": "errors spec",
    "plan": "errors source spec config",
    "packing": "errors spec plan",
    "record": "errors spec plan metrics",
    "engine": "errors cache randomness ranks spec data tasks training plan packing record metrics source",
    "analysis": "errors record metrics",
    "claims": "errors record analysis metrics",
    "report": "errors record analysis claims metrics",
    "dashboard": "errors record analysis metrics",
}
# What a user meets: the only modules that may join everything. Those in commands/ stand here each for itself.
COMMANDS = "commands"
EVERYTHING = " ".join(LAYERS)
FACES = {
    "terminal": "metrics spec training",
    "listing": "errors config analysis",
    "completion": "errors metrics config record analysis listing",
    "cursor": "record completion explaining listing",
    "explaining": "errors metrics config analysis claims listing",
    "explain": "errors cursor explaining listing paths",
    "guiding": "errors",
    "paths": "",
    "shells": "errors",
    "streams": "",
    "tabulating": "analysis cursor paths",
    "merging": "errors record analysis",
    "studies": "errors analysis dashboard merging cursor paths",
    "status": "analysis engine record cursor paths",
    "judging": "errors analysis claims",
    "publishing": "errors record claims report",
    "reporting": "config record analysis claims report cursor paths",
    "doctor": "data engine record",
    "api": EVERYTHING,
    "rerun": EVERYTHING,
    "closing": "metrics spec engine analysis terminal api",
    "claiming": EVERYTHING + " api terminal",
    "registering": "claims errors claiming terminal",
    "calibrating": EVERYTHING + " api claiming",
    "__init__": f"{EVERYTHING} api",
    "cli": " ".join(
        (
            EVERYTHING,
            "api calibrating claiming closing cursor doctor explain guiding judging listing publishing registering",
            "reporting rerun shells status streams studies tabulating terminal",
            "api calibrating claiming closing cursor doctor listing paths reporting rerun",
            "shells studies tabulating terminal",
        )
    ),
    "__main__": "cli",
}
MAY_IMPORT = {layer: set(names.split()) for layer, names in {**LAYERS, **FACES}.items()}

# Libraries that stop somewhere, and the layers that may import them.
LIBRARIES = {
    "hydra": "config",
    "omegaconf": "config",
    "click": "cli cursor explain guiding reporting shells status studies tabulating paths",
    "torch": "randomness ranks norms models data tasks training record engine terminal doctor rerun properties",
    "torchvision": "models data tasks doctor properties",
    "timm": "models",
    "ray": "engine",
    "submitit": "engine",
    "safetensors": "models",
    "tokenizers": "data",
    "pycocotools": "tasks",
}

# Data flows from left to right. The engine hands its rows to the record, which is the one import along the flow.
FLOW = ("config", "plan", "engine", "record", "analysis", "claims", "report")
ALONG_THE_FLOW = {("engine", "record")}

GRAB_BAGS = {"utils", "misc", "helpers", "manager", "base"}
LONGEST_FILE = 400
HEAVY = {"torch", "torchvision", "ray", "hydra", "omegaconf", "pandas", "rich", "scipy", "sklearn", "tensorboard"}


def imported_names(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of each import in a file, inside functions and type-checking blocks too."""
    inside = ("normbench", *path.relative_to(package).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = ".".join(inside[: len(inside) - node.level]) if node.level else ""
            source = ".".join(part for part in (parent, node.module) if part)
            for alias in node.names:
                yield node.lineno, f"{source}.{alias.name}"


def layer_of(parts: Sequence[str]) -> str:
    """Return the layer of a module, by the parts of its name below the package."""
    return parts[1] if parts[0] == COMMANDS and len(parts) > 1 else parts[0]


def import_violations(path: Path, package: Path) -> Iterator[str]:
    layer = layer_of([part.removesuffix(".py") for part in path.relative_to(package).parts])
    if layer not in MAY_IMPORT:
        yield "has no place in the table of layers"
        return
    for line, name in imported_names(path, package):
        library, _, rest = name.partition(".")
        if library == "normbench":
            first = layer_of(rest.split("."))
            target = first if first in MAY_IMPORT or (package / first).is_dir() else "__init__"
            if target != layer and target not in MAY_IMPORT[layer]:
                yield f"line {line}: {layer} may not import {target}"
        elif library in LIBRARIES and layer not in LIBRARIES[library].split():
            yield f"line {line}: {layer} may not import {library}"


def violations(package: Path) -> list[str]:
    """Return every breach of the rules in a package, as `file: what`."""
    found = []
    for path in sorted(package.rglob("*.py")):
        own = list(import_violations(path, package))
        name = path.relative_to(package).with_suffix("")
        own += [f"{part} names no idea" for part in name.parts if part in GRAB_BAGS]
        length = len(path.read_text().splitlines())
        if length > LONGEST_FILE:
            own.append(f"{length} lines, more than {LONGEST_FILE}")
        found += [f"{path.relative_to(package)}: {what}" for what in own]
    return found


def test_the_package_keeps_the_rules() -> None:
    """No import leaves its place in the table, and no file is a grab-bag or too long."""
    assert violations(PACKAGE) == []


def types_of(path: Path) -> Iterator[str]:
    """Yield the public classes and type aliases that a module defines."""
    for node in ast.parse(path.read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [node.name] if isinstance(node, ast.ClassDef) else [getattr(target, "id", "") for target in targets]
        yield from (name for name in names if re.match("[A-Z].*[a-z]", name))


def test_a_type_has_a_name_of_its_own() -> None:
    """Who reads the name of a class or alias need not ask which of two is meant."""
    places = Counter(name for path in PACKAGE.rglob("*.py") for name in types_of(path))
    assert {name for name, count in places.items() if count > 1} == set()


def test_no_layers_import_each_other() -> None:
    """The table can be put in an order in which each layer imports earlier ones only."""
    graphlib.TopologicalSorter(MAY_IMPORT).prepare()


def test_data_never_flows_back() -> None:
    """No stage may import a later one, but for the engine that hands over its rows."""
    forward = {
        (stage, later) for place, stage in enumerate(FLOW) for later in FLOW[place + 1 :] if later in MAY_IMPORT[stage]
    }
    assert forward == ALONG_THE_FLOW


PLANTED = {
    "hydra outside config": ("plan.py", "import hydra", "plan may not import hydra"),
    "omegaconf in the cli": ("cli.py", "from omegaconf import OmegaConf", "cli may not import omegaconf"),
    "norms know no config": ("norms/x.py", "from normbench.config import y", "norms may not import config"),
    "norms know no models": ("norms/x.py", "from normbench import models", "norms may not import models"),
    "models know no plan": ("models/x.py", "import normbench.plan", "models may not import plan"),
    "data know no engine": ("data/x.py", "from ..engine import work", "data may not import engine"),
    "training knows no record": (
        "training/x.py",
        "from normbench.record.store import y",
        "training may not import record",
    ),
    "training knows no analysis": ("training/x.py", "from .. import analysis", "training may not import analysis"),
    "record knows no engine": ("record/x.py", "import normbench.engine.work as e", "record may not import engine"),
    "analysis knows no torch": ("analysis/x.py", "from torch.nn import Linear", "analysis may not import torch"),
    "claims know no training": ("claims/x.py", "from normbench.training import solo", "claims may not import training"),
    "report knows no plan": ("report/deep/x.py", "from normbench.plan import y", "report may not import plan"),
    "plan knows no engine": ("plan/x.py", "from normbench.engine import y", "plan may not import engine"),
    "nobody imports the face": ("engine/x.py", "from normbench import train_all", "engine may not import __init__"),
    "nobody imports a command": ("engine/x.py", "from normbench.commands import rerun", "engine may not import rerun"),
    "commands stand for themselves": (
        "commands/shells.py",
        "from normbench.commands.rerun import again",
        "shells may not import rerun",
    ),
    "nobody imports the cli": ("engine/x.py", "from normbench.cli import main", "engine may not import cli"),
    "main imports only the cli": ("__main__.py", "import normbench.training", "__main__ may not import training"),
    "an import in a function": ("claims/x.py", "def f():\n    import torch", "claims may not import torch"),
    "an unknown layer": ("extras/x.py", "", "has no place in the table"),
    "a grab-bag module": ("training/utils.py", "", "utils names no idea"),
    "a grab-bag folder": ("training/base/x.py", "", "base names no idea"),
    "a long file": ("training/x.py", "\n" * 401, "401 lines"),
}


@pytest.mark.parametrize(("file", "source", "message"), PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, source: str, message: str) -> None:
    """Each rule can fail: one breach in an otherwise empty package is reported, and nothing else is."""
    for layer in LAYERS:
        (tmp_path / layer).mkdir()
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    (found,) = violations(tmp_path)
    assert found.startswith(file) and message in found


def test_what_the_table_allows_is_no_violation(tmp_path: Path) -> None:
    """Relative and absolute imports of allowed layers, of the own layer and of free libraries pass."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models/x.py").write_text(
        "import math\nimport torch.nn\nfrom . import y\nfrom .y import z\nfrom ..norms import batch\n"
        "from normbench import norms\nfrom normbench.models import y\nimport normbench.errors\n"
    )
    (tmp_path / "norms").mkdir()
    assert violations(tmp_path) == []


def loaded_by(*arguments: str) -> set[str]:
    """Return the top-level modules that a Python process imports."""
    done = subprocess.run([sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True)
    return set(re.findall(r"^import time:[\d\s]+\|[\d\s]+\|\s*(\w+)", done.stderr, flags=re.MULTILINE))


@pytest.mark.parametrize(
    "arguments",
    [("-c", "import normbench"), ("-m", "normbench", "--help")],
    ids=["import normbench", "normbench --help"],
)
def test_nothing_heavy_is_loaded_to_say_hello(arguments: tuple[str, ...]) -> None:
    """A user who asks for help does not wait for torch."""
    loaded = loaded_by(*arguments)
    assert "normbench" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    "layer", [layer for layer in ("analysis", "claims", "report", "dashboard") if (PACKAGE / layer).is_dir()]
)
def test_judging_loads_no_torch(layer: str) -> None:
    """A verdict can be had from the files in a second: no module of the layer brings in torch, however indirectly."""
    modules = [
        ".".join(("normbench", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in sorted((PACKAGE / layer).rglob("*.py"))
    ]
    assert not loaded_by("-c", "\n".join(f"import {module}" for module in modules)) & {"torch", "hydra", "omegaconf"}
