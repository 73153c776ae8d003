"""Where a run's numbers come from: versions, commit, machine."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("normbench", "torch", "torchvision", "numpy", "scikit-learn", "hydra-core")


@cache
def versions() -> dict[str, str]:
    """Return the version of each package that decides a result, empty where it is not installed."""
    return {"python": platform.python_version(), **{name.replace("-", "_"): _version(name) for name in _PACKAGES}}


@cache
def commit() -> dict[str, str]:
    """Return commit and dirty flag of the checkout that normbench runs from, else of the folder the user stands in."""
    for folder in (Path(__file__).resolve().parent, Path.cwd()):
        head = _git(folder, "rev-parse", "HEAD")
        if head:
            return {"git_commit": head, "git_dirty": "true" if _git(folder, "status", "--porcelain") else "false"}
    return {"git_commit": "", "git_dirty": ""}


@cache
def machine() -> dict[str, str]:
    """Return the operating system and processor."""
    return {"platform": f"{platform.system()} {platform.release()} {platform.machine()}"}


def processor() -> str:
    """Return the name of the CPU, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for entry in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if entry.startswith("model name"):
                return entry.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _git(folder: Path, *args: str) -> str:
    try:
        done = subprocess.run(["git", *args], cwd=folder, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
