"""What trained models write: in TensorBoard, in the study's folder, and in the report."""

import json
from pathlib import Path

import pytest
import torch
from commands import Command
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from normbench.data.vocabulary import Vocabulary
from normbench.record.texts import read_texts

SMALL = ("model.width=8", "model.depth=1", "model.heads=2", "steps=3", "norm=layer", "study=mine", "engine.workers=1")
LANGUAGE = ("task=language_model", "data.length=16", "data.limit=60", *SMALL)
PAIRS = ("task=translation", "data.num_samples=200", "data.max_length=5", "data.min_length=2", *SMALL)


def test_a_single_run_of_a_language_model_shows_its_texts(normbench: Command) -> None:
    """Three windows of the test part are continued; TensorBoard's text tab and the report have them."""
    assert normbench("train", *LANGUAGE).code == 0
    study = Path("results/mine")
    (path,) = (study / "texts").iterdir()
    texts = read_texts(path)
    assert "likeliest token" in texts.how
    assert len(texts.rows) == 3
    for prompt, text, wanted in texts.rows:
        assert len(prompt) == len(wanted) == 8
        assert text
    (log,) = (study / "tensorboard").iterdir()
    events = EventAccumulator(str(log))
    events.Reload()
    assert {f"texts/{place}/text_summary" for place in (1, 2, 3)} <= set(events.Tags()["tensors"])
    (shown,) = events.Tensors("texts/1/text_summary")[0].tensor_proto.string_val
    assert b"**prompt**\n\n    " in shown
    assert normbench("report", "mine").code == 0
    page = (study / "report.html").read_text()
    assert "What the models write" in page
    assert texts.how in page


def test_a_translation_writes_targets_of_its_sources(normbench: Command) -> None:
    """Beside each stands the target that the data have."""
    assert normbench("train", *PAIRS).code == 0
    (path,) = Path("results/mine/texts").iterdir()
    for prompt, _, wanted in read_texts(path).rows:
        assert prompt.split() == wanted.split()[::-1]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [((*LANGUAGE, "-m", "seed=0,1"), 0), ((*LANGUAGE, "-m", "seed=0,1", "log.tensorboard=run"), 2), (SMALL[3:], 0)],
    ids=["a sweep", "a sweep that asks for it", "a task without texts"],
)
def test_texts_are_written_where_a_log_is(overrides: tuple[str, ...], expected: int, normbench: Command) -> None:
    """Sweeps have none by default, and tasks without texts never."""
    assert normbench("train", *overrides).code == 0
    assert len(list(Path("results/mine").glob("texts/*"))) == expected


def test_kept_weights_have_their_vocabulary_beside_them(normbench: Command) -> None:
    """It decodes what a model with these weights writes."""
    assert normbench("train", *LANGUAGE, "log.weights=final").code == 0
    (path,) = Path("results/mine/weights").glob("*.vocabulary.json")
    vocabulary = Vocabulary.of_dict(json.loads(path.read_text())["sequence"])
    weights = torch.load(path.with_name(path.name.replace(".vocabulary.json", ".pt")), weights_only=True)
    assert weights["head.weight"].shape[0] == len(vocabulary)
    assert vocabulary.decode(vocabulary.encode("a text")) == "a text"
