"""One study's folder: the frozen plan in blocks, and a shard for each finished pack."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple, TypeVar

from normbench.errors import StudyError
from normbench.record.columns import PACKED
from normbench.record.files import append_lines, make_folder, reading, remove_drafts, write_whole
from normbench.record.lock import FolderLock, Say
from normbench.record.shards import CellValue as CellValue
from normbench.record.shards import Record as Record
from normbench.record.shards import read_shard, shard_text

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Block:
    """The part of the plan that one command added.

    Attributes:
        number: From 1, in the order of the commands.
        header: When, how and by which version it was planned.
        runs: By run_id the resolved `config`, the hash of the data (`content`), and the hashes of the user's source
            files, if any, by the key that names them (`sources`).
        packs: Packs in the order they start: `runs`, `mode`, `threads`, `reason`.
    """

    number: int
    header: Mapping[str, Any]
    runs: Mapping[str, Mapping[str, Any]]
    packs: tuple[Mapping[str, Any], ...]

    def probes(self, run_id: str) -> frozenset[str]:
        """Return the probes of a run; plans of early versions have none."""
        return frozenset(self.runs[run_id]["config"].get("probes", ()))


class Ended(NamedTuple):
    """How a run last ended: the block of its newest record, `finished`, `diverged` or `failed`, and the error."""

    block: int
    status: str
    error: str


class Study:
    """A study on disk; each call reads it again, as other commands may add to it."""

    def __init__(self, folder: Path) -> None:
        """Set the folder, which need not exist yet."""
        self.folder = folder
        self._plan = folder / "plan.jsonl"
        self._shards = folder / "shards"
        self._checkpoints = folder / "checkpoints"
        self._lock = FolderLock(folder)

    @property
    def name(self) -> str:
        """Name of the study: the name of its folder."""
        return self.folder.name

    def create(self) -> None:
        """Create the folder.

        Raises:
            StudyError: If it cannot be created or written to, or has compressed tables, which new tables would hide.
        """
        with reading(self.folder):
            packed = any((self.folder / f"runs.csv{ending}").is_file() for ending in PACKED)
            plain = (self.folder / "runs.csv").is_file()
        if packed and not plain:
            raise StudyError(f"{self.folder} has compressed tables and is read-only: train into another study.")
        make_folder(self.folder)
        make_folder(self._shards)

    @contextmanager
    def held(self, say: Say = lambda _: None) -> Iterator[None]:
        """Lock the study against writing by other commands; the lock is re-entrant.

        Args:
            say: Called once with the owner of the lock if this has to wait.

        Raises:
            StudyError: If the folder cannot be written to.
        """
        with self._lock.held(say) as taken:
            if taken:
                for folder in (
                    self.folder,
                    self._shards,
                    self._checkpoints,
                    *(self.folder / name for name in ("weights", "texts", "pictures")),
                ):
                    remove_drafts(folder)
            yield

    @property
    def is_free(self) -> bool:
        """Whether no command is using the study now."""
        return self._lock.is_free

    def state(self) -> str:
        """Return a text that changes whenever something is added to the study.

        Raises:
            StudyError: If its folder cannot be read.
        """
        with reading(self.folder):
            plan = self._plan.stat().st_size if self._plan.exists() else 0
            if not self._shards.is_dir():
                return f"{plan}"
            return f"{plan} {sum(1 for _ in self._shards.glob('*.json'))} {self._shards.stat().st_mtime_ns}"

    def blocks(self) -> list[Block]:
        """Return the blocks of the plan in order, without a block whose writing was interrupted.

        Raises:
            StudyError: If a line is damaged.
        """
        with reading(self._plan):
            return [block for block, _ in self._read_blocks()]

    def append_block(
        self, header: Mapping[str, Any], runs: Mapping[str, Mapping[str, Any]], packs: Sequence[Mapping[str, Any]]
    ) -> Block:
        """Write runs and packs to the plan before any of them starts.

        Args:
            header: When and how they were planned.
            runs: Resolved config and content hash by run_id.
            packs: The packs.

        Returns:
            The numbered block.

        Raises:
            StudyError: If it cannot be written.
        """
        with self.held():
            read = list(self._read_blocks())
            if self._plan.exists():
                self._cut_off(read[-1][1] if read else 0)
            number = len(read) + 1
            head = {"block": number, "lines": len(runs) + len(packs), **header}
            block = Block(number, head, dict(runs), tuple(packs))
            append_lines(self._plan, block_lines(block))
        return block

    def write_shard(self, block: int, pack: int, records: Sequence[Record]) -> None:
        """Write the records of one finished pack, and delete the checkpoints of its runs.

        Args:
            block: Number of its block.
            pack: Its index in the block, from 0.
            records: A record for each of its runs.

        Raises:
            StudyError: If it cannot be written.
        """
        write_whole(self._shard(block, pack), [shard_text(records)])
        self.drop_checkpoints([record.run_id for record in records])

    def checkpoint(self, run_id: str) -> Path:
        """Return the path of a run's checkpoint."""
        return self._checkpoints / f"{run_id}.pt"

    def weights(self, run_id: str) -> Path:
        """Return the path of a run's final weights, which are saved on request."""
        return self.folder / "weights" / f"{run_id}.pt"

    def drop_checkpoints(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of runs, if any."""
        if self._checkpoints.is_dir():
            for run_id in run_ids:
                self.checkpoint(run_id).unlink(missing_ok=True)

    def records(self) -> dict[str, tuple[int, Record]]:
        """Return the newest record of each run and the number of its block.

        Raises:
            StudyError: If a shard is damaged.
        """
        return self._newest(lambda block, record: (block, record))

    def ended(self) -> dict[str, Ended]:
        """Return how each run last ended, from its newest record, without the cells.

        Raises:
            StudyError: If a shard is damaged.
        """
        return self._newest(lambda block, record: Ended(block, record.status, record.error))

    def results(self, of: Callable[[Record], Kept]) -> dict[str, Kept]:
        """Return the valid result of each run: its newest record, but not a failure if an earlier record did not fail.

        Args:
            of: Reduces a record, whose numbers are text as in the tables, to what is returned: the cells of 100,000
                runs would fill most of a gigabyte.

        Raises:
            StudyError: If a shard is damaged.
        """
        found: dict[str, Kept] = {}
        ranks: dict[str, tuple[bool, int]] = {}
        for block, record in self._read_shards(texts=True):
            rank = (record.status != "failed", block)
            if record.run_id not in found or rank >= ranks[record.run_id]:
                found[record.run_id], ranks[record.run_id] = of(record), rank
        return found

    def shard(self, block: int, pack: int) -> list[Record]:
        """Return the records of one finished pack, none if it has not ended.

        Args:
            block: Number of its block.
            pack: Its index in the block, from 0.

        Raises:
            StudyError: If the shard is damaged.
        """
        path = self._shard(block, pack)
        return read_shard(path)[1] if path.exists() else []

    def has_shard(self, block: int, pack: int) -> bool:
        """Return whether a pack has ended; see `shard`."""
        return self._shard(block, pack).exists()

    def _newest(self, of: Callable[[int, Record], Kept]) -> dict[str, Kept]:
        found: dict[str, Kept] = {}
        blocks: dict[str, int] = {}
        for block, record in self._read_shards(texts=False):
            if block >= blocks.get(record.run_id, 0):
                found[record.run_id], blocks[record.run_id] = of(block, record), block
        return found

    def _read_shards(self, *, texts: bool) -> Iterator[tuple[int, Record]]:
        """Yield each record with the number of its block, in the order of the names."""
        for path in sorted(self._shards.glob("*.json")):
            block, records = read_shard(path, texts=texts)
            yield from ((block, record) for record in records)

    def _shard(self, block: int, pack: int) -> Path:
        return self._shards / f"{block:04d}-{pack:06d}.json"

    def _read_blocks(self) -> Iterator[tuple[Block, int]]:
        """Yield each complete block and the byte offset of its end."""
        if not self._plan.exists():
            return
        parts: dict[str, Any] = {}
        end = 0
        with self._plan.open("rb") as file:
            # The last line may have been cut off.
            lines = enumerate((line for line in file if line.endswith(b"\n")), start=1)
            for number, line in lines:
                header = self._entry(line, number)
                if "block" not in header or "lines" not in header:
                    raise StudyError(f"{self._plan}, line {number} is damaged: expected a block header.")
                end += len(line)
                entries: list[dict[str, Any]] = []
                for place, text in islice(lines, int(header["lines"])):
                    entries.append(_sharing(self._entry(text, place), parts))
                    end += len(text)
                if len(entries) < header["lines"]:
                    return
                runs = {entry.pop("run"): entry for entry in entries if "run" in entry}
                packs = tuple(entry for entry in entries if "runs" in entry)
                yield Block(header["block"], header, runs, packs), end

    def _entry(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError) as error:
            raise StudyError(f"{self._plan}, line {number} is damaged: {error}.") from error

    def _cut_off(self, end: int) -> None:
        """Remove an incomplete last block: none of its runs has started."""
        if self._plan.stat().st_size > end:
            with self._plan.open("r+b") as file:
                file.truncate(end)


def block_lines(block: Block) -> Iterator[str]:
    """Yield the lines of a block in plan.jsonl, each with its newline."""
    entries = (block.header, *({"run": run_id, **entry} for run_id, entry in block.runs.items()), *block.packs)
    yield from (json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries)


def _sharing(entry: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """Return an entry that shares one object for equal parts of configs: 100,000 copies would fill half a gigabyte."""
    for name in ("content", "sources"):
        if name in entry:
            entry[name] = parts.setdefault(repr(entry[name]), entry[name])
    if "config" in entry:
        entry["config"] = {
            intern(key): parts.setdefault(repr(part), part) if isinstance(part, dict) else part
            for key, part in entry["config"].items()
        }
    return entry
