"""The set-up behind scripts/normbench and scripts/test, tried with a python and a uv that only note their calls."""

import os
import re
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import wait_until

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 30.0
WHOLE = ["bin", "managed", "stamp"]

FAKE_PYTHON = """#!/bin/sh
echo "python $*" >>"$CALLS"
case $1 in
-c) exec test -z "$OLD_PYTHON" -o "${0##*/}" = "$NEW_PYTHON" ;;
--version) echo "Python 3.x" ;;
-m) case $2 in
  venv) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  pip) [ "$3" = --version ] || cp "$FAKES/uv.py" .venv/bin/uv ;;
  esac ;;
esac
"""
FAKE_UV = """#!/bin/sh
echo "uv $*" >>"$CALLS"
[ -z "$BROKEN_INDEX" ] || exit 1
case $* in
*--requirements*) sleep "${INSTALL_S:-0}" ;;
*--editable*) for tool in normbench ruff mypy pytest; do cp "$FAKES/tool" ".venv/bin/$tool"; done ;;
esac
"""
FAKE_TOOL = """#!/bin/sh
echo "${0##*/} in $PWD with [$*]"
[ "${0##*/}" != "$FAILS" ] || exit 7
"""


@dataclass(frozen=True)
class Checkout:
    """A copy of the scripts, and the folder of fake programs that comes first on their PATH."""

    root: Path
    fakes: Path

    def start(self, *command: str | Path, cwd: Path | None = None, **env: str) -> subprocess.Popen[str]:
        """Start a script of the checkout in a process group of its own."""
        path = f"{self.fakes}{os.pathsep}/usr/bin{os.pathsep}/bin"
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd or self.root,
            env={"PATH": path, "CALLS": str(self.fakes / "calls"), "FAKES": str(self.fakes), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the checkout to its end."""
        with self.start(*command, cwd=cwd, **env) as process:
            out, err = process.communicate(timeout=TIMEOUT_S)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def calls(self) -> str:
        """Return the calls of python and uv since the last look."""
        log = self.fakes / "calls"
        text = log.read_text() if log.exists() else ""
        log.unlink(missing_ok=True)
        return text

    @property
    def venv(self) -> Path:
        return self.root / ".venv"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root, fakes = tmp_path / "a check out", tmp_path / "fakes"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    shutil.copy(ROOT / "pyproject.toml", root)
    fakes.mkdir()
    names = ("python3", "python3.13", "python3.12", "python3.11")
    for name, text in {**dict.fromkeys(names, FAKE_PYTHON), "uv": FAKE_UV, "uv.py": FAKE_UV, "tool": FAKE_TOOL}.items():
        (fakes / name).write_text(text)
        (fakes / name).chmod(0o755)
    return Checkout(root, fakes)


@pytest.fixture
def ready(checkout: Checkout) -> Checkout:
    """A checkout that has been set up."""
    assert checkout.run("scripts/normbench").returncode == 0
    checkout.calls()
    return checkout


def installs(calls: str) -> int:
    return calls.count("--requirements")


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def dead_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def wait_for(checkout: Checkout, text: str) -> None:
    log = checkout.fakes / "calls"
    wait_until(lambda: log.exists() and text in log.read_text(), seconds=TIMEOUT_S)


def test_the_first_call_installs_and_then_runs_the_command(checkout: Checkout, tmp_path: Path) -> None:
    """Only the command's own output is on stdout, and it runs where the user stands."""
    done = checkout.run(checkout.root / "scripts/normbench", "train", "a b", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"normbench in {tmp_path} with [train a b]\n")
    assert "installing scripts/requirements.txt" in done.stderr
    calls = checkout.calls()
    assert installs(calls) == 1
    assert "--no-deps --no-build-isolation --editable ." in calls


def test_the_second_call_starts_neither_python_nor_uv(ready: Checkout) -> None:
    """Nothing but the command itself runs once the environment is there."""
    done = ready.run("scripts/normbench")
    assert (done.returncode, done.stderr, ready.calls()) == (0, "", "")


def test_the_script_works_through_symlinks(ready: Checkout, tmp_path: Path) -> None:
    """A relative link to an absolute link finds the checkout."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "absolute").symlink_to(ready.root / "scripts/normbench")
    (tmp_path / "bin/normbench").symlink_to("../absolute")
    done = ready.run("bin/normbench", cwd=tmp_path)
    assert (done.returncode, ready.calls()) == (0, "")


@pytest.mark.parametrize("changed", ["scripts/requirements.txt", "pyproject.toml"])
def test_a_changed_pin_updates_the_environment_in_place(ready: Checkout, changed: str) -> None:
    """Only what the new pins ask for is installed, and the call after that has nothing to do."""
    with (ready.root / changed).open("a") as file:
        file.write("# changed\n")
    assert ready.run("scripts/normbench").returncode == 0
    calls = ready.calls()
    assert installs(calls) == 1
    assert "-m venv" not in calls
    ready.run("scripts/normbench")
    assert ready.calls() == ""


def test_an_environment_that_was_cut_short_is_made_anew(ready: Checkout) -> None:
    """What a killed installer left can look installed, so nothing of it is kept."""
    (ready.venv / "stamp").unlink()
    (ready.venv / "rubble").touch()
    assert ready.run("scripts/normbench").returncode == 0
    assert "-m venv" in ready.calls()
    assert contents(ready.venv) == WHOLE


@pytest.mark.parametrize("missing", ["python", "normbench"])
def test_a_program_that_is_gone_is_put_back(ready: Checkout, missing: str) -> None:
    """A stamp alone does not make an environment."""
    (ready.venv / "bin" / missing).unlink()
    assert ready.run("scripts/normbench").returncode == 0
    assert installs(ready.calls()) == 1


@pytest.mark.parametrize("rubble", ["bin/python", "lib"])
def test_a_folder_that_does_not_work_is_made_anew(checkout: Checkout, rubble: str) -> None:
    """A .venv without a Python that runs is of no use to anybody."""
    (checkout.venv / rubble).mkdir(parents=True)
    assert checkout.run("scripts/normbench").returncode == 0
    assert contents(checkout.venv) == WHOLE


def test_an_environment_made_by_hand_is_used(checkout: Checkout) -> None:
    """The pins are installed into it, and nothing of it is deleted."""
    subprocess.run([checkout.fakes / "python3", "-m", "venv", checkout.venv], check=True, env={"CALLS": os.devnull})
    (checkout.venv / "own").touch()
    assert checkout.run("scripts/normbench").returncode == 0
    assert "-m venv" not in checkout.calls()
    assert contents(checkout.venv) == sorted([*WHOLE, "own"])


def test_the_environment_of_a_moved_checkout_is_made_anew(ready: Checkout, tmp_path: Path) -> None:
    """The programs of a moved environment would run the code in the old place."""
    moved = Checkout(ready.root.rename(tmp_path / "moved"), ready.fakes)
    assert moved.run("scripts/normbench").returncode == 0
    assert "-m venv" in moved.calls()


def test_a_failed_installation_ends_with_2_and_is_tried_again(checkout: Checkout) -> None:
    """No stamp is left, so that the next call, with the index back, installs."""
    failed = checkout.run("scripts/normbench", BROKEN_INDEX="yes")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert "scripts/requirements.txt could not be installed" in failed.stderr
    assert contents(checkout.venv) == ["bin", "managed"]
    assert checkout.run("scripts/normbench").returncode == 0


def test_a_killed_installation_is_repaired_by_the_next_call(checkout: Checkout) -> None:
    """Neither the lock nor the half-made environment of a killed script is in the way."""
    with checkout.start("scripts/normbench", INSTALL_S="60") as process:
        wait_for(checkout, "--requirements")
        os.killpg(process.pid, signal.SIGKILL)
    assert (checkout.venv / "lock").is_symlink()
    checkout.calls()
    assert checkout.run("scripts/normbench").returncode == 0
    assert "-m venv" in checkout.calls()
    assert contents(checkout.venv) == WHOLE


def test_two_first_calls_install_once(checkout: Checkout) -> None:
    """The second waits for the first, and says so."""
    with checkout.start("scripts/normbench", INSTALL_S="1") as first:
        wait_for(checkout, "--requirements")
        second = checkout.run("scripts/normbench")
        first.communicate(timeout=TIMEOUT_S)
    assert (first.returncode, second.returncode) == (0, 0)
    assert second.stderr.startswith("normbench: waiting for process")
    assert installs(checkout.calls()) == 1


def test_the_lock_of_a_dead_owner_is_taken_over_by_one(checkout: Checkout) -> None:
    """Of three that find the same stale lock one installs, and the lock is gone afterwards."""
    checkout.venv.mkdir()
    (checkout.venv / "lock").symlink_to(str(dead_process()))
    started = [checkout.start("scripts/normbench", INSTALL_S="1") for _ in range(3)]
    for process in started:
        with process:
            process.communicate(timeout=TIMEOUT_S)
    assert [process.returncode for process in started] == [0, 0, 0]
    assert installs(checkout.calls()) == 1
    assert contents(checkout.venv) == WHOLE


def test_a_python_that_is_too_old_is_one_line_and_exit_2(checkout: Checkout) -> None:
    """The message names what is needed and what was found, and no environment is begun."""
    done = checkout.run("scripts/normbench", OLD_PYTHON="yes")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"normbench: needs Python 3\.11 or newer, found Python 3\.x: .*\n", done.stderr)
    assert "-m venv" not in checkout.calls()


def test_no_python_at_all_is_one_line_and_exit_2(checkout: Checkout, tmp_path: Path) -> None:
    """The message is the same kind of line, without the noise of a shell that found nothing."""
    (tmp_path / "tools").mkdir()
    for tool in ("bash", "cat", "cmp", "dirname", "env", "ln", "mkdir", "readlink", "rm", "sh"):
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "tools" / tool).symlink_to(found)
    done = checkout.run("scripts/normbench", PATH=str(tmp_path / "tools"))
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"normbench: needs Python 3\.11 or newer, found no python3: .*\n", done.stderr)


def test_a_newer_python_under_its_own_name_is_found(checkout: Checkout) -> None:
    """An old python3 is no obstacle where python3.12 is there."""
    assert checkout.run("scripts/normbench", OLD_PYTHON="yes", NEW_PYTHON="python3.12").returncode == 0


def test_without_uv_the_pinned_one_is_installed(checkout: Checkout) -> None:
    """Pip fetches the uv that the pins name."""
    (checkout.fakes / "uv").unlink()
    assert checkout.run("scripts/normbench").returncode == 0
    calls = checkout.calls()
    assert re.search(r"-m pip install .*uv==\d", calls)
    assert installs(calls) == 1


SPREAD = "--numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder --max-worker-restart=0"


def test_the_gate_runs_its_steps_in_order(checkout: Checkout) -> None:
    """Each step is named, and the arguments reach pytest."""
    done = checkout.run("scripts/test", "-x", "tests/a b")
    assert [line for line in done.stdout.splitlines() if not line.startswith("==")] == [
        f"{tool} in {checkout.root} with [{args}]"
        for tool, args in [
            ("ruff", "check"),
            ("ruff", "format --check"),
            ("mypy", ""),
            ("pytest", f"{SPREAD} -x tests/a b"),
        ]
    ]
    assert done.stdout.count("== ") == 4


def test_the_gate_stops_at_the_first_failure(checkout: Checkout) -> None:
    """The exit code is that of the step that failed, and nothing runs after it."""
    done = checkout.run("scripts/test", FAILS="mypy")
    assert done.returncode == 7
    assert done.stdout.count("== ") == 3


def test_full_adds_the_tests_left_out_by_default(checkout: Checkout) -> None:
    """An empty -m takes the place of the one in pyproject.toml."""
    assert f"with [{SPREAD} -m  -x]" in checkout.run("scripts/test", "--full", "-x").stdout


def test_the_development_environment_serves_the_command_too(checkout: Checkout) -> None:
    """After scripts/test, scripts/normbench has nothing to install."""
    assert checkout.run("scripts/test").returncode == 0
    assert "scripts/requirements-dev.txt" in checkout.calls()
    assert checkout.run("scripts/normbench").returncode == 0
    assert checkout.calls() == ""


def test_the_gate_adds_its_tools_to_the_environment_of_the_command(ready: Checkout) -> None:
    """After scripts/normbench, scripts/test installs the development pins in place."""
    assert ready.run("scripts/test").returncode == 0
    calls = ready.calls()
    assert "scripts/requirements-dev.txt" in calls
    assert "-m venv" not in calls


def pinned(name: str) -> Iterator[str]:
    for line in (ROOT / "scripts" / name).read_text().splitlines():
        if not line.startswith("#"):
            yield line


def test_the_development_pins_contain_the_others() -> None:
    """Both files hold the same versions, so that one environment serves both scripts."""
    assert set(pinned("requirements.txt")) < set(pinned("requirements-dev.txt"))


def test_every_dependency_is_pinned() -> None:
    """A dependency added to pyproject.toml needs a call of scripts/pin."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
        *project["dependency-groups"]["build"],
    ]
    names = {re.split(r"[^\w.-]", line)[0].lower() for line in wanted}
    assert names <= {line.split("==")[0] for line in pinned("requirements-dev.txt")}


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_pins_name_no_host(name: str) -> None:
    """Where packages come from is the reader's own configuration."""
    assert "://" not in (ROOT / "scripts" / name).read_text()
