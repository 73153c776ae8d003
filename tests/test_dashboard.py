"""TensorBoard's page, looked at with a real browser."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import normbench

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


def page(url: str, profile: Path) -> str:
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", url], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[str]:
    """Yield the address of a TensorBoard that shows one trained run."""
    if CHROMIUM is None:
        if os.environ.get("NORMBENCH_REQUIRE_OPTIONAL") == "1":
            pytest.fail("Chromium is missing")
        pytest.skip("needs Chromium")
    normbench.train(["steps=20", "eval_every=5", "log.tensorboard=run"], study="seen", results_dir=tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--host=127.0.0.1", f"--port={port}"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, f"--logdir={tmp_path / 'seen' / 'tensorboard'}"], stdout=log, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/data/runs")
        yield address
    finally:
        server.terminate()
        server.wait()


def wait_for(url: str) -> None:
    for _ in range(120):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if b"mlp-batch" in answer.read():
                    return
        except OSError:
            pass
        time.sleep(0.5)
    pytest.fail(f"TensorBoard does not answer at {url}")


@pytest.mark.slow
def test_the_page_shows_the_run_with_its_curves_and_histograms(dashboard: str, tmp_path: Path) -> None:
    """Chromium draws the scalars and the histograms around the norms of a run."""
    # Time series is the one page of TensorBoard without shadow trees, which --dump-dom leaves out.
    drawn = page(f"{dashboard}/#timeseries", tmp_path / "profile")
    assert re.search(r"mlp-batch-bs32-lr0\.1-seed0-[0-9a-f]{12}", drawn)
    assert "accuracy/val" in drawn
    assert "gradient_norm/head.weight" in drawn
    assert "layers.0.norm" in drawn
    with urllib.request.urlopen(f"{dashboard}/data/plugin/histograms/tags", timeout=10) as answer:
        histograms = answer.read().decode()
    assert "layers.0.norm/before_norm" in histograms
    assert "layers.0.norm/after_norm" in histograms
