"""README's commands, run by bash as they are printed, one after another, in a folder that is set up as README says."""

import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pytest
from analysis.tables import write_study
from PIL import Image
from report.made_up import judged_study

import normbench
from normbench.cli import cli
from normbench.config.shipped import shipped_conf
from normbench.config.sweep import expand

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "README.md").read_text()
EXPERIMENTS = sorted(path.stem for path in (shipped_conf() / "experiment").glob("*.yaml"))

MOST_WORK = 90
"""Seconds of all processors together; a command that takes more fails, unless the table below names it."""

LONGEST = 600
"""Seconds after which a command is ended: it waits for something that never comes."""

NOT_RUN = ""
"""Bash parses the command, and that is all."""

INSTEAD: Mapping[str, tuple[str, str]] = {
    "scripts/test": (NOT_RUN, "the gate that runs this test"),
    "normbench train -m norm=batch,layer,none batch_size=2,32 'seed=range(5)'": (
        "normbench plan -m norm=batch,layer,none batch_size=2,32 'seed=range(5)'",
        "half a minute: ten epochs at a batch of two",
    ),
    "normbench train task=language_model norm=layer": (
        "normbench train task=language_model norm=layer steps=20",
        "a minute of two cores: ten passes over half a megabyte of text",
    ),
    "normbench train -m task=sequence_classification model=rnn norm=batch,layer,none batch_size=2,32": (
        "normbench train -m task=sequence_classification model=rnn norm=batch,layer,none batch_size=2,32 steps=20",
        "two minutes: ten epochs at a batch of two",
    ),
    "normbench train -m task=style norm=instance,batch batch_size=1,4": (
        "normbench train -m task=style norm=instance,batch batch_size=1,4 steps=2",
        "minutes; tests/training/test_style_training.py holds what it shows",
    ),
    "normbench train model=vgg data=image_folder data.root=~/flowers data.size=32 log.weights=final": (
        "normbench train model=vgg data=image_folder data.root=~/flowers data.size=32 log.weights=final steps=2",
        "a minute",
    ),
    "normbench train task=translation data.kind=reverse norm=layer steps=1500": (
        "normbench train task=translation data.kind=reverse norm=layer steps=20",
        "a minute",
    ),
    **{
        f"normbench train -m task={task} norm=batch,group batch_size=2,16": (
            f"normbench train -m task={task} norm=batch,group batch_size=2,16 steps=4 data.num_scenes=100",
            "minutes of two cores: fifteen epochs, some at a batch of two",
        )
        for task in ("detection", "segmentation")
    },
    "normbench completion fish | source": ("normbench completion fish", "the pipe is written for another shell"),
    "normbench dashboard quickstart": (
        "normbench dashboard quickstart --help",
        "a server until Ctrl-C; test_dashboard.py starts it",
    ),
    "normbench claims run small_batch_hurts": ("normbench claims run small_batch_hurts --help", "minutes"),
    "normbench claims run --all --budget 60": ("normbench claims run --all --budget 60 --help", "an hour"),
    "normbench claims run --all --catalogue cifar10 data.root=FOLDER": (
        "normbench claims run --all --catalogue cifar10 data.root=FOLDER --cfg",
        "hours, on images of the user's own",
    ),
    "normbench claims run --all --catalogue text": (
        "normbench claims run --all --catalogue text --cfg",
        "hours, on texts of the user's own",
    ),
    "normbench claims publish FOLDER": ("normbench claims publish FOLDER --help", "it needs a judged study"),
    "normbench claims verdict --study results/reference": (
        "normbench claims verdict --study results/reference --help",
        "test_reference.py judges the records",
    ),
    "normbench train +experiment=cifar10_resnet20 data.download=true": (
        "normbench train +experiment=cifar10_resnet20 data.download=true --cfg",
        "hours, and a download",
    ),
    "normbench train +experiment=fine_tune model.weights=results/pretrained/weights/ef75627e5fab.pt": (
        "normbench train +experiment=fine_tune model.weights=results/pretrained/weights/ef75627e5fab.pt steps=5",
        "half a minute; test_experiments.py trains it",
    ),
    **{
        f"normbench train +experiment={name}": (
            f"normbench train +experiment={name} --cfg",
            "up to a minute; test_experiments.py trains it",
        )
        for name in EXPERIMENTS
    },
}
"""What is run in the place of a command that costs much, and why."""

ELSEWHERE = {
    "Your own norm, model, data or optimizer": "test_wheel.py runs its files and commands",
    "On a cluster": "engine/places/test_page.py runs its commands in a Slurm of its own",
}
"""Sections whose commands another test runs."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A command of the page.

    Attributes:
        text: As it is printed, without the comment after it.
        line: Where it stands, from 1.
        section: The heading above it.
    """

    text: str
    line: int
    section: str


def printed(page: str) -> Iterator[Printed]:
    """Yield the commands of a page in their order: every indented line of code, those in fences, those in a text."""
    section, fence = "", ""
    for number, line in enumerate(page.splitlines(), start=1):
        if line.startswith("```"):
            fence = "" if fence else line
        elif not fence and line.startswith("#"):
            section = line.lstrip("# ")
        elif not fence and line.startswith("    "):
            yield Printed(re.sub(r"\s+#.*", "", line.strip()), number, section)
        elif fence:
            if re.match(r"(normbench|scripts/\w+|pip|eval) ", line):
                yield Printed(re.sub(r"\s+#.*", "", line), number, section)
        else:
            for text in re.findall(r"`((?:normbench|scripts/\w+|eval) [^`]+)`", line):
                if not names_a_command(text):
                    yield Printed(text, number, section)


def names_a_command(text: str) -> bool:
    """Return whether a text is but the name of a command, as `normbench claims list` is."""
    known: click.Command = cli
    for word in text.split()[1:]:
        if not isinstance(known, click.Group) or word not in known.commands:
            return False
        known = known.commands[word]
    return True


COMMANDS = list(printed(PAGE))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder from which normbench can be called, under both of its names."""
    here = tmp_path / "here"
    for place in (tmp_path / "bin", here / "scripts"):
        place.mkdir(parents=True)
        # test_setup.py runs scripts/normbench itself, which may set up an environment.
        (place / "normbench").symlink_to(Path(sys.executable).with_name("normbench"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("NORMBENCH_CACHE", str(tmp_path / "cache"))
    return here


@pytest.fixture
def furnished(here: Path, tmp_path: Path) -> Path:
    """Return the folder with what README takes for granted: images, texts, and studies of other days and machines."""
    draw = np.random.default_rng(0)
    for flower in ("daisy", "tulip"):
        folder = tmp_path / "home" / "flowers" / flower
        folder.mkdir(parents=True)
        for number in range(60):
            image = draw.integers(0, 255, (40, 36, 3), dtype=np.uint8)
            Image.fromarray(image).save(folder / f"{number}.png")
    words = draw.choice(["the", "cat", "sat", "on", "a", "mat", "and", "slept"], (100, 8))
    lines = [" ".join(line) for line in words]
    (here / "my_book.txt").write_text("\n".join(lines * 10) + "\n")
    (here / "reviews.csv").write_text("review,stars\n" + "".join(f"{line},{len(line) % 2}\n" for line in lines))
    (here / "pairs.tsv").write_text("".join(f"{line}\t{line[::-1]}\n" for line in lines))
    for name, text in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL):
        (here / name).write_text(text)
    for name in EXPERIMENTS:
        # These are trained and merged by commands of the page.
        if name not in ("quickstart", "depth", "fine_tune"):
            write_experiment(here / "results" / name)
    write_experiment(here / "other" / "results" / "quickstart")
    small = ["norm=batch,none", "model.depth=1,2", "lr=0.1,0.2", "seed=range(2)", "steps=2", "model.width=8"]
    normbench.train(small, study="depth", results_dir=here / "laptop" / "results")
    shutil.copytree(here / "laptop", here / "desktop")
    judged_study(here / "results" / "claims", ["small_batch_hurts", "higher_lr"])
    return here


def write_experiment(folder: Path) -> None:
    """Write the table of a shipped experiment, its accuracies made up."""
    sweep = expand([f"+experiment={folder.name}"])
    rows = []
    for place, run in enumerate(sweep.runs):
        values = {"model": run.model.name, "norm": run.norm.name, "batch_size": run.batch_size, "lr": run.lr}
        for key in ("model.depth", "model.init_scale", "model.activation", "model.norm_placement", "norm.momentum"):
            group, _, leaf = key.partition(".")
            if key in sweep.changed:
                values[key] = getattr(run, group).args[leaf]
        scores = dict.fromkeys(("val_accuracy", "test_accuracy", "test_accuracy_precise"), place % 7 / 10 + 0.1)
        rows.append({**values, **scores, "seed": run.seed, "norm_batch_size": run.norm_batch_size})
    write_study(folder, *rows)


def run(command: str, folder: Path) -> str:
    """Run a command in bash; return what went wrong, empty where nothing did."""
    before = work_done()
    with (
        (folder / "said").open("w+") as said,
        subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        ) as process,
    ):
        try:
            code = process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return f"did not end within {LONGEST} s"
        said.seek(0)
        if code:
            return f"exit code {code}: {said.read().strip()[-500:]}"
    if (work := work_done() - before) > MOST_WORK:
        return (
            f"took {work:.0f} s of the processors, more than {MOST_WORK}: INSTEAD has to say what is run in its place"
        )
    return ""


def work_done() -> float:
    """Return the processor seconds of all commands that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.slow
def test_every_command_works_as_it_is_printed(furnished: Path) -> None:
    """Each exits with 0; what costs much is replaced by what the table says."""
    failures = []
    for command in COMMANDS:
        if command.section in ELSEWHERE:
            continue
        text = INSTEAD.get(command.text, (command.text, ""))[0]
        if failure := run(text, furnished) if text else "":
            failures.append(f"README.md line {command.line}: {text}\n    {failure}")
    assert not failures, "\n".join(failures)


@pytest.mark.slow
def test_the_python_of_the_page_works(here: Path) -> None:
    """As a script of the user's own."""
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if block.startswith("import norm")
    )
    (here / "mine.py").write_text(code)
    assert run("python mine.py", here) == ""
    assert (here / "results" / "mine" / "runs.csv").is_file()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.text)
def test_bash_reads_each_command_as_it_is_meant(command: Printed) -> None:
    """It parses, and outside quotes nothing stands that bash would take for its own: (), [], *, ? or a brace."""
    subprocess.run(["bash", "-n", "-c", command.text], check=True)
    if "$(" not in command.text:
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", command.text)
        assert not re.search(r"[()\[\]{}*?<>;&!]", bare)
        assert shlex.split(command.text)[0] in ("normbench", "scripts/normbench", "scripts/test", "pip")


def test_the_tables_name_what_the_page_has() -> None:
    """A command that is no longer printed has no exception; nor has a section."""
    texts = {command.text for command in COMMANDS}
    listed = {text for text in INSTEAD if "+experiment=" not in text}
    assert listed <= texts
    assert set(ELSEWHERE) <= {command.section for command in COMMANDS}


def test_the_commands_of_a_page_are_found() -> None:
    """Indented, in a fence and in a text; comments are left out, and so are outputs, code and bare names."""
    page = """
# Page
    normbench train lr=1    # a comment
```
normbench plan lr=2
norm  lr
```
```python
x = 1
```
See `normbench plan`, `normbench rerun 12 --trust` and `eval "$(normbench completion bash)"`.
"""
    assert [(command.text, command.line, command.section) for command in printed(page)] == [
        ("normbench train lr=1", 3, "Page"),
        ("normbench plan lr=2", 5, "Page"),
        ("normbench rerun 12 --trust", 11, "Page"),
        ('eval "$(normbench completion bash)"', 11, "Page"),
    ]
