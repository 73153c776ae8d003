"""Verdicts and claims as text for a terminal."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from normbench.claims.calibration import Rate
from normbench.claims.spec import VERDICTS, Claim, Source
from normbench.claims.verdicts import Judged

_NARROW = 40

_WAYS = {
    "estimated from runs": ("experiment",),
    "computed or looked up": ("property", "fact"),
    "from the literature only": ("literature",),
}


def verdict_table(judged: Sequence[Judged], width: int) -> str:
    """Return one or two lines per claim: verdict, effect with its interval, and what the literature says.

    The named cells of a claim stand under it.

    Args:
        judged: What to show.
        width: Columns of the terminal.
    """
    rows = [("claim", "verdict", "literature", "effect"), *map(_cells, judged)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    room = max(width - sum(widths) - 6, _NARROW // 2)
    lines: list[str] = []
    for row in rows:
        first, *more = textwrap.wrap(row[3], room) or [""]
        head = "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=False))
        lines.append(f"{head}  {first}".rstrip())
        lines += [" " * (sum(widths) + 6) + text for text in more]
        if row is rows[0]:
            lines.append("─" * min(width, sum(widths) + 6 + room))
    lines += textwrap.wrap("Brackets: 95 % intervals, not adjusted for the number of claims; verdicts are.", width)
    return "\n".join(lines) + "\n"


def details(
    judged: Sequence[Judged], contrasts: Sequence[Mapping[str, object]], others: Sequence[Judged], width: int
) -> str:
    """Return everything known about one claim.

    Args:
        judged: The claim and its verdict, then those on its named cells.
        contrasts: Its rows of contrasts.csv.
        others: The claims that contradict it.
        width: Columns of the terminal.
    """
    first, *cells = judged
    claim = first.claim
    parts = [
        ("claim", claim.statement),
        *_verdict(first, contrasts),
        *(("literature", _reported(one)) for one in claim.literature),
        ("scope", claim.scope),
        ("caveat", claim.caveat),
        *(("contradicted by", f"{one.claim.id}: {one.verdict.verdict}. {one.claim.scope}") for one in others),
        ("spec", claim.spec_sha256[:12]),
    ]
    lines = [claim.id, *_wrapped(parts, "  ", width)]
    for one in cells:
        assert one.cell is not None
        own = [*_verdict(one, contrasts), ("scope", one.cell.scope), ("spec", one.cell.spec_sha256[:12])]
        lines += [f"  {one.name}", *_wrapped(own, "    ", width)]
    return "\n".join(lines) + "\n"


def _reported(source: Source) -> str:
    return f"{source.source}: {'; '.join(filter(None, (source.figures, source.says)))}"


def _verdict(judged: Judged, contrasts: Iterable[Mapping[str, object]]) -> list[tuple[str, str]]:
    verdict = judged.verdict
    return [
        ("verdict", f"{verdict.verdict} ({verdict.outcome}): {verdict.reason}"),
        ("cannot exclude", verdict.cannot_exclude.removeprefix("cannot exclude ")),
        *((f"{row['contrast']}", _contrast(row)) for row in contrasts if row["cell"] == judged.name),
    ]


def _wrapped(parts: Iterable[tuple[str, str]], indent: str, width: int) -> list[str]:
    lines: list[str] = []
    for name, text in parts:
        if text:
            more = f"{indent}  "
            lines += textwrap.wrap(
                f"{name}: {text}", max(width, _NARROW), initial_indent=indent, subsequent_indent=more
            )
    return lines


def claims_table(claims: Mapping[str, Claim], width: int) -> str:
    """Return one line per claim: id, kind and statement; and one per named cell, with its scope."""
    rows = [
        row
        for claim in claims.values()
        for row in (
            (claim.id, claim.kind, claim.statement),
            *((f"  {cell.name}", "", cell.scope) for cell in claim.cells if cell.name),
        )
    ]
    id_width, kind_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    indent = " " * (id_width + kind_width + 4)
    room = max(width, len(indent) + _NARROW // 2)
    lines: list[str] = []
    for name, kind, text in rows:
        head = f"{name:<{id_width}}  {kind:<{kind_width}}  "
        first, *more = textwrap.wrap(text, room - len(indent))
        lines += [head + first, *(indent + part for part in more)]
    return "\n".join(lines) + "\n"


def rates_table(rates: Sequence[Rate]) -> str:
    """Return one line per rate, with its interval and whether its bound is held."""
    lines: list[str] = []
    for rate in rates:
        low, high = rate.interval
        bound = "" if rate.bound is None else f"  {'held' if rate.held else 'NOT HELD'}: at most {rate.bound:.0%}"
        lines.append(f"{rate.scenario}, {rate.noise}")
        lines.append(f"    {rate.counted}: {rate.share:.1%} [{low:.1%}, {high:.1%}] of {rate.trials:,}{bound}")
    return "\n".join(lines) + "\n"


def tally(judged: Sequence[Judged]) -> str:
    """Return how many claims have which verdict, one line per way of reaching it."""
    lines: list[str] = []
    for how, kinds in _WAYS.items():
        counts: Counter[str] = Counter(
            one.verdict.verdict for one in judged if one.claim.kind in kinds and not one.name
        )
        said = [f"{counts[name]} {name.replace('_', ' ')}" for name in VERDICTS if counts[name]]
        if said:
            lines.append(f"{how}: {', '.join(said)}")
    return "\n".join(lines)


def _cells(judged: Judged) -> tuple[str, str, str, str]:
    said = judged.verdict.verdict.replace("_", " ")
    if judged.name:
        return f"  {judged.name}", said, "", _effect(judged)
    return judged.claim.id, said, judged.claim.literature_verdict, _effect(judged)


def _effect(judged: Judged) -> str:
    verdict = judged.verdict
    if np.isnan(verdict.effect):
        return verdict.outcome if verdict.verdict == "not_run" else f"{verdict.outcome}: {verdict.reason}"
    assert judged.cell is not None
    place = f" at {verdict.level}" if verdict.level else ""
    effect = f"{verdict.effect:+.3g} [{verdict.ci_low:+.3g}, {verdict.ci_high:+.3g}] {judged.cell.unit}{place}"
    return f"{effect}, {verdict.n_seeds} seeds ({verdict.outcome})"


def _contrast(row: Mapping[str, object]) -> str:
    if row["effect"] is None:
        return str(row["reason"])
    return f"{row['effect']:+.3g} [{row['ci_low']:+.3g}, {row['ci_high']:+.3g}] {row['unit']} (exploratory)"
