"""What normbench finds on this machine, and what would be slow or missing."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import torch

from normbench.data.torchvision_sets import FILES
from normbench.engine.device import device_name, find_compiler, find_device
from normbench.engine.places import PLACES
from normbench.engine.precision import fast_bfloat16
from normbench.record.provenance import commit, versions


def findings(data_root: Path) -> Iterator[tuple[str, str]]:
    """Yield the findings, as pairs of a name and a line of text.

    Args:
        data_root: Folder of torchvision's data sets.
    """
    for name, number in versions().items():
        yield name, number or "missing"
    head = commit()
    if head["git_commit"]:
        dirty = ", with uncommitted changes" if head["git_dirty"] == "true" else ""
        yield "git", f"{head['git_commit'][:12]}{dirty}"
    device = find_device("auto")
    yield "device", f"{device} ({device_name(device)})"
    yield "threads", f"{torch.get_num_threads()} of {os.cpu_count()} processors"
    fast = {True: "fast", False: "emulated here, and no faster than float32", None: "this torch cannot tell"}
    yield (
        "precision",
        f"bfloat16: {fast[fast_bfloat16(device)]}" + ("; float16: slow on a CPU" if device.type == "cpu" else ""),
    )
    compiler = find_compiler()
    yield "compiler", compiler or "none: torch.compile is not used on the CPU; everything works, but slower"
    for name, place in PLACES.items():
        yield f"engine={name}", place.about()
    yield "data", "digits, digit_*, pydoc_topics and synthetic* need no files"
    for name, files in FILES.items():
        folder = data_root / files
        yield "", f"{name}: found in {folder}" if folder.exists() else f"{name}: not found in {folder.absolute()}"
    if platform.system() == "Windows":
        yield "system", "Windows is supported through WSL: run normbench inside it"
