"""The cache of what normbench can recompute: decoded images, compiled steps, and step times."""

import os
from pathlib import Path
from tempfile import gettempdir

from normbench.errors import DataError


def cache_folder() -> Path:
    """Return the cache folder: $NORMBENCH_CACHE, else normbench in $XDG_CACHE_HOME or ~/.cache.

    A user without an account and a home, as in a container, gets a private temporary folder.

    Raises:
        DataError: If it cannot be determined, or the temporary folder is open to other users.
    """
    if chosen := os.environ.get("NORMBENCH_CACHE"):
        if (folder := os.path.expanduser(chosen)).startswith("~"):
            raise DataError(f"NORMBENCH_CACHE={chosen}: there is no such home folder; give another path.")
        return Path(folder).absolute()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "normbench"
    home = os.path.expanduser("~")
    return Path(home, ".cache", "normbench") if home != "~" else _temporary_folder()


def _temporary_folder() -> Path:
    """Return a folder that no other user can write to: compiled code is loaded from it."""
    folder = Path(gettempdir(), f"normbench-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise DataError(
            f"cannot create {folder} ({error.strerror}); set another folder with NORMBENCH_CACHE=FOLDER."
        ) from error
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise DataError(f"{folder} is open to other users; set another folder with NORMBENCH_CACHE=FOLDER.")
    return folder
