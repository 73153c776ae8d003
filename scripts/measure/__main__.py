"""scripts/bench: time normbench against plain PyTorch loops, print the figures and save them."""

import argparse
import csv
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
# Puts `measure` and the checkout's `normbench` on Python's path.
sys.path[0:1] = [str(SCRIPTS), str(SCRIPTS.parent)]

import torch  # noqa: E402

from measure import estimates, norms, plain  # noqa: E402
from measure.figure import Figure, Setting  # noqa: E402
from measure.figures import FIGURES  # noqa: E402
from normbench.record.provenance import commit, processor  # noqa: E402

REFERENCE = SCRIPTS.parent / "results" / "reference" / "bench.csv"
COLUMNS = (
    "name", "work", "runs", "plain_s", "plain_runs_timed", "normbench_s", "peak_mb", "ratio", "target", "reached",
    "pairs", "machine", "git_commit", "git_dirty", "note",
)  # fmt: skip
"""`plain_s` is for one run, `normbench_s` for all `runs`; `ratio` compares all runs, in the direction of `target`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print.

    Args:
        argv: Arguments of the command line.

    Returns:
        The exit code: 1 where a target was missed, else 0.
    """
    options = _options(argv)
    setting = Setting(options.quick, pairs=options.pairs or (1 if options.quick else 3), cifar=options.cifar)
    torch.set_num_threads(1)
    if options.estimates is not None:
        estimates.main(options.estimates, options.output or REFERENCE.with_name("estimates.csv"))
        return 0
    if options.norms:
        norms.main(quick=options.quick, pairs=options.pairs, output=options.output, results=REFERENCE.parents[1])
        return 0
    plain.train(plain.mlp, plain.digits(), batch_size=32, steps=50)
    measured: list[dict[str, str]] = []
    missed = False
    for name in options.names or FIGURES:
        for figure in FIGURES[name](setting):
            missed |= figure.reached is False
            measured.append(row(figure))
            print("\n".join(_shown(measured[-1])), flush=True)
    output = options.output or (None if options.quick else REFERENCE)
    if output is not None:
        write(output, measured)
        print(f"written: {output}")
    return 1 if missed else 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"figures to measure, of {', '.join(FIGURES)} (default: all)"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes to check that it works; writes nothing")
    parser.add_argument(
        "--norms", action="store_true", help="measure instead what each norm costs relative to batch norm"
    )
    parser.add_argument(
        "--estimates", type=Path, metavar="STUDY", help="compare instead the time estimate with the times of a study"
    )
    parser.add_argument("--pairs", type=int, help="pairs of one plain and one normbench timing (default 3, quick 1)")
    parser.add_argument(
        "--cifar", metavar="ROOT", help="folder of CIFAR-10 images: train/ and test/, with one folder per class"
    )
    parser.add_argument("-o", "--output", type=Path, help=f"CSV to write (default: {REFERENCE})")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.names if name not in FIGURES]:
        parser.error(f"unknown figure {unknown[0]!r}; known: {', '.join(FIGURES)}")
    if options.norms and options.names:
        parser.error("--norms measures only norms: omit the names")
    if options.estimates is not None and (options.norms or options.names):
        parser.error("--estimates measures only the time estimate: omit --norms and the names")
    if options.cifar is not None:
        options.cifar = str(Path(options.cifar).resolve())
    return options


def row(figure: Figure) -> dict[str, str]:
    """Return a figure as a row of bench.csv."""
    in_bytes = figure.target.kind == "bytes"
    head = commit()
    values = {
        "name": figure.name,
        "work": figure.work,
        "runs": figure.runs,
        "plain_s": _number(figure.plain),
        "plain_runs_timed": figure.plain_runs_timed or "",
        "normbench_s": "" if in_bytes else _number(figure.normbench),
        "peak_mb": _number(figure.normbench and figure.normbench / 1e6) if in_bytes else "",
        "ratio": _number(figure.ratio),
        "target": str(figure.target),
        "reached": {True: "yes", False: "no", None: ""}[figure.reached],
        "pairs": len(figure.pairs),
        "machine": f"{processor()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "git_commit": head["git_commit"],
        "git_dirty": head["git_dirty"],
        "note": figure.note,
    }
    return {name: str(values[name]) for name in COLUMNS}


def write(path: Path, measured: Iterable[Mapping[str, str]]) -> None:
    """Write rows as CSV, in the place of older ones of the same name; rows of other names stay."""
    new: dict[str, list[Mapping[str, str]]] = {}
    for entry in measured:
        new.setdefault(entry["name"], []).append(entry)
    kept: dict[str, list[Mapping[str, str]]] = {}
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            for entry in csv.DictReader(file):
                kept.setdefault(entry["name"], []).append(entry)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    with draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for name in FIGURES:
            writer.writerows(new.get(name) or kept.get(name, []))
    draft.replace(path)


def _shown(values: Mapping[str, str]) -> list[str]:
    found = f"{values['normbench_s']} s" if values["normbench_s"] else f"{values['peak_mb']} MB"
    plainly = f", one plain run {values['plain_s']} s" if values["plain_s"] else ""
    ratio = f", ratio {values['ratio']}" if values["ratio"] else ""
    verdict = {"yes": "reached", "no": "NOT REACHED", "": ""}[values["reached"]]
    measured = f"{found}{plainly}{ratio}" if int(values["pairs"]) else "not measured"
    lines = [f"{values['name']:<14}{values['work']}", f"{'':<14}{measured}   {values['target']}   {verdict}".rstrip()]
    return [*lines, f"{'':<14}{values['note']}"] if values["note"] else lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(main())
