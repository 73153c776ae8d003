import copy
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from normbench.analysis.study import load_runs, read_curves
from normbench.claims.estimands import evaluate
from normbench.claims.estimands.evaluations import Evaluations
from normbench.claims.loading import find_catalogues, load_claim, load_claims
from normbench.claims.spec import Cell, Claim, Curve, Over, power_of_two
from normbench.config.rules import RULES
from normbench.config.shipped import shipped_conf
from normbench.config.sweep import expand
from normbench.errors import ConfigError
from normbench.plan import run_id
from normbench.record.columns import CURVES, FIXED
from normbench.record.tables import line
from normbench.spec import Run

EXPERIMENT: dict[str, Any] = {
    "kind": "experiment",
    "statement": "Batch norm is better\nthan none.\n",
    "literature": [{"source": "Someone 2020", "figures": "1 against 2", "says": "it is"}],
    "literature_verdict": "supported",
    "scope": "An MLP.",
    "caveat": "Small.",
    "design": ["norm=batch,none batch_size=32", "norm=layer lr=0.5"],
    "over": {"key": "lr", "lowest": -2, "highest": 0, "step": 1},
    "estimand": {
        "name": "difference",
        "args": {"measure": {"name": "tuned_score"}, "treatment": {"norm": "batch"}, "control": {"norm": "none"}},
    },
    "form": "greater",
    "margin": 1,
    "unit": "accuracy points",
}
LEVELS = {"name": "over_levels", "args": {**EXPERIMENT["estimand"]["args"], "levels": [{"batch_size": 32}]}}
FACT = {name: EXPERIMENT[name] for name in ("statement", "literature", "literature_verdict", "scope")}
FACT |= {"kind": "fact", "check": "bert_uses_bn"}


def written(folder: Path, values: object, name: str = "mine") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def claim(folder: Path, **changes: Any) -> Claim:
    return load_claim(written(folder, {**EXPERIMENT, **changes}))


def cell(folder: Path, **changes: Any) -> Cell:
    """Return the only cell of a claim."""
    (only,) = claim(folder, **changes).cells
    return only


def test_a_claim_is_what_its_file_says(tmp_path: Path) -> None:
    """Every field arrives, the id is the file's name, texts are one line, and there is one cell without a name."""
    loaded, only = claim(tmp_path, assertions=[20, 3]), cell(tmp_path)
    assert (loaded.id, loaded.kind, loaded.assertions) == ("mine", "experiment", (20, 3))
    assert loaded.statement == only.statement == "Batch norm is better than none."
    assert loaded.literature[0].figures == "1 against 2"
    assert (only.id, only.name, only.form, only.margin, only.scope) == ("mine", "", "greater", 1.0, "An MLP.")
    assert only.design == (("norm=batch,none", "batch_size=32"), ("norm=layer", "lr=0.5"))
    assert only.over == Over("lr", -2, 0, 1, extend=2, span=16)
    assert only.estimand.args["control"] == {"norm": "none"}
    assert (only.exploratory, only.curves, only.manipulation) == ((), (), None)


MANIPULATION = {"label": "it moves", "estimand": copy.deepcopy(EXPERIMENT["estimand"]), "margin": 0, "unit": "points"}
CURVE = {"label": "statistics", "argument": ["control", "norm"], "values": ["none", "group"]}
CELLS: dict[str, Any] = {
    **{name: value for name, value in EXPERIMENT.items() if name not in ("scope", "design", "over")},
    "cells": {
        "digits_mlp": {"scope": "An MLP.", "design": ["norm=batch,none"], "over": EXPERIMENT["over"]},
        "scenes_resnet": {
            "scope": "A ResNet.",
            "design": ["norm=batch,none data=scenes"],
            "margin": 2,
            "manipulation": MANIPULATION,
            "curves": [CURVE],
        },
    },
}


def with_cells(folder: Path, **changes: Any) -> Claim:
    return load_claim(written(folder, {**CELLS, **changes}))


def test_cells_take_what_their_claim_gives(tmp_path: Path) -> None:
    """A field of the claim is the default of every cell, and each has what is its own."""
    loaded = with_cells(tmp_path)
    first, second = loaded.cells
    assert [one.id for one in loaded.cells] == ["mine.digits_mlp", "mine.scenes_resnet"]
    assert (first.form, first.margin, second.margin, second.unit) == ("greater", 1.0, 2.0, "accuracy points")
    assert first.estimand == second.estimand and second.over is None
    assert (loaded.scope, first.scope, second.scope) == ("", "An MLP.", "A ResNet.")
    assert second.curves == (Curve("statistics", ("control", "norm"), ("none", "group")),)
    assert second.manipulation is not None and second.manipulation.label == "it moves"
    assert loaded.command == first.command == "normbench claims run mine"


def test_a_cell_may_drop_what_its_claim_gives(tmp_path: Path) -> None:
    """An empty field is no field."""
    cells = {"a": {**CELLS["cells"]["digits_mlp"], "over": None}, "b": {"scope": "x", "design": ["norm=batch,none"]}}
    first, second = with_cells(tmp_path, over=EXPERIMENT["over"], cells=cells).cells
    assert first.over is None and second.over is not None


def test_a_named_cell_has_the_hash_of_a_claim_without_cells(tmp_path: Path) -> None:
    """What was judged stays judged when a claim gets further cells: the name is no part, nor are curves."""
    flat = {name: EXPERIMENT[name] for name in ("scope", "design", "over")}
    for own in (flat, {**flat, "curves": [CURVE]}):
        (named,) = with_cells(tmp_path, cells={"digits_mlp": own}).cells
        assert named.spec_sha256 == cell(tmp_path).spec_sha256
    (asked,) = with_cells(tmp_path, cells={"digits_mlp": {**flat, "manipulation": MANIPULATION}}).cells
    assert asked.spec_sha256 != cell(tmp_path).spec_sha256


def test_a_claim_with_cells_is_the_sum_of_them(tmp_path: Path) -> None:
    """Its hash changes with a cell's name or hash, and not with their order; without names it is that of its cell."""
    first, second = CELLS["cells"].items()
    whole = with_cells(tmp_path).spec_sha256
    assert with_cells(tmp_path, cells=dict([second, first])).spec_sha256 == whole
    assert with_cells(tmp_path, cells=dict([first, ("other", second[1])])).spec_sha256 != whole
    assert with_cells(tmp_path, cells=dict([first])).spec_sha256 not in (whole, cell(tmp_path).spec_sha256)
    assert claim(tmp_path).spec_sha256 == cell(tmp_path).spec_sha256


WRONG_CELLS: dict[str, tuple[str, Any, str]] = {
    "no cells": ("cells", {}, "cells: got {}, expected a mapping of names to cells"),
    "a list": ("cells", ["x"], "cells: got ['x'], expected a mapping"),
    "name": ("cells", {"Digits MLP": {}}, "cells: got the name 'Digits MLP', expected lowercase letters"),
    "no mapping": ("cells/digits_mlp", 3, "cells.digits_mlp: got 3, expected a mapping of fields"),
    "unknown field": ("cells/digits_mlp/margn", 3, "unknown field 'margn' in cells.digits_mlp; did you mean 'margin'?"),
    "a field of the claim": ("cells/digits_mlp/caveat", "x", "unknown field 'caveat' in cells.digits_mlp"),
    "missing field": ("cells/digits_mlp/scope", ..., "the field 'scope' in cells.digits_mlp is missing"),
    "missing in all": ("unit", ..., "the field 'unit' in cells.digits_mlp is missing"),
    "value": ("cells/scenes_resnet/margin", -1, "cells.scenes_resnet: margin: got -1"),
    "curves": ("cells/scenes_resnet/curves", CURVE, "cells.scenes_resnet: curves: got {"),
    "curve": ("cells/scenes_resnet/curves/0/label", ..., "the field 'label' in curves[0] is missing"),
    "dose": ("cells/scenes_resnet/curves/0/argument", [], "curves[0].argument: got [], expected a list of keys"),
    "dose of a wrong type": (
        "cells/scenes_resnet/curves/0/argument",
        [1.5],
        "curves[0].argument: got 1.5 in [1.5], expected one of",
    ),
    "doses": (
        "cells/scenes_resnet/curves/0/values",
        ["none"],
        "curves[0].values: got ['none'], expected a list of at least two",
    ),
    "doses twice": ("cells/scenes_resnet/curves/0/values", ["none", "none"], "curves[0].values: got 'none' twice"),
    "manipulation": ("cells/scenes_resnet/manipulation/unit", ..., "the field 'unit' in manipulation is missing"),
    "its margin": ("cells/scenes_resnet/manipulation/margin", -1, "manipulation.margin: got -1"),
    "its estimand": ("cells/scenes_resnet/manipulation/estimand/name", "x", "manipulation: estimand: unknown name 'x'"),
    "its form": (
        "cells/scenes_resnet/manipulation/estimand",
        LEVELS,
        "got 'over_levels', expected one number per seed",
    ),
    "literature": ("literature", ..., "the field 'literature' of kind experiment is missing"),
    "assertions": ("assertions", ["3"], "assertions: got '3', expected a whole number of at least 1"),
    "no assertion": ("assertions", [0], "assertions: got 0, expected a whole number of at least 1"),
}


@pytest.mark.parametrize(("field", "value", "message"), WRONG_CELLS.values(), ids=WRONG_CELLS)
def test_a_wrong_cell_names_itself_and_its_file(tmp_path: Path, field: str, value: Any, message: str) -> None:
    """One line, as for any field."""
    values = copy.deepcopy(CELLS)
    wrong(field, value)(values)
    path = written(tmp_path, values)
    with pytest.raises(ConfigError) as caught:
        load_claim(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_fact_has_a_check_and_no_design(tmp_path: Path) -> None:
    """What is no experiment has neither estimand nor margin."""
    loaded = load_claim(written(tmp_path, FACT))
    assert (loaded.check, loaded.cells, loaded.scope) == ("bert_uses_bn", (), "An MLP.")


def test_shipped_figures_are_figures() -> None:
    """A source without one leaves the field out."""
    claims = [load_claim(path) for path in sorted((shipped_conf() / "claim").rglob("*.yaml"))]
    figures = [one.figures for loaded in claims for one in loaded.literature]
    assert figures and not [text for text in figures if text.startswith("none")]


def test_a_source_need_not_report_figures(tmp_path: Path) -> None:
    """What it says is enough."""
    source = {name: text for name, text in EXPERIMENT["literature"][0].items() if name != "figures"}
    assert claim(tmp_path, literature=[source]).literature[0].figures == ""


def wrong(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return what sets one field, or deletes it where the value is `...`."""

    def change(values: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        inner: Any = values
        for key in parents:
            inner = inner[int(key) if key.isdigit() else key]
        if value is ...:
            del inner[last]
        else:
            inner[last] = value

    return change


WRONG = {
    "unknown field": (wrong("margn", 1), "unknown field 'margn' of kind experiment; did you mean 'margin'?"),
    "a field of another kind": (wrong("check", "x"), "unknown field 'check' of kind experiment"),
    "missing field": (wrong("scope", ...), "the field 'scope' of kind experiment is missing"),
    "empty field": (wrong("statement", None), "the field 'statement' of kind experiment is missing"),
    "kind": (wrong("kind", "experimnt"), "kind: unknown value 'experimnt'; did you mean 'experiment'?"),
    "kind of a wrong type": (wrong("kind", ["fact"]), "kind: unknown value ['fact']"),
    "text": (wrong("unit", 3), "unit: got 3, expected a non-empty text"),
    "blank text": (wrong("caveat", " "), "caveat: got ' ', expected a non-empty text"),
    "literature": (wrong("literature", "x"), "literature: got 'x', expected a list"),
    "source": (wrong("literature/0/says", ...), "the field 'says' in literature[0] is missing"),
    "source of a wrong type": (wrong("literature/0/figures", 3), "literature[0].figures: got 3, expected a non-empty"),
    "literature verdict": (wrong("literature_verdict", "true"), "literature_verdict: unknown value 'true'"),
    "contradicts": (wrong("contradicts", [3]), "contradicts: got 3, expected a non-empty text"),
    "form": (wrong("form", "less"), "form: unknown value 'less'"),
    "form against estimand": (wrong("form", "equivalent"), "'equivalent' does not fit the estimand 'difference'"),
    "estimand against form": (wrong("estimand", LEVELS), "'greater' does not fit the estimand 'over_levels'"),
    "estimand": (wrong("estimand/name", "x"), "estimand: unknown name 'x'. Known: combination"),
    "estimand argument": (wrong("estimand/args/control", 3), "estimand.args.control: got 3"),
    "estimand without arguments": (wrong("estimand/args", 3), "estimand.args: got 3"),
    "negative margin": (wrong("margin", -1), "margin: got -1, expected a number of at least 0"),
    "margin of a wrong type": (wrong("margin", True), "margin: got True, expected a number"),
    "margin NaN": (wrong("margin", math.nan), "margin: got nan, expected a number"),
    "no design": (wrong("design", []), "design: got [], expected a list"),
    "seed in a design": (wrong("design", ["seed=1"]), "design[0]: got 'seed=1': the judge sets the seeds"),
    "no override": (wrong("design", ["norm=none", "x"]), "design[1]: got 'x': expected overrides"),
    "over": (wrong("over", "lr"), "over: got 'lr', expected a mapping with key, lowest"),
    "over's field": (wrong("over/hihgest", 3), "unknown field 'hihgest' in over; did you mean 'highest'?"),
    "over's number": (wrong("over/step", "1"), "over.step: got '1', expected a number"),
    "over's step": (wrong("over/step", 0), "over: got step 0 and extend 2"),
    "quarter octaves": (wrong("over/lowest", -2.25), "expected multiples of 0.5"),
    "broken steps": (wrong("over/step", 1.5), "over: got 2 octaves, expected whole steps of 1.5"),
    "a long grid": (wrong("over/highest", 15), "over: got 17 octaves, expected whole steps of 1, at most 16"),
    "a grid upside down": (wrong("over/highest", -3), "over: got -1 octaves"),
    "exploratory": (wrong("exploratory", [{"label": "x", "unit": "y"}]), "'estimand' in exploratory[0] is missing"),
    "exploratory estimand": (
        wrong("exploratory", [{"label": "x", "unit": "y", "estimand": {"name": "z", "args": {}}}]),
        "exploratory[0]: estimand: unknown name 'z'",
    ),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_field_names_itself_and_its_file(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    """One line: the file, the field, the value got, what is allowed."""
    values = copy.deepcopy(EXPERIMENT)
    change(values)
    path = written(tmp_path, values)
    with pytest.raises(ConfigError) as caught:
        load_claim(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: fact\nscope: [", "while parsing"),
        ("kind: fact\nkind: fact\n", "'kind' is given twice"),
        ("- 3\n", "expected a mapping of fields to values"),
        ("", "expected a mapping of fields to values"),
        ("kind: fact\nscope: !!python/object:os.system x\n", "could not determine a constructor"),
    ],
    ids=["broken", "a key twice", "a list", "empty", "code"],
)
def test_a_file_that_is_no_claim_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    """YAML's own errors are flattened, and nothing but plain values is built."""
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        load_claim(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_names_itself(tmp_path: Path) -> None:
    """No traceback for a missing file."""
    with pytest.raises(ConfigError, match=r"other\.yaml"):
        load_claim(tmp_path / "other.yaml")


def test_a_name_that_is_no_id_is_refused(tmp_path: Path) -> None:
    """Ids go on command lines and into tables."""
    with pytest.raises(ConfigError, match="got 'Mine-2'"):
        load_claim(written(tmp_path, FACT, "Mine-2"))


def test_equivalence_needs_a_margin(tmp_path: Path) -> None:
    """Nothing is shown to be equal to within zero; a difference may have margin 0."""
    assert cell(tmp_path, margin=0).margin == 0
    with pytest.raises(ConfigError, match="margin: got 0, expected above 0"):
        claim(tmp_path, estimand=LEVELS, form="equivalent", margin=0)


TEXTS = {
    "caveat": "Other.",
    "literature_verdict": "open",
    "literature": [],
    "contradicts": ["other"],
    "assertions": [3],
    "exploratory": [{"label": "x", "unit": "y", "estimand": EXPERIMENT["estimand"]}],
}
JUDGED = {
    "statement": "Other.",
    "design": ["norm=batch"],
    "over": {"key": "lr", "lowest": -3, "highest": 0, "step": 1},
    "estimand": {"name": "difference", "args": {**EXPERIMENT["estimand"]["args"], "control": {"norm": "layer"}}},
    "margin": 1.5,
    "unit": "points",
    "scope": "Other.",
}


@pytest.mark.parametrize("field", [*TEXTS, *JUDGED])
def test_the_hash_is_of_the_judged_part(tmp_path: Path, field: str) -> None:
    """A better caveat leaves it; a margin, an arm, a grid or other words for what is claimed change it."""
    changed = claim(tmp_path, **{field: {**TEXTS, **JUDGED}[field]})
    assert (changed.spec_sha256 != claim(tmp_path).spec_sha256) == (field in JUDGED)


def test_the_hash_is_of_canonical_json(tmp_path: Path) -> None:
    """Sorted keys, no spaces, numbers as floats: anyone can recompute it."""
    judged = {name: EXPERIMENT[name] for name in ("kind", "estimand", "form", "unit", "scope")}
    judged["statement"] = "Batch norm is better than none."
    judged |= {"id": "mine", "margin": 1.0, "check": "", "design": [text.split() for text in EXPERIMENT["design"]]}
    judged["over"] = {"key": "lr", "lowest": -2.0, "highest": 0.0, "step": 1.0, "extend": 2.0, "span": 16.0}
    text = json.dumps(judged, sort_keys=True, separators=(",", ":"))
    assert claim(tmp_path, margin=1.0).spec_sha256 == sha256(text.encode()).hexdigest()
    assert claim(tmp_path, margin=1).spec_sha256 == sha256(text.encode()).hexdigest()


def test_sweeps_have_grid_and_seeds(tmp_path: Path) -> None:
    """The grid is added where a sweep does not set the rate itself; a longer grid takes its place."""
    loaded = cell(tmp_path)
    assert loaded.sweeps(range(2)) == (
        ("norm=batch,none", "batch_size=32", "lr=0.25,0.5,1.0", "seed=0,1"),
        ("norm=layer", "lr=0.5", "seed=0,1"),
    )
    assert loaded.sweeps([7], Over("lr", 0, 1, 1))[0][2:] == ("lr=1.0,2.0", "seed=7")
    assert cell(tmp_path, over=None).sweeps([7])[0] == ("norm=batch,none", "batch_size=32", "seed=7")


def test_grids_are_powers_of_two() -> None:
    """Half-octaves included, correctly rounded."""
    assert Over("lr", -1, 0.5, 0.5).values() == (0.5, math.sqrt(0.5), 1.0, math.sqrt(2))
    assert [power_of_two(octave) for octave in (-1.5, -12, 3)] == [math.sqrt(2) / 4, 2**-12, 8.0]


@pytest.mark.parametrize(
    ("over", "end", "expected"),
    [
        (Over("lr", -8, 2, 2), "low", (-10, 2)),
        (Over("lr", -8, 2, 2), "high", (-8, 4)),
        (Over("lr", -8, 7, 0.5), "high", (-8, 8)),
        (Over("lr", -8, 8, 2), "high", None),
        (Over("lr", -8, 7, 2), "low", None),
        (Over("lr", -8, 2, 2, extend=0), "low", None),
    ],
    ids=["low", "high", "what is left", "full", "less than a step left", "fixed"],
)
def test_a_grid_grows_up_to_its_span(over: Over, end: str, expected: tuple[float, float] | None) -> None:
    """At most 16 octaves, in whole steps."""
    longer = over.extended(end)
    assert (None if longer is None else (longer.lowest, longer.highest)) == expected
    assert longer is None or longer.step == over.step


def test_claims_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    """And an empty folder is an error."""
    with pytest.raises(ConfigError, match=re.escape(f"no claims in {tmp_path}")):
        load_claims(tmp_path)
    for name in ("b_b", "a", "b"):
        written(tmp_path, FACT, name)
    assert list(load_claims(tmp_path)) == ["a", "b", "b_b"]


@pytest.mark.parametrize("others", [["missing"], ["one"], ["silent"]], ids=["no such claim", "itself", "one-sided"])
def test_claims_contradict_each_other_both_ways(tmp_path: Path, others: list[str]) -> None:
    """They are shown side by side, from either."""
    written(tmp_path, {**FACT, "contradicts": others}, "one")
    written(tmp_path, FACT, "silent")
    with pytest.raises(ConfigError, match=re.escape(f"one.yaml: contradicts: got '{others[0]}'")):
        load_claims(tmp_path)


@pytest.fixture
def two_folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return two folders of claims; in the first `old` and `new` contradict each other, and `plain` nothing."""
    folders = (tmp_path / "shipped", tmp_path / "own")
    for folder in folders:
        folder.mkdir()
    written(folders[0], {**FACT, "contradicts": ["new"]}, "old")
    written(folders[0], {**FACT, "contradicts": ["old"]}, "new")
    written(folders[0], FACT, "plain")
    return folders


def test_a_later_folder_wins(two_folders: tuple[Path, Path]) -> None:
    """All folders make one catalogue, in the order of the ids; what is replaced is not even read."""
    shipped, own = two_folders
    (shipped / "plain.yaml").write_text("[")
    written(own, {**FACT, "statement": "Mine."}, "plain")
    written(own, FACT, "another")
    claims = load_claims(shipped, own)
    assert list(claims) == ["another", "new", "old", "plain"]
    assert claims["plain"].statement == "Mine."


@pytest.mark.parametrize("others", [["old"], []], ids=["the copy says so", "the other says so"])
def test_a_copy_still_contradicts_what_the_first_did(two_folders: tuple[Path, Path], others: list[str]) -> None:
    """A claim copied under its own name meets its counterpart in the folder that it was copied from."""
    written(two_folders[1], {**FACT, "contradicts": others}, "new")
    claims = load_claims(*two_folders)
    assert (claims["old"].contradicts, claims["new"].contradicts) == (("new",), ("old",))


def test_a_claim_may_contradict_one_of_another_folder(two_folders: tuple[Path, Path]) -> None:
    """The one that cannot be edited need not list it, and is shown beside it all the same."""
    written(two_folders[1], {**FACT, "contradicts": ["plain", "old"]}, "mine")
    claims = load_claims(*two_folders)
    assert claims["mine"].contradicts == ("plain", "old")
    assert (claims["plain"].contradicts, claims["old"].contradicts) == (("mine",), ("new", "mine"))


@pytest.mark.parametrize("other", ["missing", "mine", "silent"], ids=["no such claim", "itself", "one-sided"])
def test_a_wrong_contradiction_names_the_file_of_its_folder(two_folders: tuple[Path, Path], other: str) -> None:
    """Of claims of one folder each must list the other, whatever folders are beside it."""
    path = written(two_folders[1], {**FACT, "contradicts": [other]}, "mine")
    written(two_folders[1], FACT, "silent")
    with pytest.raises(ConfigError, match=re.escape(f"{path}: contradicts: got '{other}'")):
        load_claims(*two_folders)


def test_catalogues_are_the_folders_of_one_name(tmp_path: Path) -> None:
    """The shipped one comes first; a conf folder without claims adds nothing."""
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    for folder in (shipped / "claim" / "photos", own / "claim" / "photos", own / "claim" / "mine"):
        folder.mkdir(parents=True)
    assert find_catalogues(shipped, own) == {
        "": [shipped / "claim", own / "claim"],
        "photos": [shipped / "claim" / "photos", own / "claim" / "photos"],
        "mine": [own / "claim" / "mine"],
    }
    assert list(find_catalogues(shipped, tmp_path)) == list(find_catalogues(shipped, None)) == ["", "photos"]


CATALOGUE = load_claims(shipped_conf() / "claim")
HASHES: dict[str, str] = json.loads(Path(__file__).with_name("hashes.json").read_text())
EXPERIMENTS = {cell.id: cell for claim in CATALOGUE.values() for cell in claim.cells}

KINDS = {
    "experiment": """small_batch_hurts ln_gn_batch_invariant higher_lr faster_convergence better_final_accuracy
        init_robustness hparam_robustness vanishing_exploding bn_causes_gradient_issues deep_trainability dying_relu
        regularizes replaces_dropout bn_plus_dropout larger_batch_faster huge_batch_hurts saturating_unstable
        placement_before affine_helps affine_hurts_gradients clipping_helps_bn eval_consistent eval_adapts_shift
        ics_reduced ics_is_mechanism no_divergence_risk depth_costs_steps adaptive_optimizers less_training_time
        smoother_landscape reliable_gradients small_batch_regularises weight_decay_interaction shift_slows
        augmentation_interaction instance_copes_with_contrast rnn_benefit rnn_no_benefit ln_for_sequences
        transformer_bn transformer_ln""",
    "property": """running_stats_fix_gradients standardized_outputs affine_restores_capacity tiny_norm_batch
        scale_invariance sample_independence bn_leaks_time""",
    "fact": """resnet_uses_bn bert_uses_bn history_2015 sota_required standard_placement
        standard_in_architectures""",
    "literature": """detection_bn detection_gn style_in interpretability_harder lrp_helps viz_before_after""",
}


def overrides(sweep: tuple[str, ...]) -> list[str]:
    """Return a sweep as it can be planned: probes are no part of a run's identity."""
    return [one for one in sweep if "probes" in RULES or not one.startswith("probes=")]


@pytest.fixture(scope="module")
def designs() -> dict[str, dict[str, Run]]:
    """Return the runs of each cell, at two seeds, by run_id."""
    return {
        name: {
            run_id(run, "content"): run
            for sweep in cell.sweeps(range(2))
            for run in expand(overrides(sweep), multirun=True).runs
        }
        for name, cell in EXPERIMENTS.items()
    }


@pytest.fixture(scope="module")
def study(designs: dict[str, dict[str, Run]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study with every run of every design, its numbers drawn at random."""
    folder = tmp_path_factory.mktemp("claims")
    draw = np.random.default_rng(0)
    runs = {name: run for own in designs.values() for name, run in sorted(own.items())}
    configs = {name: dict(flat(run.as_dict())) for name, run in runs.items()}
    settings = [name for name, column in FIXED.items() if column.role == "config" and name not in PARTS] + ["seed"]
    varied = sorted(key for key, values in seen(configs.values()).items() if "." in key and len(values) > 1)
    header = list(dict.fromkeys([*FIXED, *TEXT_METRICS, *(key.removesuffix(".name") for key in varied)]))
    rows = []
    for name, config in configs.items():
        row = {"run_id": name, "study": "claims", "status": "finished", "num_classes": 10, "steps_to_target": 10}
        row |= {part: config[f"{part}.name"] for part in PARTS} | {key: config[key] for key in settings}
        row |= {metric: draw.uniform() for metric in [*METRICS, *TEXT_METRICS]}
        chosen = {key.removesuffix(".name"): value for key, value in config.items() if key.endswith(".name")}
        rows.append({**config, **chosen, **row})
    (folder / "runs.csv").write_text(csv_text(header, rows))
    (folder / "curves.csv").write_text(csv_text([*CURVES, *SCALARS], curves(runs, draw)))
    return folder


PARTS = ("model", "norm", "data")
METRICS = [name for name, column in FIXED.items() if column.role == "metric" and name != "steps_to_target"]
TEXT_METRICS = [
    *("train_bits_per_char", "val_bits_per_char", "test_bits_per_char"),
    *("test_bits_per_char_precise", "test_bits_per_char_batch"),
]
SCALARS = [
    *("probe.gradients.slope", "probe.gradients.norm.stem.layer", "probe.ics_santurkar.cosine"),
    *("probe.ics_training.before", "probe.ics_training.after", "probe.dead_units.share"),
    *("probe.landscape.smoothness", "probe.landscape.loss_range", "probe.landscape.gradient_range"),
]


def curves(runs: dict[str, Run], draw: np.random.Generator) -> Iterator[dict[str, object]]:
    for name, run in runs.items():
        for step in (run.eval_every, run.steps):
            numbers = {key: draw.uniform() for key in (*CURVES, *SCALARS) if key != "run_id"}
            yield {**numbers, "run_id": name, "step": step or 1}


def csv_text(header: list[str], rows: Any) -> str:
    return "".join(f"{line(values)}\n" for values in [header, *([row.get(name) for name in header] for row in rows)])


def seen(configs: Iterable[dict[str, Any]]) -> dict[str, set[str]]:
    values: dict[str, set[str]] = {}
    for config in configs:
        for key, value in config.items():
            values.setdefault(key, set()).add(str(value))
    return values


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_the_catalogue_has_every_claim() -> None:
    """None is lost, and none changes its kind, unseen."""
    assert {name: claim.kind for name, claim in CATALOGUE.items()} == {
        name: kind for kind, names in KINDS.items() for name in names.split()
    }


def test_the_shipped_claims_keep_their_hashes() -> None:
    """Those of before claims had cells: a recorded design stays one of its claim, until the claim is designed anew."""
    claims = (
        CATALOGUE | load_claims(shipped_conf() / "claim" / "cifar10") | load_claims(shipped_conf() / "claim" / "text")
    )
    assert {name: claims[name].spec_sha256 for name in HASHES} == HASHES


def test_the_claims_on_photographs_can_be_planned() -> None:
    """They are a catalogue of their own, whose data the user has to name."""
    claims = load_claims(shipped_conf() / "claim" / "cifar10")
    assert set(claims) == {f"{name}_cifar10" for name in ("small_batch_hurts", "higher_lr", "better_final_accuracy")}
    for cell in (cell for claim in claims.values() for cell in claim.cells):
        sweeps = [expand((*sweep, "data.root=x"), multirun=True) for sweep in cell.sweeps([0])]
        assert {one.place["root"] for sweep in sweeps for one in sweep.requested} == {"x"}


def test_the_claims_on_texts_can_be_planned() -> None:
    """They are another catalogue, whose designs name the files; these are looked for in the working directory."""
    claims = load_claims(shipped_conf() / "claim" / "text")
    assert set(claims) == {"nlp_bn_benefit"}
    sweeps = [expand(sweep, multirun=True) for cell in claims["nlp_bn_benefit"].cells for sweep in cell.sweeps([0])]
    places = {one.place["root"] for sweep in sweeps for one in sweep.requested}
    assert places == {"reviews.tsv", "tinyshakespeare/input.txt", "multi30k"}


def test_every_claim_tells_what_the_literature_says() -> None:
    """With a source at least, and figures even where they are none."""
    assert all(claim.literature for claim in CATALOGUE.values())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_design_answers_its_question(name: str, designs: dict[str, dict[str, Run]], study: Path) -> None:
    """From the claim's own runs, read back from CSV, come numbers for both seeds, of each exploratory row too."""
    cell = EXPERIMENTS[name]
    runs, curves = load_runs(study), Evaluations(read_curves(study))
    own = runs[runs["run_id"].isin(designs[name])]
    for estimand in (cell.estimand, *(row.estimand for row in cell.exploratory)):
        contrast = evaluate(estimand.name, estimand.args, own, curves)
        assert contrast.values.index.tolist() == contrast.collapsed.index.tolist() == [0, 1]
        assert np.isfinite(contrast.values.to_numpy()).all()
        if estimand is cell.estimand:
            assert isinstance(contrast.values, pd.DataFrame) == (cell.form == "equivalent")


def test_the_catalogue_stays_within_its_budget(designs: dict[str, dict[str, Run]]) -> None:
    """About 42,000 short runs at the first look, 16 seeds, which are three hours on two cores."""
    settings = len({name for own in designs.values() for name in own}) / 2
    assert 16 * settings < 43_000


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_margin_is_an_attainable_difference(name: str) -> None:
    """Limits differ by half-octaves, and shares of trained seeds by halves."""
    cell = EXPERIMENTS[name]
    measure = cell.estimand.args.get("measure", {}).get("name")
    if measure == "largest_rate":
        assert cell.over is not None and cell.margin % cell.over.step
    if measure == "trained":
        assert cell.margin % 0.5
