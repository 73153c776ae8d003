"""The command `dashboard`, and TensorBoard's pages looked at with a real browser."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import Command
from dashboard.made_up import sweep, write_study

import normbench as package

# What TensorBoard carries in its own folder warns of itself.
pytestmark = pytest.mark.filterwarnings("ignore:html5lib's sanitizer is deprecated:DeprecationWarning")

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1300,6000",
    "--virtual-time-budget=20000",
    "--dump-dom",
]


@dataclass(frozen=True)
class Board:
    """A dashboard that runs.

    Attributes:
        process: The command.
        address: Of its root page, ending in a slash.
        lines: What it printed.
    """

    process: "subprocess.Popen[str]"
    address: str
    lines: list[str]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.address}{path}", timeout=60) as answer:
            return json.load(answer)

    def runs(self) -> set[str]:
        return set(self.get("data/runs"))


Open = Callable[..., Board]


@pytest.fixture
def open_board(tmp_path: Path) -> Iterator[Open]:
    """Start a command, and end it afterwards."""
    with ExitStack() as stack:
        yield lambda *args: stack.enter_context(board(*args, cwd=tmp_path))


@contextmanager
def board(*args: str, cwd: Path) -> Iterator[Board]:
    (cwd / "tmp").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "normbench", "dashboard", "--port", "0", *args],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "TMPDIR": str(cwd / "tmp")},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        found = re.search(r"http://[^?#\s]+", "".join(lines))
        assert found, "".join(lines)
        yield Board(process, found[0], lines)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def page(url: str, profile: Path, *, until: str) -> str:
    """Return a page as a browser has drawn it, looked at again where `until` is not on it yet: the machine is busy."""
    if CHROMIUM is None:
        if os.environ.get("NORMBENCH_REQUIRE_OPTIONAL") == "1":
            pytest.fail("Chromium is missing")
        pytest.skip("needs Chromium")
    drawn = ""
    for _ in range(4):
        if until not in drawn:
            command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", url]
            drawn = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout
    return drawn


@pytest.mark.slow
def test_the_page_shows_the_cells_of_a_study(open_board: Open, tmp_path: Path) -> None:
    """Chromium draws the curves of the cells and lists them, in a study whose names are hostile too."""
    write_study(tmp_path / "results" / "mine", [*sweep(), {"norm": "<script>x</script>", "seed": 0}])
    found = open_board("mine")
    (where,) = [line.split()[-1] for line in found.lines if line.startswith("cells")]
    # Time series is the one page of TensorBoard without shadow trees, which --dump-dom leaves out.
    drawn = page(where, tmp_path / "profile", until="accuracy/val")
    for name in ("cells/batch-lr0.1", "cells/group-lr0.5", "norms/batch", "accuracy/val"):
        assert name in drawn
    assert "<script>x</script>" not in drawn


@pytest.mark.slow
def test_the_page_shows_a_run_with_its_curves_and_histograms(open_board: Open, tmp_path: Path) -> None:
    """A run that left its own log is drawn beside the cells, with the histograms around its norms."""
    package.train(["steps=20", "eval_every=5", "log.tensorboard=run"], study="seen", results_dir=tmp_path / "results")
    found = open_board("seen")
    drawn = page(f"{found.address}#timeseries", tmp_path / "profile", until="layers.0.norm")
    assert re.search(r"mlp-batch-bs32-lr0\.1-seed0-[0-9a-f]{12}", drawn)
    assert "accuracy/val" in drawn
    assert "gradient_norm/head.weight" in drawn
    assert "layers.0.norm" in drawn
    histograms = str(found.get("data/plugin/histograms/tags"))
    assert "layers.0.norm/before_norm" in histograms
    assert "layers.0.norm/after_norm" in histograms


@pytest.mark.slow
def test_the_server_answers_for_every_page(open_board: Open, tmp_path: Path) -> None:
    """Runs, the table of hyper-parameters, the charts' layout and the figures."""
    write_study(tmp_path / "results" / "mine", [*sweep(batch_size=2), *sweep(batch_size=32)])
    found = open_board("mine")
    cells = {f"cells/{norm}-bs{size}-lr{lr}" for norm in ("batch", "group") for size in (2, 32) for lr in (0.1, 0.5)}
    assert found.runs() == {*cells, "norms/batch", "norms/group", "overview"}
    layout = found.get("data/plugin/custom_scalars/layout")
    assert layout["category"][0]["title"].startswith("validation accuracy of each norm")
    assert "figures/test_accuracy over batch_size" in found.get("data/plugin/images/tags")["overview"]
    request = urllib.request.Request(
        f"{found.address}data/plugin/hparams/session_groups",
        data=json.dumps({"startIndex": 0, "sliceSize": 100, "allowedStatuses": ["STATUS_UNKNOWN"]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        groups = json.load(answer)["sessionGroups"]
    assert {group["sessions"][0]["name"] for group in groups} == cells
    assert {group["hparams"]["norm"] for group in groups} == {"batch", "group"}


@pytest.mark.slow
def test_a_study_that_is_read_only_is_shown(open_board: Open, tmp_path: Path) -> None:
    """Its logs are made in a temporary folder, which is gone when the command ends."""
    study = write_study(tmp_path / "results" / "mine", sweep())
    (study / "tensorboard").touch()
    before = {path: path.stat().st_mtime_ns for path in study.iterdir()}
    found = open_board(str(study))
    assert "cells/batch-lr0.1" in found.runs()
    found.process.send_signal(signal.SIGTERM)
    assert found.process.wait(timeout=60) == 0
    assert {path: path.stat().st_mtime_ns for path in study.iterdir()} == before
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_is_how_it_ends(open_board: Open, tmp_path: Path) -> None:
    """Without a word of an interruption, and with exit code 0."""
    write_study(tmp_path / "results" / "mine", sweep())
    found = open_board()
    found.process.send_signal(signal.SIGINT)
    rest, _ = found.process.communicate(timeout=60)
    assert (found.process.returncode, rest) == (0, "")


@pytest.mark.slow
def test_several_studies_are_shown_as_one(open_board: Open, tmp_path: Path) -> None:
    """None named means all; one of which no run has ended is left out, and it is said."""
    for name in ("one", "two"):
        write_study(tmp_path / "results" / name, sweep())
    (tmp_path / "results" / "new").mkdir()
    (tmp_path / "results" / "new" / "plan.jsonl").touch()
    found = open_board()
    assert {"cells/one-batch-lr0.1", "cells/two-batch-lr0.1"} <= found.runs()
    assert found.lines[0] == "left out, since no run of them has ended yet: new\n"


@pytest.mark.slow
def test_nothing_that_a_study_names_is_imported(open_board: Open, tmp_path: Path) -> None:
    """Neither its `_target_` nor a module that lies beside it under a name that TensorBoard asks for."""
    study = write_study(
        tmp_path / "results" / "mine", [{"norm": "mine", "norm._target_": "evil.Norm", "seed": seed} for seed in (0, 1)]
    )
    for name in ("evil", "tensorflow", "boto3", "botocore"):
        for folder in (tmp_path, study):
            (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')")
    found = open_board("mine")
    assert "cells/mine" in found.runs()
    found.get("data/plugin/custom_scalars/layout")
    assert not (tmp_path / "pwned").exists()


def test_a_port_in_use_is_told(normbench: Command, tmp_path: Path) -> None:
    """Before anything is written."""
    write_study(tmp_path / "results" / "mine", sweep())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = normbench("dashboard", "mine", "--port", str(port))
    assert (result.code, result.out) == (2, "")
    assert result.err == f"normbench: --port {port} is in use on 127.0.0.1: --port 0 picks a free one.\n"
    assert not (tmp_path / "results" / "mine" / "tensorboard").exists()


BAD = {
    "unknown study": (["mien"], "no study 'mien' under results, and no such folder; did you mean 'mine'?"),
    "a study of which no run has ended": (["new"], "no run of results/new has ended yet"),
    "a study without a row": (["empty"], "no run has ended yet in results/empty"),
    "no such host": (["mine", "--host", "192.0.2.1", "--port", "6006"], "cannot listen on 192.0.2.1"),
    "no port": (["mine", "--port", "70000"], "70000 is not in the range"),
}


@pytest.mark.parametrize(("args", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_shown_is_told_in_a_line(
    normbench: Command, tmp_path: Path, args: list[str], message: str
) -> None:
    """With exit code 2."""
    write_study(tmp_path / "results" / "mine", sweep())
    empty = write_study(tmp_path / "results" / "empty", sweep())
    for name in ("runs.csv", "curves.csv"):
        (empty / name).write_text((empty / name).read_text().splitlines(keepends=True)[0])
    (tmp_path / "results" / "new").mkdir()
    (tmp_path / "results" / "new" / "plan.jsonl").touch()
    result = normbench("dashboard", *args)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert "Traceback" not in result.err


def test_nothing_to_show_at_all(normbench: Command) -> None:
    """Where nothing was trained yet."""
    result = normbench("dashboard")
    assert result.code == 2
    assert "no study under results" in result.err


def test_making_logs_needs_no_torch(tmp_path: Path) -> None:
    """It would take seconds to import."""
    write_study(tmp_path / "mine", sweep())
    code = (
        "import sys; from pathlib import Path; from normbench.dashboard.folder import refresh_logs;"
        "import normbench.dashboard.serve; refresh_logs(Path('mine'));"
        "print([name for name in ('torch', 'tensorflow', 'hydra') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_logs_of_cells_are_written_on_request(normbench: Command, tmp_path: Path) -> None:
    """By the command that trains, at its end; a sweep writes none by itself."""
    sweep_ = ["train", "-m", "steps=3", "model.width=8", "engine.workers=1", "norm=batch,none"]
    study = tmp_path / "results" / "default"
    assert normbench(*sweep_).code == 0
    assert not (study / "tensorboard").exists()
    assert normbench(*sweep_, "log.tensorboard=cell").code == 0
    assert sorted(cell.name for cell in (study / "tensorboard" / "study" / "cells").iterdir()) == ["batch", "none"]
