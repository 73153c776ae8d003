"""`normbench claims` as a user meets it: tiny claims of one's own, trained, judged and shown."""

import json
import lzma
import re
from pathlib import Path

import pandas as pd
import pytest
from commands import Command

from normbench.claims.designs import Design, keep
from normbench.claims.loading import load_claims
from normbench.commands.claiming import Request
from normbench.config.shipped import shipped_conf

STUDY = Path("results/claims")
TINY = "norm=batch,none model.width=8 model.depth=1 steps=3 eval_every=3 batch_size=8"
CLAIM = """
kind: experiment
statement: Batch norm is better than none in three steps.
literature: [{source: nobody, figures: none, says: nothing}]
literature_verdict: open
scope: a tiny net
design: ["%s"]
over: {key: lr, lowest: -6, highest: -5, step: 1, extend: 2, span: 3}
estimand: {name: difference, args: {measure: {name: %s}, treatment: {norm: batch}, control: {norm: none}}}
form: greater
margin: 1
unit: %s
exploratory:
  - label: by loss
    estimand:
      name: difference
      args: {measure: {name: tuned_score, metric: test_loss}, treatment: {norm: none}, control: {norm: batch}}
    unit: nats
"""


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """Return a conf folder with a claim of one's own."""
    folder = tmp_path / "conf" / "claim"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(CLAIM % (TINY, "tuned_score", "accuracy points"))
    (folder / "limit.yaml").write_text(CLAIM % (TINY, "largest_rate", "octaves"))
    return str(tmp_path / "conf")


def test_a_claim_is_trained_judged_and_shown(normbench: Command, conf: str) -> None:
    """The design lies beside verdicts.csv, which has every claim; the second time nothing is trained."""
    first = normbench("claims", "run", "mine", "--config-dir", conf, "engine.workers=1")
    assert first.code == 0, first.err
    design = json.loads((STUDY / "claims" / "mine.json").read_text())
    assert len(design["runs"]) == len(set(design["runs"])) >= 2 * 2 * 16
    assert "claim: Batch norm is better than none in three steps." in first.out
    assert "by loss" in first.out
    assert max(map(len, first.out.splitlines())) <= 80
    verdicts = pd.read_csv(STUDY / "verdicts.csv").set_index("claim")
    assert verdicts.loc["mine", "n_seeds"] in (16, 32, 64)
    assert design["looks"] == [16, 32, 64]
    assert set(verdicts.loc[["small_batch_hurts"], "verdict"]) == {"not_run"}
    tables = {name: (STUDY / name).read_bytes() for name in ("runs.csv", "verdicts.csv", "contrasts.csv", "plan.jsonl")}
    second = normbench("claims", "run", "mine", "--config-dir", conf)
    assert (second.code, second.out) == (0, first.out)
    assert "to train" not in second.err
    third = normbench("claims", "verdict", "mine", "--config-dir", conf)
    assert (third.code, third.out) == (0, first.out)
    assert {name: (STUDY / name).read_bytes() for name in tables} == tables


def test_the_ledger_says_which_seeds_a_design_is_judged_on(normbench: Command, conf: str) -> None:
    """A new design starts at seed 0; a changed one wants a reason, and is judged on seeds that none has seen."""
    ledger = Path(conf) / "claim" / "ledger.csv"
    own = ("claims", "run", "mine", "--config-dir", conf, "engine.workers=1")
    assert normbench(*own, "--quick").code == 0 and not ledger.exists()
    first = normbench(*own)
    assert first.code == 0 and "mine: seeds 0 to 63, by " in first.err
    assert [row.split(",")[3:5] for row in ledger.read_text().splitlines()[1:]] == [["0", "16 32 64"]]
    claim = Path(conf) / "claim" / "mine.yaml"
    claim.write_text(claim.read_text().replace("steps=3", "steps=4"))
    refused = normbench(*own)
    assert refused.code == 2 and "mine: its design was changed (" in refused.err and "--reason TEXT" in refused.err
    assert normbench("claims", "verdict", "mine", "--config-dir", conf).code == 2
    again = normbench(*own, "--reason", "a step more, to be fair")
    assert again.code == 0 and "mine: seeds 64 to 127, by " in again.err
    assert ledger.read_text().splitlines()[2].endswith(',"a step more, to be fair"')
    seeds = json.loads((STUDY / "claims" / "mine.json").read_text())["seeds"]
    assert seeds == list(range(64, 64 + len(seeds)))


CELLS = """
  a: {scope: a tiny net, design: ["%s"], over: {key: lr, lowest: -6, highest: -6, step: 1, extend: 0}}
  b: {scope: another one, design: ["%s"], form: greater, margin: 0.5}
"""


def test_a_claim_of_cells_trains_all_and_shows_each(normbench: Command, conf: str) -> None:
    """A design lies beside the others for every cell, and the terminal has the cells under their claim."""
    kept = [line for line in CLAIM.splitlines() if not line.startswith(("scope", "design", "over"))]
    text = "\n".join(kept) % ("tuned_score", "accuracy points")
    cells = CELLS % (TINY, TINY.replace("depth=1", "depth=2"))
    (Path(conf) / "claim" / "mine.yaml").write_text(f"{text}\ncells:{cells}")
    ran = normbench("claims", "run", "mine", "--config-dir", conf, "engine.workers=1")
    assert ran.code == 0, ran.err
    assert {"mine.a.json", "mine.b.json"} == {path.name for path in (STUDY / "claims").iterdir()}
    verdicts = pd.read_csv(STUDY / "verdicts.csv", keep_default_na=False).set_index("claim").loc["mine"]
    assert verdicts["cell"].tolist() == ["", "a", "b"]
    assert re.search(r"^  a$(\n    .*)*\n  b$", ran.out, re.MULTILINE)
    listed, judged = (normbench("claims", *command, "--config-dir", conf).out for command in (["list"], ["verdict"]))
    assert re.search(r"^mine +experiment  Batch norm(.*\n)+?  a +a tiny net\n  b +another one$", listed, re.MULTILINE)
    assert re.search(r"^mine +\w.*open (.*\n)+?  a  (.*\n)+?  b  ", judged, re.MULTILINE)
    assert max(len(line) for out in (ran.out, listed, judged) for line in out.splitlines()) <= 80
    assert normbench("claims", "run", "mine", "--config-dir", conf, "--cfg").out.count("# mine.") == 2


def test_a_design_keeps_its_block_of_seeds_and_its_looks(normbench: Command, conf: str) -> None:
    """One that was begun elsewhere than at seed 0, or with two looks, goes on like that."""
    (cell,) = load_claims(Path(conf) / "claim")["mine"].cells
    keep(STUDY, "mine", Design(cell.spec_sha256, tuple(range(40, 56)), (), (-6.0, -5.0), looks=(16, 32)))
    assert normbench("claims", "run", "mine", "--config-dir", conf, "engine.workers=1").code == 0
    design = json.loads((STUDY / "claims" / "mine.json").read_text())
    assert design["looks"] == [16, 32]
    assert design["seeds"] == list(range(40, 40 + len(design["seeds"]))) and len(design["seeds"]) in (16, 32)
    assert set(pd.read_csv(STUDY / "runs.csv")["seed"]) == set(design["seeds"])


def test_a_limit_at_the_edge_makes_the_grid_longer_for_every_arm(normbench: Command, conf: str) -> None:
    """As far as it may grow; then it says that nothing is decided, or that nothing trains."""
    result = normbench("claims", "run", "limit", "--config-dir", conf, "engine.workers=1")
    assert result.code == 0, result.err
    assert "end of its grid, which is extended for every arm" in result.err
    low, high = json.loads((STUDY / "claims" / "limit.json").read_text())["over"]
    assert high - low == 3
    rates = pd.read_csv(STUDY / "runs.csv").groupby("norm")["lr"].unique()
    assert sorted(rates["batch"]) == sorted(rates["none"]) == [2.0**octave for octave in range(int(low), int(high) + 1)]


def test_a_quick_run_decides_nothing(normbench: Command, conf: str) -> None:
    """Two seeds that no verdict uses, no design and no verdicts."""
    result = normbench("claims", "run", "mine", "--quick", "--config-dir", conf, "engine.workers=1")
    assert result.code == 0, result.err
    assert "decide nothing" in result.out
    assert "mine: " in result.out
    assert set(pd.read_csv(STUDY / "runs.csv")["seed"]) == {1000, 1001}
    assert not (STUDY / "claims").exists()
    assert not (STUDY / "verdicts.csv").exists()


def test_a_budget_stops_cleanly(normbench: Command, conf: str) -> None:
    """What was finished is kept and judged as far as it goes; the same command goes on."""
    result = normbench("claims", "run", "mine", "--budget", "0.001", "--config-dir", conf, "engine.workers=1")
    assert result.code == 0, result.err
    assert "the 0.001 minutes are over" in result.err
    assert pd.read_csv(STUDY / "verdicts.csv").set_index("claim").loc["mine", "verdict"] == "not_run"
    again = normbench("claims", "run", "mine", "--config-dir", conf, "engine.workers=1")
    assert pd.read_csv(STUDY / "verdicts.csv").set_index("claim").loc["mine", "verdict"] != "not_run"
    assert again.code == 0


def test_properties_and_facts_are_computed(normbench: Command) -> None:
    """With their evidence; a claim of the literature is not run."""
    result = normbench("claims", "run", "scale_invariance", "tiny_norm_batch", "bert_uses_bn", "detection_gn")
    assert result.code == 0, result.err
    verdicts = pd.read_csv(STUDY / "verdicts.csv").set_index("claim")["verdict"]
    assert verdicts["scale_invariance"] == "supported"
    assert verdicts["bert_uses_bn"] == "refuted"
    assert verdicts["detection_gn"] == "not_run"
    listed = normbench("claims", "verdict")
    assert max(map(len, listed.out.splitlines())) <= 80
    assert listed.out.splitlines()[-3:] == [
        "estimated from runs: 41 not run",
        "computed or looked up: 2 supported, 1 refuted, 10 not run",
        "from the literature only: 6 not run",
    ]


def test_every_claim_is_listed(normbench: Command) -> None:
    """With its kind and statement, at 80 columns."""
    result = normbench("claims", "list")
    assert result.code == 0
    assert "small_batch_hurts" in result.out
    assert max(map(len, result.out.splitlines())) <= 80


def test_another_catalogue_is_a_family_of_its_own(normbench: Command) -> None:
    """Its claims are listed alone, judged in a study of their own, and say where their data must be given."""
    listed = normbench("claims", "list", "--catalogue", "cifar10")
    assert "small_batch_hurts_cifar10" in listed.out
    assert "scale_invariance" not in listed.out
    result = normbench("claims", "run", "--all", "--catalogue", "cifar10")
    assert result.code == 2
    assert "better_final_accuracy_cifar10.mlp cannot be run: " in result.err and "data.root" in result.err
    assert not Path("results").exists()
    # What a verdict says to do leads to the same answer.
    Path("results/claims_cifar10").mkdir(parents=True)
    Path("results/claims_cifar10/verdicts.csv").write_text("claim\n")
    assert normbench("claims", "verdict", "--catalogue", "cifar10").code == 0
    verdicts = pd.read_csv("results/claims_cifar10/verdicts.csv")
    assert set(verdicts["verdict"]) == {"not_run"}
    # The row of a claim with cells says what became of each; theirs have the commands.
    commands = [reason.split("`")[1].split() for reason in verdicts["reason"] if "`" in reason]
    assert len(commands) == 4
    for words in commands:
        assert "data.root=FOLDER" in words
        assert "data.root is not a folder" in normbench(*words[1:]).err


def test_verdicts_of_another_catalogue_are_not_overwritten(normbench: Command, conf: str) -> None:
    """Whoever forgets --config-dir or --catalogue is told, and nothing is lost."""
    normbench("claims", "run", "mine", "--config-dir", conf, "engine.workers=1")
    before = (STUDY / "verdicts.csv").read_bytes()
    for command in (["verdict"], ["run", "scale_invariance"]):
        result = normbench("claims", *command)
        assert result.code == 2
        assert "mine.json: this catalogue lacks the claim" in result.err
        assert (STUDY / "verdicts.csv").read_bytes() == before


def test_a_study_without_claims_gets_no_verdicts(normbench: Command) -> None:
    """Its report shows its cells, and goes on doing so."""
    normbench("train", "steps=1", "study=claims")
    result = normbench("claims", "verdict")
    assert result.code == 2
    assert "no claim was run in 'results/claims'" in result.err
    assert not (STUDY / "verdicts.csv").exists()


def test_compressed_tables_are_not_trained_into(normbench: Command, conf: str) -> None:
    """New tables beside them would hide them."""
    normbench("claims", "run", "mine", "--config-dir", conf, "engine.workers=1")
    packed = lzma.compress((STUDY / "runs.csv").read_bytes())
    for path in STUDY.iterdir():
        if path.is_file() and path.name != "verdicts.csv":
            path.unlink()
    (STUDY / "runs.csv.xz").write_bytes(packed)
    for command in (["claims", "run", "mine", "--config-dir", conf], ["train", "steps=1", "study=claims"]):
        result = normbench(*command)
        assert result.code == 2
        assert "has compressed tables" in result.err
    assert not (STUDY / "runs.csv").exists()
    run_id = pd.read_csv(STUDY / "runs.csv.xz", dtype="str")["run_id"][0]
    assert "holds no plan" in normbench("rerun", run_id).err


def test_a_design_that_cannot_answer_says_so(normbench: Command, conf: str) -> None:
    """Training it once more would not help."""
    path = Path(conf) / "claim" / "mine.yaml"
    path.write_text(path.read_text().replace("control: {norm: none}", "control: {norm: group}"))
    result = normbench("claims", "run", "mine", "--config-dir", conf, "engine.workers=1")
    assert result.code == 1
    assert "norm=group, every seed; its design does not contain such runs" in " ".join(result.err.split())


def test_where_the_data_lie_is_no_column(tmp_path: Path) -> None:
    """The records of a claim on photographs go to others, who have them elsewhere."""
    claims = load_claims(shipped_conf() / "claim" / "cifar10")
    request = Request(claims, (), tmp_path / "mine", None, (f"data.root={tmp_path}",))
    sweep = request.sweep(claims["higher_lr_cifar10"].cells[0], range(1), None)
    assert "data.limit" in sweep.changed
    assert "data.root" not in sweep.changed
    texts = load_claims(shipped_conf() / "claim" / "text")
    named = Request(texts, (), tmp_path / "mine", None).sweep(texts["nlp_bn_benefit"].cells[0], range(1), None)
    assert "data.min_count" in named.changed
    assert "data.root" not in named.changed


def test_a_design_of_an_older_version_is_expanded_anew(normbench: Command, conf: str) -> None:
    """Judging alone says which claim is meant; running trains the missing runs."""
    normbench("claims", "run", "mine", "--config-dir", conf, "engine.workers=1")
    path = Path(conf) / "claim" / "mine.yaml"
    path.write_text(path.read_text().replace("margin: ", "margin: 1"))
    refused = normbench("claims", "verdict", "mine", "--config-dir", conf)
    assert refused.code == 2
    assert "another version of the claim" in refused.err
    again = normbench("claims", "run", "mine", "--config-dir", conf, "engine.workers=1", "--reason", "a larger margin")
    assert again.code == 0
    assert normbench("claims", "verdict", "mine", "--config-dir", conf).code == 0


BAD_INPUT = {
    "unknown claim": (["run", "small_batch"], "unknown claim 'small_batch'; did you mean 'small_batch_hurts'?"),
    "none named": (["run"], "name the claims to run, or give --all."),
    "both": (["run", "higher_lr", "--all"], "give names or --all, not both."),
    "a design is fixed": (["run", "higher_lr", "lr=0.1"], "lr=0.1: a claim's design is fixed"),
    "no study": (["verdict"], "create it with `normbench claims run --all`"),
    "no study of photographs": (
        ["verdict", "--catalogue", "cifar10"],
        "create it with `normbench claims run --all --catalogue cifar10`",
    ),
    "unknown catalogue": (["list", "--catalogue", "cifar"], "unknown catalogue 'cifar'; did you mean 'cifar10'?"),
    "no minutes": (["run", "--all", "--budget", "0"], "--budget"),
    "no claims command": (["judge"], "judge"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_code_2(normbench: Command, case: str) -> None:
    """Nothing is started, nothing is written."""
    args, expected = BAD_INPUT[case]
    result = normbench("claims", *args)
    assert result.code == 2
    assert expected in result.err
    assert not Path("results").exists()


def test_cfg_prints_the_designs_and_starts_nothing(normbench: Command, conf: str) -> None:
    """As YAML, a document a sweep."""
    result = normbench("claims", "run", "mine", "--cfg", "--config-dir", conf)
    assert result.code == 0
    assert "# mine" in result.out
    assert "width: 8" in result.out
    assert not Path("results").exists()


@pytest.mark.parametrize(
    "command",
    [["claims", "list"], ["claims", "verdict"], ["claims", "run", "mine"], ["report"], ["list", "claims"]],
    ids=" ".join,
)
def test_a_config_dir_that_is_missing_is_refused(normbench: Command, command: list[str]) -> None:
    """Shipped claims alone would pass for one's own; training says the same."""
    result = normbench(*command, "--config-dir", "nowhere")
    assert (result.code, result.err) == (2, f"normbench: --config-dir: no folder at {Path('nowhere').absolute()}.\n")
    assert result.err == normbench("train", "--config-dir", "nowhere").err


def test_a_copy_of_a_shipped_claim_is_used(normbench: Command, conf: str) -> None:
    """One that contradicts another too, or is put into another catalogue: it is listed, judged and on the page."""
    name = "bn_causes_gradient_issues"
    for source, words in ((f"{name}.yaml", "My own words."), ("cifar10/higher_lr_cifar10.yaml", "On photographs.")):
        first, _, rest = (shipped_conf() / "claim" / source).read_text().partition("statement: >\n  ")
        (Path(conf) / "claim" / Path(source).name).write_text(f"{first}statement: >\n  {words} {rest}")
    assert "My own words." in normbench("claims", "list", "--config-dir", conf).out
    STUDY.mkdir(parents=True)
    ran = normbench("claims", "run", "detection_gn", "--config-dir", conf)
    assert ran.code == 0, ran.err
    judged = normbench("claims", "verdict", name, "--config-dir", conf)
    assert (judged.code, judged.err) == (0, "")
    assert "My own words." in judged.out and "vanishing_exploding" in judged.out
    assert normbench("report", "--config-dir", conf).code == 0
    page = (STUDY / "report.html").read_text()
    assert "My own words." in page and "On photographs." in page


ELSEWHERE = {
    "in another catalogue": (
        ["higher_lr_cifar10"],
        "unknown claim 'higher_lr_cifar10'; it is in the catalogue cifar10: --catalogue cifar10.",
    ),
    "in the user's own": (["deep"], "unknown claim 'deep'; it is in the catalogue photos: --catalogue photos."),
    "in the main one": (
        ["higher_lr", "--catalogue", "cifar10"],
        "unknown claim 'higher_lr'; it is in the main catalogue: omit --catalogue.",
    ),
    "near": (["higher_lrr"], "unknown claim 'higher_lrr'; did you mean 'higher_lr'?"),
    "nowhere": (["zzz"], "unknown claim 'zzz'; see `normbench claims list`."),
    "nowhere in a short catalogue": (["zzz", "--catalogue", "photos"], "unknown claim 'zzz'. Known: deep"),
}


@pytest.mark.parametrize("command", ["run", "verdict"])
@pytest.mark.parametrize("case", ELSEWHERE)
def test_an_unknown_claim_is_answered_in_a_line(normbench: Command, conf: str, command: str, case: str) -> None:
    """By the catalogue that has it, by the nearest name, or by the command that shows all."""
    photos = Path(conf) / "claim" / "photos"
    photos.mkdir()
    (photos / "deep.yaml").write_text(CLAIM % (TINY, "tuned_score", "accuracy points"))
    args, expected = ELSEWHERE[case]
    result = normbench("claims", command, *args, "--config-dir", conf)
    assert (result.code, result.err) == (2, f"normbench: {expected}\n")
