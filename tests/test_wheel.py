"""The wheel, built and installed: what a stranger gets works with no checkout near it."""

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    """Run a command that must succeed, and return its stdout; its stderr is shown where it does not."""
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel alone: its dependencies are those of the running Python."""
    built, target = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("installed")
    uv = (sys.executable, "-m", "uv")
    run(
        *uv, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", built, ROOT, cwd=built
    )
    (wheel,) = built.glob("*.whl")
    run(*uv, "pip", "install", "--python", sys.executable, "--target", target, "--no-deps", wheel, cwd=built)
    return target


def test_the_wheel_holds_the_configs(installed: Path) -> None:
    """Every file of conf/ is inside the package, since there is no checkout to look in."""
    shipped = {path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")}
    inside = installed / "normbench" / "conf"
    assert {path.relative_to(inside) for path in inside.rglob("*.yaml")} == shipped


def test_the_wheel_holds_every_module(installed: Path) -> None:
    """What is imported in the checkout can be imported from the wheel, and so can the files that lie beside it."""
    package = ROOT / "normbench"
    shipped = {path.relative_to(package) for path in package.rglob("*.*") if path.is_file() and path.suffix != ".pyc"}
    missing = {path for path in shipped if not (installed / "normbench" / path).is_file()}
    assert shipped and not missing


def test_the_installed_wheel_explains_columns_and_verdicts(installed: Path, tmp_path: Path) -> None:
    """The page on columns and the published verdicts are in it, too."""
    for name, known in (("num_params", "runs.csv: number of trained parameters"), ("higher_lr_cifar10", "verdict")):
        command = (sys.executable, "-m", "normbench", "explain", name)
        assert known in run(*command, cwd=tmp_path, PYTHONPATH=str(installed))


def test_the_installed_wheel_trains_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """The code that runs is the wheel's, and the results lie where the user stands."""
    where = run(
        sys.executable, "-c", "import normbench; print(normbench.__file__)", cwd=tmp_path, PYTHONPATH=str(installed)
    )
    assert Path(where.strip()).is_relative_to(installed)
    run(sys.executable, "-m", "normbench", "train", "steps=20", cwd=tmp_path, PYTHONPATH=str(installed))
    with (tmp_path / "results" / "default" / "runs.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["status"] == "finished"


def test_the_example_of_the_readme_works_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """Its files, written where the user stands, and its commands, as they are printed, give finished runs."""
    page = (ROOT / "README.md").read_text()
    section = page.partition("\n## Your own norm, model, data or optimizer\n")[2].partition("\n## ")[0]
    files = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", section, flags=re.DOTALL)
    commands = re.findall(r"^    normbench (.*)$", section, flags=re.MULTILINE)
    assert [name for name, _ in files] == ["my_norms.py", "my_conf/norm/tanh.yaml", "my_parts.py"]
    for name, text in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    cache = str(tmp_path / "cache")
    for command in commands:
        words = shlex.split(command)
        run(
            *(sys.executable, "-m", "normbench", *words),
            cwd=tmp_path,
            PYTHONPATH=str(installed),
            NORMBENCH_CACHE=cache,
        )
    with (tmp_path / "results" / "default" / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["status"] for row in rows} == {"finished"}
    norms = [row["norm"] for row in rows]
    assert (norms.count("tanh"), norms.count("batch"), norms.count("dyt")) == (6, 8, 1)
    assert {(row["model"], row["data"]) for row in rows} == {
        ("mlp", "digits"),
        ("one_layer", "digits"),
        ("mlp", "stripes"),
    }
    assert all(float(row["test_accuracy"]) > 0.8 for row in rows)
