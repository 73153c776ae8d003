"""Tests of the plan: identities, skipped cells, packs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from normbench import plan
from normbench.config.sweep import expand
from normbench.errors import ConfigError, ImpossibleRunError
from normbench.plan import Plan, make_plan, run_id, science, sources
from normbench.source import source_hash
from normbench.spec import Checked, Component, Requested, Run

GOLDEN = "5fbf4657c930"
GOLDEN_CONTENT = "5a97de90511d80f3691c0bfd0a33c15661e20d13f80b65c1a1b23826a2a0c5c7"


@pytest.fixture(scope="module")
def default() -> Run:
    """Return the default run."""
    return expand([]).runs[0]


def component(run: Run, group: str, **args: Any) -> Run:
    part: Component = getattr(run, group)
    changed: dict[str, Any] = {group: replace(part, args={**part.args, **args})}
    return replace(run, **changed)


def test_the_default_run_keeps_its_identity(default: Run) -> None:
    """Changing this literal orphans every study that users have: a finished run would be trained again."""
    assert run_id(default, GOLDEN_CONTENT) == GOLDEN


def test_an_identity_is_twelve_hex_digits(default: Run) -> None:
    """It is text: an id of digits alone is no number."""
    identity = run_id(default, "")
    assert len(identity) == 12
    assert set(identity) <= set("0123456789abcdef")


SETTINGS = ["study=x", "results_dir=/elsewhere", "engine.threads=3", "engine.device=cpu", "log.weights=final"]


@pytest.mark.parametrize("override", SETTINGS)
def test_settings_are_no_part_of_the_identity(default: Run, override: str) -> None:
    """Where and how a run is carried out decides nothing of its result."""
    (run,) = expand([override]).runs
    assert run_id(run, "") == run_id(default, "")


@pytest.mark.parametrize("override", ["data.root=/elsewhere", "data.download=true", "probes=[gradients]"])
def test_what_is_no_science_is_no_part_of_a_run(override: str) -> None:
    """Wherever its data lie and whatever is looked at, the run is the same; only what its data hold is in its id."""
    (plain,), (other,) = expand(["data=mnist"]).requested, expand(["data=mnist", override]).requested
    assert plain.run == other.run
    assert plain != other
    assert run_id(plain.run, "d") != run_id(plain.run, "c")


def test_the_order_of_keys_is_no_part_of_the_identity(default: Run) -> None:
    """A YAML may be sorted."""
    backwards = {key: default.model.args[key] for key in reversed(list(default.model.args))}
    assert run_id(replace(default, model=Component("mlp", backwards)), "") == run_id(default, "")


CHANGES: Mapping[str, Any] = {
    "batch_size": 64,
    "norm_batch_size": 16,
    "lr": 0.2,
    "seed": 1,
    "epochs": 11,
    "steps": 5,
    "eval_every": 7,
    "target_accuracy": 0.5,
    "target": 0.5,
    "precision": "bfloat16",
}


def test_every_field_enters_the_identity(default: Run) -> None:
    """Each change of a value gives an identity of its own; a new field of Run has to be added here."""
    changed = [replace(default, **{key: value}) for key, value in CHANGES.items()]
    groups = ("task", "model", "norm", "data", "optimizer", "schedule")
    changed += [component(default, group, other=1) for group in groups]
    changed += [replace(default, **{group: replace(getattr(default, group), name="other")}) for group in groups]
    assert set(default.__slots__) == {*CHANGES, *groups}
    assert len({run_id(run, "") for run in [default, *changed]}) == len(changed) + 1


def test_every_argument_enters_the_identity(default: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of a group's arguments is left out."""
    monkeypatch.setattr(plan, "file_hash", lambda path, _key: path)
    runs = [
        component(default, group, **{key: "other"})
        for group in ("model", "norm", "data", "optimizer", "schedule")
        for key in getattr(default, group).args
    ]
    assert len({run_id(run, "") for run in [default, *runs]}) == len(runs) + 1


def test_a_file_enters_the_identity_by_its_content(default: Run, tmp_path: Path) -> None:
    """Pictures and weights of a task are what they hold, not where they are."""
    for name, content in (("one.png", "a"), ("copy.png", "a"), ("other.png", "b")):
        (tmp_path / name).write_text(content)

    def identity(name: str) -> str:
        return run_id(replace(default, task=Component("style", {"style": str(tmp_path / name)})), "")

    assert identity("one.png") == identity("copy.png") != identity("other.png")
    assert set(plan.sources(replace(default, task=Component("style", {"style": str(tmp_path / "one.png")})))) == {
        "task.style"
    }
    with pytest.raises(ConfigError, match=r"task.style=.*none.png: No such file"):
        identity("none.png")


def test_a_later_key_enters_only_off_its_default(default: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old identities stay as keys are added."""
    later = plan._LATER_KEYS
    monkeypatch.setattr(plan, "_LATER_KEYS", {**later, "model.skip": 0, "target_accuracy": None})
    assert run_id(component(default, "model", skip=0), GOLDEN_CONTENT) != GOLDEN  # target_accuracy left as well
    monkeypatch.setattr(plan, "_LATER_KEYS", {**later, "model.skip": 0})
    assert run_id(component(default, "model", skip=0), GOLDEN_CONTENT) == GOLDEN
    assert run_id(component(default, "model", skip=1), GOLDEN_CONTENT) != GOLDEN


@pytest.mark.parametrize(("key", "other"), [("model.bias_init", -1.0), ("data.test_shift", "noise")])
def test_each_later_key_keeps_the_identities_from_before_it(default: Run, key: str, other: Any) -> None:
    """At its default a run is the one of a study that knew no such key; off it, another."""
    group, name = key.split(".")
    part: Component = getattr(default, group)
    early: dict[str, Any] = {group: replace(part, args={k: v for k, v in part.args.items() if k != name})}
    assert name in part.args
    assert run_id(replace(default, **early), "") == run_id(default, "")
    assert run_id(component(default, group, **{name: other}), "") != run_id(default, "")


def test_a_precision_enters_the_identity_off_float32(default: Run) -> None:
    """Runs from before it could be chosen are what they were."""
    assert "precision" not in science(default, "", {})
    lower = [run_id(replace(default, precision=name), "") for name in ("bfloat16", "float16")]
    assert len({run_id(default, ""), *lower}) == 3


def test_the_science_is_schema_values_and_content(default: Run) -> None:
    """The canonical form is the config as the user knows it."""
    found = science(default, "c", {})
    assert list(found) == [
        "schema",
        *(name for name in default.__slots__ if name not in ("precision", "task", "target")),
    ]
    assert found["schema"] == 1
    early = {key: value for key, value in default.data.args.items() if f"data.{key}" not in plan._LATER_KEYS}
    assert found["data"] == {"name": "digits", **early, "content": "c"}


def test_weights_enter_the_identity_by_what_they_hold(default: Run, tmp_path: Path) -> None:
    """Not by where they lie; a file that changes is another start."""
    (tmp_path / "elsewhere").mkdir()
    files = [tmp_path / "a.pt", tmp_path / "elsewhere" / "b.pt"]
    for file in files:
        file.write_bytes(b"weights")
    one, other = (run_id(component(default, "model", weights=str(file)), "") for file in files)
    assert one == other != run_id(default, "")
    files[0].write_bytes(b"other weights")
    assert run_id(component(default, "model", weights=str(files[0])), "") != one


def test_weights_that_are_not_there(default: Run, tmp_path: Path) -> None:
    """The message has the path."""
    with pytest.raises(ConfigError, match=r"model\.weights=\S+absent\.pt: No such file"):
        run_id(component(default, "model", weights=str(tmp_path / "absent.pt")), "")


def test_to_a_users_own_target_weights_are_an_argument_as_any(default: Run, own_norm: Path) -> None:
    """It need name no file."""
    own = Component("mine", {"weights": "IMAGENET", "source": "x"}, target=f"{own_norm.stem}.Norm")
    own_run = replace(default, model=own)
    model = science(own_run, "", sources(own_run))["model"]
    assert isinstance(model, dict)
    assert (model["weights"], model["source"]) == ("IMAGENET", "x")


@pytest.fixture
def own_norm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the source of a user's norm that can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "own_norm_of_plan.py"
    path.write_text("class Norm: ...\n")
    return path


def test_the_source_of_a_users_part_enters_the_identity(default: Run, own_norm: Path) -> None:
    """An edited norm is another norm; what else lies about is not."""
    run = replace(default, norm=Component("mine", {}, f"{own_norm.stem}.Norm"))
    before = run_id(run, "")
    (own_norm.parent / "other.py").write_text("x = 1\n")
    assert run_id(run, "") == before
    own_norm.write_text("class Norm:\n    gain = 2\n")
    assert run_id(run, "") != before


def test_the_source_of_a_model_of_ones_own_enters_the_identity(default: Run, own_norm: Path) -> None:
    """By the text of the file that makes it, and by its path: a file may hold several."""
    model = Component("own", {"source": f"{own_norm.stem}.Norm"}, target="normbench.models.own.own")
    run = replace(default, model=model)
    before = run_id(run, "")
    own_norm.write_text("class Norm: ...\n# edited\n")
    assert run_id(run, "") != before
    values = science(run, "", sources(run))["model"]
    assert isinstance(values, dict)
    assert values["source"] == f"{own_norm.stem}.Norm"
    assert values["source_hash"] == source_hash(f"{own_norm.stem}.Norm")


def test_normbenchs_own_source_does_not(default: Run) -> None:
    """A new version of normbench would change every identity."""
    run = replace(default, norm=Component("mine", {}, "normbench.norms.layer.LayerNorm"))
    norm = science(run, "", sources(run))["norm"]
    assert norm == {"name": "mine", "_target_": "normbench.norms.layer.LayerNorm"}


def test_torchs_optimizers_have_no_source_in_the_identity(default: Run, own_norm: Path) -> None:
    """A new version of torch would change every identity; a user's own optimizer has one, as any part."""
    runs = [
        replace(default, optimizer=Component("mine", {}, target))
        for target in ("torch.optim.RMSprop", f"{own_norm.stem}.make")
    ]
    found = [science(run, "", sources(run))["optimizer"] for run in runs]
    assert found[0] == {"name": "mine", "_target_": "torch.optim.RMSprop"}
    assert isinstance(found[1], dict) and found[1]["source"] == source_hash(f"{own_norm.stem}.Norm")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("nan")]], ids=["nan", "inf", "nested nan"])
def test_an_argument_that_is_not_finite(default: Run, value: Any) -> None:
    """JSON has no nan: it is an error of the config, not a traceback."""
    with pytest.raises(ConfigError, match="nan or inf, expected finite numbers"):
        run_id(component(default, "norm", gain=value), "")


def planned(*runs: Run, multirun: bool = True, impossible: tuple[int, ...] = ()) -> Plan:
    """Plan runs; those with a seed in `impossible` cannot be."""

    def check(requested: Requested) -> Checked:
        run = requested.run
        if run.seed in impossible:
            raise ImpossibleRunError(f"seed {run.seed} cannot be")
        return Checked(replace(run, norm_batch_size=None), multiply_adds=1.0, notes=("noted",), content="c")

    return make_plan(map(Requested, runs), check=check, multirun=multirun)


def seeds(run: Run, *numbers: int) -> list[Run]:
    return [replace(run, seed=seed) for seed in numbers]


def test_a_plan_keeps_the_order_of_its_runs(default: Run) -> None:
    """Runs stand in the order of the axes."""
    made = planned(*seeds(default, 3, 1, 2))
    assert [one.run.seed for one in made.runs.values()] == [3, 1, 2]
    assert {made.entry(run_id)["content"] for run_id in made.runs} == {"c"}


def test_equal_runs_are_one(default: Run) -> None:
    """Runs that a check finds equal are trained once, and a note is given once."""
    made = planned(default, replace(default, norm_batch_size=8), default)
    assert len(made.runs) == 1
    assert made.notes == ("noted",)
    assert list(made.runs) == [run_id(default, "c")]


def test_equal_runs_have_the_probes_of_all(default: Run) -> None:
    """Claims share runs; the data lie where they were first said to lie."""
    requested = [
        Requested(default, frozenset({"gradients"}), {"root": "a"}),
        Requested(default, frozenset({"dead_units"}), {"root": "b"}),
    ]
    made = make_plan(requested, check=lambda one: Checked(one.run, 1.0), multirun=True)
    assert list(made.runs.values()) == [Requested(default, frozenset({"gradients", "dead_units"}), {"root": "a"})]


def test_an_impossible_cell_is_skipped_with_its_reason(default: Run) -> None:
    """A sweep goes on without it."""
    made = planned(*seeds(default, 0, 1, 2), impossible=(1,))
    assert [one.run.seed for one in made.runs.values()] == [0, 2]
    assert [(run.seed, reason) for run, reason in made.skipped] == [(1, "seed 1 cannot be")]


def test_an_impossible_run_alone_is_an_error(default: Run) -> None:
    """Nothing is left to do."""
    with pytest.raises(ImpossibleRunError, match="seed 0 cannot be"):
        planned(default, multirun=False, impossible=(0,))


def test_a_sweep_of_nothing_but_impossible_cells_is_an_error(default: Run) -> None:
    """The first reason is given."""
    with pytest.raises(ConfigError, match=r"^no run of this sweep is possible\. The first reason: seed 0 cannot be$"):
        planned(*seeds(default, 0, 1), impossible=(0, 1))
