import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from normbench.data import REGISTRY, RUN_KEYS, Dataset, load
from normbench.errors import DataError

CONF = Path(__file__).parents[2] / "conf/data"
SYNTHETIC: dict[str, Any] = {
    "num_classes": 2,
    "num_samples": 40,
    "image_size": 8,
    "channels": 1,
    "difficulty": 0.5,
    "generator_seed": 0,
}


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    return content


def test_each_data_set_has_a_config_and_no_other_has() -> None:
    """Config files and registry list the same names."""
    assert {path.stem for path in CONF.glob("*.yaml")} == set(REGISTRY)


# Sets of sequences have nothing to scale, crop or shift, and some have no classes.
SEQUENCES = {
    "digit_pixels": {"label_noise"},
    "digit_rows": {"label_noise"},
    "pydoc_topics": set(),
    "synthetic_pairs": set(),
    "text": set(),
    "text_pairs": set(),
    "text_table": {"label_noise"},
}
OF_SEQUENCES = {"val_fraction", "test_fraction"}
# Pictures with boxes or masks have no class that could be wrong.
PICTURES = {"coco", "mask_folder", "picture_scenes", "voc"}


@pytest.mark.parametrize("name", REGISTRY)
def test_config_fits_the_loader(name: str) -> None:
    """A config names its set first and gives the loader's arguments and the shared keys, and nothing else."""
    content = read(name)
    own = set(inspect.signature(REGISTRY[name]).parameters)
    shared = OF_SEQUENCES | SEQUENCES[name] if name in SEQUENCES else {"size", *RUN_KEYS}
    needed = {"name", "limit", *own, *shared}
    if name in PICTURES:
        needed.remove("label_noise")
    if "test_fraction" not in content:
        needed.remove("test_fraction")
    assert next(iter(content.items())) == ("name", name)
    assert set(content) == needed


def test_a_test_share_is_given_where_a_set_has_no_test_part() -> None:
    """Sets with a test part of their own have no setting that would do nothing."""
    drawn = {"digits", "digit_scenes", "image_folder", "photo_pieces", "synthetic", *SEQUENCES, *PICTURES}
    assert {name for name in REGISTRY if "test_fraction" in read(name)} == drawn


WITHOUT_FILES = (
    *("digits", "digit_scenes", "picture_scenes", "synthetic", "digit_pixels", "digit_rows", "pydoc_topics"),
    *("synthetic_pairs", "photo_pieces"),
)


@pytest.mark.parametrize("name", WITHOUT_FILES)
def test_configs_load_as_they_are(name: str) -> None:
    """The sets that need no files load from their shipped configs."""
    content = read(name)
    assert load(content.pop("name"), content).name == name


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *((name, "FOLDER") for name in ("image_folder", "coco", "mask_folder", "voc")),
        *(("text", "FILE"), ("text_table", "FILE.csv"), ("text_pairs", "FILE.tsv")),
    ],
)
def test_the_users_own_data_have_to_be_named(name: str, wanted: str) -> None:
    """The shipped config is an error until a file or folder is given."""
    content = read(name)
    with pytest.raises(DataError, match=rf"data\.root={wanted}"):
        load(content.pop("name"), content)


def test_limit_and_size_are_applied() -> None:
    """Every set can be cut down and scaled, and stays the same data by its hash."""
    whole = load("synthetic", SYNTHETIC)
    small = load("synthetic", {**SYNTHETIC, "limit": 10, "size": 4})
    assert isinstance(small, Dataset)
    assert small.images.shape == (10, 1, 4, 4)
    assert small.content == whole.content


def test_equal_arguments_load_once() -> None:
    """Order of keys and the keys of a run make no difference; a loader's argument does."""
    first = load("synthetic", {**SYNTHETIC, "val_fraction": 0.1, "augment": "none"})
    assert load("synthetic", {"augment": "flip", **dict(reversed(SYNTHETIC.items()))}) is first
    assert load("synthetic", {**SYNTHETIC, "generator_seed": 1}) is not first


def test_another_working_directory_is_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths mean other files elsewhere, so nothing is taken from memory there."""
    first = load("synthetic", SYNTHETIC)
    monkeypatch.chdir(tmp_path)
    assert load("synthetic", SYNTHETIC) is not first


def ramp(length: int, size: int) -> Dataset:
    images = torch.arange(length * size * size, dtype=torch.float32).view(length, 1, size, size)
    return Dataset("ramp", images, torch.arange(length) % 2, 0, ("even", "odd"), "0" * 64)


def test_own_loader() -> None:
    """A user's own function is called with its arguments, with `size` too where it takes one, and limited."""
    data = load("mine", {"length": 8, "size": 3, "limit": 4, "val_fraction": 0.5}, ramp)
    assert isinstance(data, Dataset)
    assert data.images.shape == (4, 1, 3, 3)
    assert data.name == "ramp"


def test_a_loader_gets_a_run_key_that_it_takes() -> None:
    """Parts that the data set has of its own are divided by its loader."""
    texts = {"length": 8, "val_fraction": 0.25}
    assert (
        load("pydoc_topics", {**texts, "test_fraction": 0.25}).num_test
        > load("pydoc_topics", {**texts, "test_fraction": 0.1}).num_test
    )


def test_unknown_name_is_refused() -> None:
    """A misspelt set is answered with the nearest one."""
    with pytest.raises(DataError, match=r"unknown data set 'digit'; did you mean 'digits'\?$"):
        load("digit", {})


@pytest.mark.parametrize(
    ("args", "message"),
    [({"length": 8}, "'mine': missing a required argument: 'size'"), ({"deep": 1}, "data set 'mine': ")],
    ids=["missing", "unknown"],
)
def test_arguments_that_do_not_fit_are_refused(args: dict[str, Any], message: str) -> None:
    """A loader that is called wrongly is a user's error; one that fails inside keeps its own."""
    with pytest.raises(DataError, match=message):
        load("mine", args, ramp)


def test_import_is_light() -> None:
    """Importing the package, and loading a set without files, imports none of the slow libraries."""
    code = (
        "import sys, normbench.data as data; data.load('digits', {});"
        "print(*sorted({'torchvision', 'sklearn', 'PIL', 'scipy', 'tokenizers', 'pydoc_data'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
