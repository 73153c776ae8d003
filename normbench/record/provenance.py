"""The provenance of a run: versions, commit and machine, determined once per process."""

import hashlib
import os
import platform
import shutil
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("normbench", "torch", "torchvision", "numpy", "scikit-learn", "hydra-core")
_CODE = ("*.py", "*.yaml", "*.yml")
_NOT_RESULTS = ":(top,exclude)results"
"""Output folders of training and measuring; `results/reference` is tracked."""


@cache
def versions() -> dict[str, str]:
    """Return the version of each package that affects results, empty if it is not installed."""
    return {"python": platform.python_version(), **{name.replace("-", "_"): _version(name) for name in _PACKAGES}}


@cache
def commit() -> dict[str, str]:
    """Return commit, dirty flag and hash of uncommitted changes of the checkout that normbench runs from.

    If it does not run from a checkout, use the working directory. Changes count in tracked files, and in Python and
    YAML files that git neither tracks nor ignores. Files in `results` affect no result and do not count.
    """
    for folder in (Path(__file__).resolve().parent, Path.cwd()):
        if head := _git(folder, "rev-parse", "HEAD").decode().strip():
            changed = _uncommitted(Path(os.fsdecode(_git(folder, "rev-parse", "--show-toplevel")).removesuffix("\n")))
            return {
                "git_commit": head,
                "git_dirty": "true" if changed else "false",
                "git_diff": hashlib.sha256(changed).hexdigest() if changed else "",
            }
    return {"git_commit": "", "git_dirty": "", "git_diff": ""}


@cache
def machine() -> dict[str, str]:
    """Return the operating system and the compiler that `torch.compile` uses on the CPU."""
    return {
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "compiler": _compiler(),
    }


def processor() -> str:
    """Return the name of the CPU, as far as the system provides it."""
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


def _uncommitted(root: Path) -> bytes:
    """Return the text of `git diff HEAD`, then name and hash of each new Python or YAML file; empty if clean."""
    # Independent of the user's git config: the hash must be the same for everyone.
    form = (
        "--no-ext-diff --no-textconv --no-color --no-renames --full-index --src-prefix=a/ --dst-prefix=b/ --unified=3"
    )
    changed = _git(root, "diff", *form.split(), "HEAD", "--", ".", _NOT_RESULTS)
    new = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *_CODE, _NOT_RESULTS)
    for name in filter(None, new.split(b"\0")):
        path = root / os.fsdecode(name)
        if path.is_file():
            changed += name + b" " + hashlib.sha256(path.read_bytes()).hexdigest().encode() + b"\n"
    return changed


def _compiler() -> str:
    command = shutil.which(os.environ.get("CXX", "g++"))
    number = _output([command, "-dumpfullversion", "-dumpversion"], Path.cwd()) if command else b""
    return f"{Path(command).name} {number.decode().strip()}" if command and number else ""


def _git(folder: Path, *args: str) -> bytes:
    return _output(["git", *args], folder)


def _output(command: list[str], folder: Path) -> bytes:
    """Return the output of a command, empty if it fails or does not exist."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""
