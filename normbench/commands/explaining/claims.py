"""What the YAML of a claim says, and its published verdict."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from normbench.config.shipped import shipped_conf, shipped_results


def catalogues(config_dir: Path | None) -> dict[str, str]:
    """Return the folders of claims under conf, and the name of the catalogue of each; the main one has none."""
    roots = [conf / "claim" for conf in (shipped_conf(), *([] if config_dir is None else [config_dir]))]
    names = sorted({folder.name for root in roots for folder in root.glob("*/")})
    return {"claim": "", **{f"claim/{name}": name for name in names}}


def claim_parts(path: Path, catalogue: str) -> Iterator[tuple[str, str]]:
    """Yield label and text of all that is known of a claim.

    Args:
        path: Its YAML. Those that normbench ships are right; the user's own is checked first.
        catalogue: The name of its catalogue; empty for the main one.

    Raises:
        ConfigError: The user's own YAML is wrong.
    """
    if not path.is_relative_to(shipped_conf()):
        from normbench.claims.loading import load_claim  # takes scipy and pandas

        load_claim(path)
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    yield "", str(values.get("statement", ""))
    yield "kind", str(values.get("kind", ""))
    for source in values.get("literature", ()):
        figures = f"{source['figures'].strip()}; " if "figures" in source else ""
        yield "literature", f"{source['source']}: {figures}{source['says']}"
    yield "literature's verdict", str(values.get("literature_verdict", ""))
    yield "scope", str(values.get("scope", ""))
    for name, cell in values.get("cells", {}).items():
        yield f"scope of {name}", str(cell.get("scope", ""))
    yield "caveat", str(values.get("caveat", ""))
    yield "contradicts", ", ".join(values.get("contradicts", ()))
    for row in _published(path.stem, catalogue):
        outcome = f" ({row['outcome']})" if row["outcome"] else ""
        place = f" in {row['cell']}" if row["cell"] else ""
        yield f"verdict{place}", f"{row['verdict'].replace('_', ' ')}{outcome}: {row['reason']}"


def _published(claim: str, catalogue: str) -> list[Mapping[str, str]]:
    """Return the rows on a claim of the published verdicts; none for a claim of the user's own."""
    folder = shipped_results() / "reference"
    path = (folder / f"reference_{catalogue}" if catalogue else folder) / "verdicts.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["claim"] == claim]
