"""Tests of composition from the shipped conf folder and a user's own."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobRuntime
from hydra.version import VersionBase
from omegaconf import DictConfig

from normbench.config.compose import Composer, Compositions
from normbench.config.sweep import expand
from normbench.errors import ConfigError
from normbench.norms import CHOICES


def write(folder: Path, name: str, text: str) -> None:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_users_file_wins_over_the_shipped_one(tmp_path: Path) -> None:
    """--config-dir is searched first."""
    write(tmp_path, "norm/batch", "name: batch\neps: 0.5\nmomentum: 0.1\naffine: true\ntrack_running_stats: true\n")
    assert expand([], config_dir=tmp_path).runs[0].norm.args["eps"] == 0.5
    assert expand([]).runs[0].norm.args["eps"] == 1e-5


def test_a_users_file_is_a_new_choice(tmp_path: Path) -> None:
    """A YAML beside the shipped ones is a choice like them, and globs find it too."""
    write(tmp_path, "norm/mine", "name: mine\n_target_: my.Norm\ngain: 2\n")
    (run,) = expand(["norm=mine", "norm.gain=3"], config_dir=tmp_path).runs
    assert (run.norm.name, run.norm.target, dict(run.norm.args)) == ("mine", "my.Norm", {"gain": 3})
    names = [run.norm.name for run in expand(["norm=glob(*)"], multirun=True, config_dir=tmp_path).runs]
    assert names == sorted([*CHOICES, "mine"])


def test_a_users_folder_is_forgotten_afterwards(tmp_path: Path) -> None:
    """Hydra's state is global; nothing of one command is left for the next."""
    write(tmp_path, "norm/mine", "name: mine\n_target_: my.Norm\n")
    expand(["norm=mine"], config_dir=tmp_path)
    assert not GlobalHydra.instance().is_initialized()
    with pytest.raises(ConfigError, match="unknown norm 'mine'"):
        expand(["norm=mine"])


def test_a_relative_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user gives a folder as it is seen from where the user stands."""
    write(tmp_path / "conf", "experiment/mine", "# @package _global_\nlr: 0.7\n")
    monkeypatch.chdir(tmp_path)
    assert expand(["+experiment=mine"], config_dir=Path("conf")).runs[0].lr == 0.7


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A misspelt --config-dir is an error, and names the whole path."""
    with pytest.raises(ConfigError, match=f"^--config-dir: no folder at {tmp_path}/nope\\.$"):
        Composer(tmp_path / "nope")


def test_what_was_composed_before_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs are the same, and Hydra is asked once for each choice of groups."""
    asked: list[list[str]] = []

    def counted(name: str, overrides: list[str], return_hydra_config: bool) -> DictConfig:
        asked.append(overrides)
        return compose(name, overrides=overrides, return_hydra_config=return_hydra_config)

    monkeypatch.setattr("normbench.config.compose.compose", counted)
    composed: Compositions = {}
    axes = ["norm=batch,group", "lr=0.1,0.2"]
    sweeps = [expand([*axes, f"seed={seed}"], multirun=True, composed=composed) for seed in (0, 1, 0)]
    assert sorted(asked) == [[], ["norm=batch"], ["norm=group"]]
    assert sweeps[0] == sweeps[2] != sweeps[1]
    assert sweeps[1] == expand([*axes, "seed=1"], multirun=True)


BROKEN = {
    "no yaml": "lr: [1\n",
    "unknown default": "defaults:\n  - override /norm: bat\n",
    "wrong section": "sweep: [1]\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_yaml_is_an_error_of_one_line(tmp_path: Path, text: str) -> None:
    """Hydra's message is kept, its traceback and its line breaks are not."""
    write(tmp_path, "experiment/broken", f"# @package _global_\n{text}")
    with pytest.raises(ConfigError, match=r"^cannot compose \+experiment=broken: ") as raised:
        expand(["+experiment=broken"], config_dir=tmp_path)
    assert "\n" not in str(raised.value)
    assert not GlobalHydra.instance().is_initialized()


HEADLESS = {
    "no header": "lr: 0.7\n",
    "only defaults and a section": "defaults:\n  - override /norm: group\nmodel:\n  depth: 4\n",
    "header below a comment": "# Mine.\n# @package _global_\nlr: 0.7\n",
}


@pytest.mark.parametrize("text", HEADLESS.values(), ids=HEADLESS)
def test_an_experiment_without_its_header_is_told_the_line(tmp_path: Path, text: str) -> None:
    """Its keys would be those of `experiment`: the file and the line to add are named."""
    write(tmp_path, "experiment/mine", text)
    with pytest.raises(ConfigError) as raised:
        expand(["+experiment=mine"], config_dir=tmp_path)
    path = tmp_path / "experiment" / "mine.yaml"
    assert str(raised.value).startswith(f"{path}: its first line must be '# @package _global_', ")


def test_a_byte_order_mark_is_named(tmp_path: Path) -> None:
    """An editor's mark hides the header of an experiment, and nothing of another YAML."""
    write(tmp_path, "experiment/mine", "\ufeff# @package _global_\nlr: 0.7\n")
    write(tmp_path, "norm/mine", "\ufeffname: mine\n_target_: my.Norm\ngain: 2\n")
    with pytest.raises(ConfigError, match=r"experiment/mine\.yaml begins with a byte order mark"):
        expand(["+experiment=mine"], config_dir=tmp_path)
    assert expand(["norm=mine"], config_dir=tmp_path).runs[0].norm.args == {"gain": 2}


def test_a_file_of_another_encoding(tmp_path: Path) -> None:
    """UTF-16, as some shells write, is an error of one line."""
    for name in ("experiment/mine", "norm/mine"):
        write(tmp_path, name, "")
        (tmp_path / f"{name}.yaml").write_bytes("# @package _global_\nname: mine\n".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"^cannot compose norm=mine: 'utf-8' codec can't decode"):
        expand(["norm=mine"], config_dir=tmp_path)
    with pytest.raises(ConfigError, match=r"experiment/mine\.yaml begins with a byte order mark"):
        expand(["+experiment=mine"], config_dir=tmp_path)


def test_a_folder_in_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config-dir=~/conf works in shells that leave the ~ as it is."""
    write(tmp_path / "conf", "norm/mine", "name: mine\n_target_: my.Norm\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand(["norm=mine"], config_dir=Path("~/conf")).runs[0].norm.name == "mine"


def test_an_unknown_option_names_the_nearest() -> None:
    """Options are looked up before Hydra sees them."""
    with pytest.raises(ConfigError, match=r"^unknown schedule 'cosin'; did you mean 'cosine'\? Known: constant, "):
        expand(["schedule=cosin"])


@pytest.mark.parametrize("value", ["null", "3", "{a:1}"])
def test_an_option_is_a_name(value: str) -> None:
    """A group cannot be null, a number or a dict."""
    with pytest.raises(ConfigError, match=r"^unknown norm "):
        expand([f"norm={value}"])


@pytest.mark.parametrize("multirun", [False, True], ids=["without -m", "with -m"])
def test_a_list_of_options_is_answered_by_the_sweep_that_was_meant(multirun: bool) -> None:
    """Hydra's list is one value."""
    message = r"^'norm=\[batch,none\]' is one value, a list; for a sweep use norm=batch,none with -m\.$"
    with pytest.raises(ConfigError, match=message):
        expand(["norm=[batch,none]"], multirun=multirun)


def test_a_glob_that_matches_nothing() -> None:
    """An empty sweep would pass for a finished one."""
    with pytest.raises(ConfigError, match=r"'norm=glob\(x\*\)' matches no norm\. Known: batch, "):
        expand(["norm=glob(x*)"], multirun=True)


def test_groups_are_the_folders() -> None:
    """Hydra's own groups and the claims are none of a run's."""
    with Composer() as composer:
        assert composer.groups == ("data", "engine", "experiment", "model", "norm", "optimizer", "schedule", "task")


def test_an_app_of_hydras_finds_its_state_again(tmp_path: Path) -> None:
    """What `hydra.main` has set up is neither seen by normbench nor changed, also where composing fails."""
    write(tmp_path, "app", "norm: batch\n")
    with initialize_config_dir(str(tmp_path), version_base="1.2", job_name="app"):
        state, job = GlobalHydra.instance().hydra, JobRuntime.instance().conf
        expand(["norm=group"])
        with pytest.raises(ConfigError):
            expand(["norm=grup"])
        assert GlobalHydra.instance().hydra is state
        assert (JobRuntime.instance().conf, JobRuntime.instance().get("name")) == (job, "app")
        assert str(VersionBase.instance().getbase()) == "1.2"
        assert compose("app").norm == "batch"
