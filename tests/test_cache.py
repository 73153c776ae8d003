"""Tests of where the cache lies."""

import os
import re
from pathlib import Path

import pytest

from normbench import cache
from normbench.data import load
from normbench.errors import DataError


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be a user without an account and a home; return their folder of temporary files."""
    for name in ("HOME", "NORMBENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def no_account(_: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.setattr("pwd.getpwuid", no_account)
    monkeypatch.setattr(cache, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_without_a_home_the_cache_is_a_temporary_folder(temporary: Path) -> None:
    """Of the user's own, the same one for every command."""
    folder = cache.cache_folder()
    assert folder == cache.cache_folder() == temporary / f"normbench-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file"])
def test_a_temporary_folder_that_somebody_else_may_have_made(kind: str, temporary: Path) -> None:
    """Compiled code is loaded from it: it is refused, and the message says how to name another."""
    folder = temporary / f"normbench-{os.getuid()}"
    if kind == "open to others":
        folder.mkdir()
        folder.chmod(0o777)
    elif kind == "a link":
        (temporary / "other").mkdir()
        folder.symlink_to(temporary / "other")
    else:
        folder.touch()
    with pytest.raises(DataError, match="set another folder with NORMBENCH_CACHE=FOLDER"):
        cache.cache_folder()


@pytest.mark.parametrize("home", ["~", "~nobody-of-that-name"])
def test_a_folder_in_a_home_that_is_not_there(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder is called `~`: neither the cache nor data are looked for in one."""
    monkeypatch.setenv("NORMBENCH_CACHE", f"{home}/cache")
    with pytest.raises(DataError, match=rf"^NORMBENCH_CACHE={home}/cache: there is no such home folder"):
        cache.cache_folder()
    for name, args in (
        ("image_folder", {"root": f"{home}/images", "size": 8}),
        ("cifar10", {"root": f"{home}/data", "download": False}),
    ):
        with pytest.raises(DataError, match=re.escape(f"{home}/")):
            load(name, args)
