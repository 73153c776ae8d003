"""What may stand at the cursor."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from normbench.commands.completion import OverrideLine, columns, list_of, metrics, run_ids, study_names
from normbench.commands.listing import choices
from normbench.record.columns import FIXED


def complete(incomplete: str, *typed: str, config_dir: Path | None = None) -> list[str]:
    return OverrideLine(typed, config_dir).complete(incomplete)


CASES: dict[str, tuple[str, Sequence[str], list[str]]] = {
    "a group's option": ("norm=gr", (), ["norm=group"]),
    "another of a sweep": ("norm=batch,gr", (), ["norm=batch,group"]),
    "none twice": ("norm=group,gr", (), []),
    "an experiment": ("+experiment=qu", (), ["+experiment=quickstart"]),
    "an added key": ("+norm=gr", (), ["+norm=group"]),
    "a group or its keys": ("nor", (), ["norm=", "norm.", "norm_batch_size="]),
    "a top key": ("batch", (), ["batch_size="]),
    "a key of the default": ("norm.mo", (), ["norm.momentum="]),
    "a key of the chosen": ("norm.num", ("norm=group",), ["norm.num_groups="]),
    "no key of another": ("norm.num", (), []),
    "a key of one of several": ("norm.num", ("norm=batch,group",), ["norm.num_groups="]),
    "a key of an unknown": ("norm.num_g", ("norm=glob(*)",), ["norm.num_groups="]),
    "a key of an experiment's": ("schedule.gam", ("+experiment=cifar10_resnet20",), ["schedule.gamma="]),
    "a section": ("log", (), ["log."]),
    "a key of a section": ("log.t", (), ["log.tensorboard="]),
    "a value of several": ("engine.mode=s", (), ["engine.mode=solo", "engine.mode=stacked"]),
    "a switch": ("norm.affine=", (), ["norm.affine=true", "norm.affine=false"]),
    "none at all": ("norm_batch_size=", (), ["norm_batch_size=null"]),
    "a probe in brackets": ("probes=[gradients,dead", (), ["probes=[gradients,dead_units"]),
    "a key to drop": ("~norm_b", (), ["~norm_batch_size"]),
    "a number": ("lr=0.", (), []),
    "an unknown key": ("nothing=", (), []),
    "an unknown section": ("nothing.x", (), []),
}


@pytest.mark.parametrize(("incomplete", "typed", "expected"), CASES.values(), ids=CASES)
def test_overrides(incomplete: str, typed: Sequence[str], expected: list[str]) -> None:
    """Each is what Hydra would take."""
    assert complete(incomplete, *typed) == expected


def test_every_norm_is_offered() -> None:
    """All of what is listed, and nothing else."""
    assert complete("norm=") == [f"norm={choice.name}" for choice in choices("norms")]


def test_nothing_typed_offers_groups_keys_and_experiments() -> None:
    """An empty word may become anything."""
    offered = complete("")
    assert {"norm=", "norm.", "lr=", "seed=", "log.", "+experiment="} <= set(offered)
    assert not any(text.startswith(("defaults", "sweep", "claim")) for text in offered)


def test_a_users_own_folder_counts(tmp_path: Path) -> None:
    """Own options and their keys are offered, and a broken YAML only offers less."""
    (tmp_path / "norm").mkdir()
    (tmp_path / "norm" / "tanh.yaml").write_text("_target_: x.Tanh\nname: tanh\nalpha: 0.5\n")
    (tmp_path / "norm" / "torn.yaml").write_text("{")
    assert complete("norm=t", config_dir=tmp_path) == ["norm=tanh", "norm=torn"]
    assert complete("norm.al", "norm=tanh", config_dir=tmp_path) == ["norm.alpha="]
    assert complete("norm.al", "norm=torn", config_dir=tmp_path) == []


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return results with two studies of a run or two."""
    for study, ids in {"one": ["aa0000000000"], "two": ["ab0000000000", "b00000000000"]}.items():
        (tmp_path / study).mkdir()
        rows = "".join(f'{run_id},{study},"error of\nc00000000000 lines"\n' for run_id in ids)
        (tmp_path / study / "runs.csv").write_text(f"run_id,study,error,model.{study}\n{rows}")
    (tmp_path / "none").mkdir()
    return tmp_path


def test_studies_and_their_runs(results: Path) -> None:
    """Names of studies, ids of all or of one, and no text of an error that looks like an id."""
    assert study_names(results) == ["one", "two"]
    assert run_ids("", [], results) == ["aa0000000000", "ab0000000000", "b00000000000"]
    assert run_ids("a", ["two"], results) == ["ab0000000000"]
    assert run_ids("", ["nothing"], results) == []
    assert run_ids("", [], results / "nowhere") == []
    assert OverrideLine((f"results_dir={results}",)).complete("study=t") == ["study=two"]


def test_columns_are_those_of_every_study_and_of_these(results: Path) -> None:
    """Fixed config columns, then what a study records beyond."""
    assert columns(["one"], results)[-1] == "model.one"
    assert list_of(columns([], results), "norm,model.") == ["norm,model.one", "norm,model.two"]
    assert list_of(["norm", "lr"], "norm,n") == []


def test_a_further_metric_is_offered_as_a_metric(tmp_path: Path) -> None:
    """And its column is none to group by."""
    study = tmp_path / "dense"
    study.mkdir()
    (study / "runs.csv").write_text(",".join([*FIXED, "val_miou", "chance_miou", "task"]) + "\n")
    assert metrics(["dense"], tmp_path)[-1] == "val_miou"
    assert columns(["dense"], tmp_path)[-1] == "task"
