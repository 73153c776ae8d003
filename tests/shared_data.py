"""Data that are no part of the checkout: they lie in shared/data beside it, or beside a folder that it is in."""

import os
from pathlib import Path

import pytest


def shared_file(name: str) -> Path:
    """Return a file of the shared data; skip the test where it is missing, or fail where nothing may be skipped."""
    for folder in Path(__file__).parents:
        if (path := folder / "shared/data" / name).exists():
            return path
    if os.environ.get("NORMBENCH_REQUIRE_OPTIONAL") == "1":
        pytest.fail(f"shared/data/{name} is missing")
    pytest.skip(f"needs shared/data/{name}")
