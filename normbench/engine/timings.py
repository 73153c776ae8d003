"""Timings of packs, kept between commands by machine."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from normbench.cache import cache_folder
from normbench.engine.costs import Timing
from normbench.errors import StudyError
from normbench.record.files import write_whole

_MOST_KEPT = 5000
"""Most timings kept per machine: the latest ones."""


def read_timings(machine: str) -> dict[str, Timing]:
    """Return the saved timings of a machine; none if the file is missing or damaged."""
    found: dict[str, Timing] = {}
    for key, values in _read().get(machine, {}).items():
        with suppress(TypeError, ValueError):
            step, evaluation, fixed = map(float, values)
            if all(0 < part < math.inf for part in (step, evaluation, fixed)):
                found[key] = Timing(step, evaluation, fixed)
    return found


def keep_timings(machine: str, timings: Mapping[str, Timing]) -> None:
    """Add timings of a machine to the saved ones. A file that cannot be written is ignored."""
    if not timings:
        return
    content = _read()
    own = content.get(machine, {})
    for key, timing in timings.items():
        own.pop(key, None)
        own[key] = [float(f"{part:.4g}") for part in (timing.step, timing.evaluation, timing.fixed)]
    content[machine] = dict(list(own.items())[-_MOST_KEPT:])
    path = _path()
    with suppress(OSError, StudyError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, [json.dumps(content, indent=0), "\n"])


def _path() -> Path:
    return cache_folder() / "step-times.json"


def _read() -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: dict(own) for key, own in content.items() if isinstance(own, dict)}
