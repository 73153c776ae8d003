"""``python -m normbench``, and the command `normbench`."""

import atexit
import os
import sys
from contextlib import suppress

from normbench.cli import main


def command() -> None:
    """Run the command line and exit at once: a regular exit spends two seconds on unloading torch."""
    try:
        main()
    except SystemExit as ended:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            # The reader may have closed the pipe, as `head` does.
            with suppress(BrokenPipeError):
                stream.flush()
        os._exit(ended.code if isinstance(ended.code, int) else int(ended.code is not None))


if __name__ == "__main__":
    command()
