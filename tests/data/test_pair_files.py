"""Files of pairs, as they are read."""

from pathlib import Path

import pytest

from normbench.data.pair_files import Files, read_pairs
from normbench.errors import DataError

TRAINING: Files = (("a.en", "a.de"), (None, None), (None, None))
NONE: Files = ((None, None),) * 3


def write(folder: Path, **files: str) -> None:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)


def test_lines_of_two_files_belong_together(tmp_path: Path) -> None:
    """Those of each part come with it."""
    write(tmp_path, a_en="one\ntwo\n", a_de="eins\nzwei\n", b_en="three\n\n", b_de="drei\nvier")
    pairs = read_pairs(tmp_path, (("a.en", "a.de"), (None, None), ("b.en", "b.de")), "utf-8")
    assert pairs.source == ["one", "two", "three", ""]
    assert pairs.target == ["eins", "zwei", "drei", "vier"]
    assert pairs.parts.tolist() == [0, 0, 2, 2]


def test_a_file_with_both(tmp_path: Path) -> None:
    """Separated by a tab; what follows another one is not used, and an empty line is an empty pair."""
    write(tmp_path, x_tsv="one\teins\tCC-BY\n\ntwo\tzwei\n")
    pairs = read_pairs(tmp_path / "x.tsv", NONE, "utf-8")
    assert (pairs.source, pairs.target) == (["one", "", "two"], ["eins", "", "zwei"])
    assert pairs.parts.tolist() == [0, 0, 0]


WRONG: dict[str, tuple[str, Files, str]] = {
    "counts": (".", TRAINING, "parallel files need equally many lines, got a.en 2 and a.de 3"),
    "no names": (".", NONE, "is a folder: name its parallel files, data.source=FILE data.target=FILE"),
    "half": (".", (("a.en", None), *NONE[1:]), "data.target is missing: source needs the file of the other language"),
    "half of a part": (
        ".",
        (("a.en", "a.en"), (None, "a.en"), NONE[2]),
        "data.source_val is missing: target_val needs the file of the other language",
    ),
    "missing": (".", (("a.en", "a.fr"), *NONE[1:]), "cannot read .*a.fr: No such file or directory"),
    "one line": (".", (("a.en", "b.de"), *NONE[1:]), "b.de has only one line"),
    "tab": ("x.tsv", NONE, "x.tsv, line 2: no tab between source and target"),
    "names": ("x.tsv", TRAINING, "is a file of pairs; data.source and the like name files of a folder"),
}


@pytest.mark.parametrize(("root", "files", "message"), WRONG.values(), ids=WRONG)
def test_wrong_files_are_refused(tmp_path: Path, root: str, files: Files, message: str) -> None:
    """The message says which, and what is missing."""
    write(tmp_path, a_en="one\ntwo\n", a_de="eins\nzwei\ndrei\n", b_de="eins\n", x_tsv="one\teins\ntwo\n")
    with pytest.raises(DataError, match=message):
        read_pairs(tmp_path / root, files, "utf-8")
