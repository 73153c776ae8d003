"""What to try after a command, in one line, for someone who sits at a terminal."""

import functools
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click
from click.core import ParameterSource

from normbench.errors import nearest

FIRST_STEPS = """\b
First steps:
  normbench doctor                        what this machine has
  normbench train +experiment=quickstart  54 runs, in under a minute
  normbench report quickstart             their results on a page
  normbench list                          what can be chosen
  normbench explain group                 what is known of a name

Example: normbench train +experiment=quickstart"""

NEXT: Mapping[str, str] = {
    "train": "normbench report{study}",
    "plan": "normbench train with the same arguments",
    "list": "normbench explain NAME, for any name in these lists",
    "explain": "normbench list norms, or another kind of names",
    "aggregate": "normbench report{studies}{results_dir}",
    "compare": "normbench rerun RUN_ID, which trains a run of either study again",
    "merge": "normbench aggregate{output}{results_dir}",
    "report": "open that file in a browser; or normbench dashboard{studies}{results_dir}",
    "dashboard": "normbench report{studies}{results_dir}, a page to send around",
    "status": "normbench aggregate{studies}{results_dir}",
    "rerun": "normbench compare STUDY_A STUDY_B, for whole studies",
    "doctor": "normbench train +experiment=quickstart",
    "completion": 'eval "$(normbench completion{shell})" in the start-up file of your shell',
    "claims list": "normbench explain ID, then normbench claims run ID",
    "claims run": "normbench claims verdict ID, for one claim in detail",
    "claims verdict": "normbench explain ID, for its literature and scope",
    "claims publish": "normbench report{folder}",
    "claims calibrate": "normbench claims verdict",
}
"""The next step after each command that ended well. A parameter of the command brings its own space."""


class Guided(click.Group):
    """A group that suggests the nearest command if a name is unknown, and the next step after a command."""

    group_class = type

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command that says at its end what to try next."""
        if cmd.callback is not None and not isinstance(cmd, click.Group):
            cmd.callback = _leading_on(cmd.callback)
        super().add_command(cmd, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not ctx.resilient_parsing and not args[0].startswith("-") and args[0] not in self.commands:
            raise click.UsageError(f"unknown command {args[0]!r}{nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


def next_step(ctx: click.Context) -> str:
    """Return what to try after a command; empty if that needs a study and the command left none.

    Args:
        ctx: Of the command. Its `obj` is the folder of the study that the command has written, if there is one.
    """
    path = ctx.command_path.partition(" ")[2]
    words = {name: _word(value) for name, value in ctx.params.items()}
    if ctx.get_parameter_source("results_dir") is ParameterSource.DEFAULT:
        words["results_dir"] = ""
    elif "results_dir" in words:
        words["results_dir"] = f" --results-dir{words['results_dir']}"
    if path == "train":
        if ctx.obj is None:
            return ""
        words["study"] = _word(ctx.obj)
    return NEXT[path].format(**words)


def _leading_on(callback: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(callback)
    def called(*args: Any, **kwargs: Any) -> Any:
        code = callback(*args, **kwargs)
        # Where either stream is a file or a pipe, nobody is there to be led on, and a log stays as it was.
        if (
            not code
            and sys.stdout.isatty()
            and sys.stderr.isatty()
            and (step := next_step(click.get_current_context()))
        ):
            print(f"next: {step}", file=sys.stderr)
        return code

    return called


def _word(value: Any) -> str:
    """Return a parameter as words of a shell, with a space before each."""
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    return "".join(f" {shlex.quote(str(one))}" for one in values)
