"""Image files decoded once into one memory-mapped array, which later runs and all workers share.

The cache has two kinds of files. ``<listing>-v2.json``, named after a hash of the paths, sizes and times of the image
files, has their content hash and what was found in them, so that a second start opens no image.
``<content>-<size>-v1.npy`` has the decoded images. Both are written under a temporary name and then renamed, so they
are always complete, even if two processes decode at once.
"""

import hashlib
import json
import logging
import os
import signal
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, combinations
from multiprocessing import current_process, get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from normbench.cache import cache_folder
from normbench.data.pixels import Decoded
from normbench.errors import DataError

# Version numbers in the names of cache files. Raise the first when a content hash must give other pixels, the second
# when the same files must give another content hash or more findings.
ARRAY_FORMAT = 1
LISTING_FORMAT = 2
# Marks whose pixels were decoded differently by earlier versions: they are part of the content hash.
HASHED_MARKS = frozenset({"oriented", "sixteen_bit", "float"})
CHUNK_IMAGES = 100

Decoder = Callable[[str, int | None], Decoded]
"""A function of a file and `Job.size`."""

logger = logging.getLogger("normbench")


@dataclass(frozen=True)
class Job:
    """A chunk of images for one worker.

    Attributes:
        files: Paths of the images.
        array: The .npy file to write their pixels to.
        start: Byte offset in `array` for the pixels of the first image.
        shape: Shape (C, H, W) that every decoded image must have.
        size: Height and width in pixels; None keeps images as they are.
        decode: The function that decodes one.
    """

    files: Sequence[str]
    array: Path
    start: int
    shape: tuple[int, ...]
    size: int | None
    decode: Decoder


@dataclass(frozen=True)
class LoadedImages:
    """Decoded images.

    Attributes:
        images: (N, C, H, W) uint8, mapped copy-on-write.
        content: SHA-256 in hex of the files' bytes and paths below the root.
        found: Number of images with each of `Decoded.marks`; under "copies" the images that are byte-identical to
            others of their part; under keys such as "train test" the images of the second part also in the first.
    """

    images: Tensor
    content: str
    found: Mapping[str, int]


def load_images(
    root: Path, parts: Mapping[str, Sequence[str]], size: int | None, decode: Decoder, mark: str = ""
) -> LoadedImages:
    """Return the pixels of image files, decoded by the first call and memory-mapped from the cache by later calls.

    Args:
        root: Absolute path of the folder that contains the files.
        parts: Absolute paths of the images, by the name of their part.
        size: Height and width in pixels; None keeps images as they are.
        decode: The function that decodes one.
        mark: Text that the content hash includes in addition to the files. Each decoder needs one of its own.

    Returns:
        The images, part after part, and what was found in their files.

    Raises:
        DataError: An image cannot be read, sizes differ while `size` is None, or the cache cannot be written.
    """
    cache = cache_folder()
    files = list(chain.from_iterable(parts.values()))
    listing = cache / f"{_listing_key(files, mark)}-v{LISTING_FORMAT}.json"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        known: Any = json.loads(listing.read_text()) if listing.exists() else None
        if known is None or not _array_path(cache, known["content"], size).exists():
            logger.info("decoding %d images of %s once into %s", len(files), root, cache)
            content, found = _decode(root, parts, size, decode, mark, cache)
            known = {"content": content, "found": found}
            with _temporary(cache) as temporary:
                temporary.write_text(json.dumps(known))
                temporary.replace(listing)
    except OSError as error:  # one about an image is a DataError by now
        remedy = "NORMBENCH_CACHE=FOLDER chooses another folder"
        raise DataError(f"cannot store decoded images in {cache} ({error}); {remedy}") from error
    # Copy-on-write: torch warns about read-only memory, and unmodified pages stay shared.
    images = torch.from_numpy(np.load(_array_path(cache, known["content"], size), mmap_mode="c"))
    return LoadedImages(images, known["content"], known["found"])


def _array_path(cache: Path, content: str, size: int | None) -> Path:
    return cache / f"{content}-{size or 'full'}-v{ARRAY_FORMAT}.npy"


def _listing_key(files: Sequence[str], mark: str) -> str:
    digest = hashlib.sha256(mark.encode(errors="surrogateescape"))
    for file in files:
        try:
            status = os.stat(file)
        except OSError as error:
            cause = f"broken link to {os.readlink(file)}" if os.path.islink(file) else error.strerror
            raise DataError(f"cannot read image {file}: {cause}") from error
        digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


@contextmanager
def _temporary(cache: Path) -> Iterator[Path]:
    path = cache / f"{uuid.uuid4().hex}.tmp"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _decode(
    root: Path, parts: Mapping[str, Sequence[str]], size: int | None, decode: Decoder, mark: str, cache: Path
) -> tuple[str, Counter[str]]:
    """Write all images into an array in the cache, named after their content hash; return it and what was found."""
    files = list(chain.from_iterable(parts.values()))
    first = decode(files[0], size).pixels
    with _temporary(cache) as temporary:
        with temporary.open("wb") as array:
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), *first.shape)}
            np.lib.format.write_array_header_1_0(array, header)
            start = array.tell()
        jobs = [
            Job(files[row : row + CHUNK_IMAGES], temporary, start + row * first.nbytes, first.shape, size, decode)
            for row in range(0, len(files), CHUNK_IMAGES)
        ]
        with _executor(len(jobs)) as executor:
            decoded = list(chain.from_iterable(executor.map(_decode_job, jobs)))
        content = hashlib.sha256(mark.encode(errors="surrogateescape"))
        for file, (digest, marks) in zip(files, decoded, strict=True):
            held = "".join(f"+{one}" for one in marks if one in HASHED_MARKS)
            content.update(f"{digest}{held} {file.removeprefix(f'{root}/')}\n".encode(errors="surrogateescape"))
        temporary.replace(_array_path(cache, content.hexdigest(), size))
    rows = iter(digest for digest, _ in decoded)
    digests = {name: [next(rows) for _ in part] for name, part in parts.items()}
    found = Counter(chain.from_iterable(marks for _, marks in decoded)) + _count_copies(digests)
    return content.hexdigest(), found


def _count_copies(digests: Mapping[str, Sequence[str]]) -> Counter[str]:
    """Count identical files within and between parts."""
    copies = Counter(copies=sum(len(part) - len(set(part)) for part in digests.values()))
    for one, other in combinations(digests, 2):
        known = set(digests[one])
        copies[f"{one} {other}"] = sum(digest in known for digest in digests[other])
    return copies


def _executor(jobs: int) -> Executor:
    # 60,000 JPEGs of 32 x 32 on two cores: two forked processes 2.0 s, one thread 3.7 s, two threads 4.6 s, because
    # they hold the GIL for most of so small an image. Threads are fast on large images, and are used where forking is
    # unsafe (macOS) or forbidden (daemons). Spawned processes would run a user's unguarded script a second time.
    workers = min(jobs, os.cpu_count() or 1)
    if workers == 1 or sys.platform != "linux" or current_process().daemon:
        return ThreadPoolExecutor(workers)
    ignore_interrupt = (signal.SIGINT, signal.SIG_IGN)  # the parent stops the workers, without their tracebacks
    return ProcessPoolExecutor(workers, get_context("fork"), initializer=signal.signal, initargs=ignore_interrupt)


def _decode_job(job: Job) -> list[tuple[str, tuple[str, ...]]]:
    """Write the pixels of the job's images and return the SHA-256 of each file, and its marks."""
    found = []
    with job.array.open("r+b") as array:
        array.seek(job.start)
        for file in job.files:
            decoded = job.decode(file, job.size)
            shape = decoded.pixels.shape
            if shape != job.shape:
                raise DataError(
                    f"image {file} has {shape[2]} x {shape[1]} pixels, the first one {job.shape[2]} x {job.shape[1]}; "
                    "data.size=PIXELS scales all to one size"
                )
            array.write(decoded.pixels.tobytes())
            found.append((decoded.digest, decoded.marks))
    return found
