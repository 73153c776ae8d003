"""``python -m normbench``, and the command `normbench`."""

import atexit
import os
import sys
from contextlib import suppress

from normbench.cli import main


def command() -> None:
    """Run the command line and leave at once: to take torch down module by module takes the interpreter two seconds."""
    try:
        main()
    except SystemExit as ended:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            # Whoever read it may have gone, as `head` does.
            with suppress(BrokenPipeError):
                stream.flush()
        os._exit(ended.code if isinstance(ended.code, int) else int(ended.code is not None))


if __name__ == "__main__":
    command()
