"""Studies from machines without a shared disk, joined into one."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from glob import escape
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from normbench.analysis.refresh import write_tables
from normbench.errors import ConfigError, StudyError
from normbench.record.columns import PROBE
from normbench.record.files import make_folder, write_whole
from normbench.record.lock import FolderLock
from normbench.record.store import Block, Ended, Record, Study, block_lines

_DONE, _SUPERSEDED, _FAILED, _PLANNED = 3, 2, 1, 0
"""The progress of a run in a study: done, done but planned again since, failed, or never ended."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of a merge.

    Attributes:
        folder: The new study.
        runs: Runs in its plan.
        done: How many of them finished or diverged.
        equal: Runs found in several studies with equal rows.
        differing: Runs whose rows differed, as they may between two machines: the first named study won.
    """

    folder: Path
    runs: int
    done: int
    equal: int
    differing: int


class _Result(NamedTuple):
    """The recorded result of a run.

    Attributes:
        status: `finished`, `diverged` or `failed`.
        rows: Hash of its rows without the scalars of probes, which change nothing.
    """

    status: str
    rows: bytes

    @classmethod
    def of(cls, record: Record) -> "_Result":
        """Return the result of a record."""
        curves = {name: column for name, column in record.curves.items() if not name.startswith(PROBE)}
        text = json.dumps([record.status, record.result, curves], sort_keys=True)
        return cls(record.status, hashlib.sha256(text.encode()).digest())


@dataclass(frozen=True, slots=True)
class _Source:
    """A study to merge, as read from disk.

    Attributes:
        study: The study.
        blocks: The blocks of its plan.
        newest: The last block that holds a run, by run_id.
        ended: How each run last ended.
        results: The recorded result of each run.
    """

    study: Study
    blocks: Sequence[Block]
    newest: Mapping[str, Block]
    ended: Mapping[str, Ended]
    results: Mapping[str, _Result]

    def progress(self, run_id: str) -> int:
        """Return the progress of a run of its plan, as a training command would see it."""
        if run_id not in self.results:
            return _PLANNED
        if self.results[run_id].status == "failed":
            return _FAILED
        end = self.ended[run_id]
        return _DONE if end.status != "failed" and end.block >= self.newest[run_id].number else _SUPERSEDED


def merge_studies(folders: Sequence[Path], target: Path) -> Merged:
    """Join studies into a new one, whole or not at all.

    Blocks of the plan are renumbered in their order, study by study. A run in several plans is taken from the first
    study that has done it, else from the first that tried. If the rows are equal, the study with more probes of the run
    is taken.

    Args:
        folders: The studies, in order of precedence.
        target: Folder of the new study; it must be missing or empty.

    Returns:
        The result of the merge.

    Raises:
        ConfigError: If there are fewer than two studies, or `target` is one of them or inside one.
        StudyError: If a study is damaged or in use, or `target` is taken or cannot be written.
    """
    _check_places(folders, target)
    sources = [_read(folder) for folder in folders]
    owners, equal, differing = _owners(sources)
    with _beside(target) as draft:
        blocks: list[Block] = []
        for source in sources:
            own = {run_id for run_id, owner in owners.items() if owner is source}
            for block in source.blocks:
                if own & block.runs.keys():
                    blocks.append(_copy_block(source, block, own, draft, number=len(blocks) + 1))
            _copy_files(source.study.folder, own, draft.folder)
        write_whole(draft.folder / "plan.jsonl", chain.from_iterable(map(block_lines, blocks)))
        write_tables(draft)
    done = sum(owner.progress(run_id) >= _SUPERSEDED for run_id, owner in owners.items())
    return Merged(target, len(owners), done, equal, differing)


def _check_places(folders: Sequence[Path], target: Path) -> None:
    inputs = {folder.resolve() for folder in folders}
    if len(inputs) < 2:
        raise ConfigError(f"merge needs at least two studies, got {len(inputs)}.")
    place = target.resolve()
    if own := [folder for folder in inputs if place == folder or folder in place.parents]:
        raise ConfigError(f"-o {target} is in {own[0]}, one of the studies to merge: name a new study.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StudyError(f"{target} exists already: name a new study, or remove it.")


def _read(folder: Path) -> _Source:
    """Read a study and check that its shards match its plan."""
    study = Study(folder)
    if not (folder / "plan.jsonl").is_file():
        raise StudyError(f"{folder} has no plan.jsonl: only a whole study, with its plan and shards, can be merged.")
    if os.access(folder, os.W_OK) and not study.is_free:
        raise StudyError(f"a command is using {folder}: merge it when that has ended.")
    blocks = study.blocks()
    planned = {(block.number, run_id) for block in blocks for run_id in block.runs}
    ended = study.ended()
    for run_id, end in ended.items():
        if (end.block, run_id) not in planned:
            raise StudyError(
                f"{folder / 'plan.jsonl'} lacks run {run_id} of block {end.block}, which has a shard: "
                "restore it from a backup."
            )
    newest = {run_id: block for block in blocks for run_id in block.runs}
    return _Source(study, blocks, newest, ended, study.results(_Result.of))


def _owners(sources: Sequence[_Source]) -> tuple[dict[str, _Source], int, int]:
    """Return the study that each run is taken from, and the numbers of runs with equal and with differing rows."""
    owners: dict[str, _Source] = {}
    equal = differing = 0
    for run_id in dict.fromkeys(run_id for source in sources for run_id in source.newest):
        holders = [source for source in sources if run_id in source.newest]
        furthest = max(source.progress(run_id) for source in holders)
        ended = [source for source in holders if source.progress(run_id) >= _SUPERSEDED]
        first, *others = (source for source in holders if source.progress(run_id) == furthest)
        owners[run_id] = first
        if furthest < _SUPERSEDED or len(ended) < 2:
            continue
        rows = first.results[run_id].rows
        if all(source.results[run_id].rows == rows for source in ended):
            equal += 1
        else:
            differing += 1
        alike = [first, *(source for source in others if source.results[run_id].rows == rows)]
        owners[run_id] = max(alike, key=lambda source: len(source.newest[run_id].probes(run_id)))
    return owners, equal, differing


def _copy_block(source: _Source, block: Block, own: set[str], target: Study, *, number: int) -> Block:
    """Write the shards of a block under its new number, and return the part of it that is taken."""
    packs: list[Mapping[str, Any]] = []
    for index, pack in enumerate(block.packs):
        runs = [run_id for run_id in pack["runs"] if run_id in own]
        if not runs:
            continue
        records = [record for record in source.study.shard(block.number, index) if record.run_id in own]
        if records:
            target.write_shard(number, len(packs), [_moved(record, number, len(packs)) for record in records])
        packs.append({**pack, "runs": runs})
    runs_taken = {run_id: entry for run_id, entry in block.runs.items() if run_id in own}
    origin = {"study": source.study.name, "block": block.number}
    header = {**block.header, "block": number, "lines": len(runs_taken) + len(packs), "merged_from": origin}
    return Block(number, header, runs_taken, tuple(packs))


def _moved(record: Record, block: int, pack: int) -> Record:
    """Return a record with its new place in the plan."""
    return replace(record, provenance={**record.provenance, "block": block, "pack": pack})


def _copy_files(source: Path, own: set[str], target: Path) -> None:
    """Copy kept weights, logs of single runs, and each claim's file from the first study that has one; skip links."""
    for path in sorted((source / "weights").glob("*.pt")):
        if path.stem in own and not path.is_symlink():
            _copy_file(path, target / "weights" / path.name)
    for path in sorted((source / "claims").glob("*.json")):
        if not path.is_symlink() and not (target / "claims" / path.name).exists():
            _copy_file(path, target / "claims" / path.name)
    for path in sorted((source / "tensorboard").glob("*/")):
        if path.name.rpartition("-")[2] in own and not path.is_symlink():
            for file in path.iterdir():
                if file.is_file() and not file.is_symlink():
                    _copy_file(file, target / "tensorboard" / path.name / file.name)


def _copy_file(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


@contextmanager
def _beside(target: Path) -> Iterator[Study]:
    """Yield an empty study in a hidden folder next to `target`; at the end it is moved to `target`.

    Remove drafts that killed merges into `target` left behind.
    """
    make_folder(target.parent)
    for old in target.parent.glob(f".{escape(target.name)}.*.merging"):
        if FolderLock(old).is_free:
            shutil.rmtree(old)
    hidden = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".merging", dir=target.parent))
    try:
        with FolderLock(hidden).held(lambda _: None):
            # The tables name the study by its folder.
            draft = Study(hidden / target.name)
            draft.create()
            yield draft
            try:
                draft.folder.replace(target)
            except OSError as error:
                raise StudyError(f"cannot put the merged study in {target}: {error.strerror}.") from error
    except OSError as error:
        raise StudyError(f"cannot write the merged study to {target}: {error.strerror}.") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
