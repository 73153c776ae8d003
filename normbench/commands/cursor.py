"""Completion callbacks for click: one for each kind of name."""

from typing import Any

from click import Context, Parameter


def overrides(ctx: Context, _param: Parameter, incomplete: str) -> list[str]:
    """Complete an override of `train` or `plan`."""
    from normbench.commands.completion import OverrideLine

    return OverrideLine(ctx.params.get("overrides") or (), ctx.params.get("config_dir")).complete(incomplete)


def study(ctx: Context, _param: Parameter, incomplete: str) -> list[str]:
    """Complete the name of a study."""
    from normbench.commands.completion import one_of, study_names

    return one_of(study_names(ctx.params["results_dir"]), incomplete)


def columns(ctx: Context, _param: Parameter, incomplete: str) -> list[str]:
    """Complete a list of columns of the studies named."""
    from normbench.commands.completion import columns, list_of

    return list_of(columns(_studies(ctx), ctx.params["results_dir"]), incomplete)


def metric(ctx: Context, _param: Parameter, incomplete: str) -> list[str]:
    """Complete the name of a metric of the studies named."""
    from normbench.commands.completion import metrics, one_of

    return one_of(metrics(_studies(ctx), ctx.params["results_dir"]), incomplete)


def claim(ctx: Context, _param: Parameter, incomplete: str) -> list[str]:
    """Complete the id of a claim."""
    from normbench.commands.completion import one_of
    from normbench.commands.listing import option_files

    folder = f"claim/{ctx.params.get('catalogue') or ''}"
    return one_of(option_files(folder, ctx.params.get("config_dir")), incomplete)


def run(ctx: Context, _param: Parameter, incomplete: str) -> list[str]:
    """Complete the id of a run."""
    from normbench.commands.completion import run_ids

    return run_ids(incomplete, _names(ctx.params.get("study")), ctx.params["results_dir"])


def kinds(_ctx: Context, _param: Parameter, incomplete: str) -> list[str]:
    """Complete a kind of `normbench list`."""
    from normbench.commands.completion import one_of
    from normbench.commands.listing import LISTED

    return one_of(LISTED, incomplete)


def explained(ctx: Context, _param: Parameter, incomplete: str) -> list[str]:
    """Complete a name that `normbench explain` knows."""
    from normbench.commands.completion import one_of
    from normbench.commands.explaining.senses import known_names

    return one_of(known_names(ctx.params.get("config_dir")), incomplete)


def _studies(ctx: Context) -> list[str]:
    return [name for key in ("studies", "first", "second") for name in _names(ctx.params.get(key))]


def _names(given: Any) -> list[str]:
    """Return the values of a parameter as a list: one, several or none."""
    return [given] if isinstance(given, str) else list(given or ())
