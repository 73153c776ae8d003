"""Image files decoded once into one memory-mapped array, which later runs and all workers share.

The cache holds two kinds of files. ``<listing>.content``, named after the paths, sizes and times of the image files,
holds their content hash, so that a second start opens no image. ``<content>-<size>-v1.npy`` holds the decoded images.
Both are written under a temporary name and renamed: whole or absent, also when two processes decode at once.
"""

import hashlib
import io
import logging
import os
import signal
import sys
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import current_process, get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from normbench.errors import DataError

# Part of the names in the cache; to be raised when the same files are to give other pixels.
FORMAT = 1
CHUNK_IMAGES = 100

logger = logging.getLogger("normbench")


@dataclass(frozen=True)
class Job:
    """A chunk of images for one worker.

    Attributes:
        files: Paths of the images.
        array: The .npy file that takes their pixels.
        start: Byte of `array` where the pixels of the first image go.
        shape: Shape (3, H, W) that every image must have in the end.
        size: Pixels of the square that is cut out; None takes images as they are.
    """

    files: Sequence[str]
    array: Path
    start: int
    shape: tuple[int, ...]
    size: int | None


def load_images(root: Path, files: Sequence[str], size: int | None) -> tuple[Tensor, str]:
    """Return the pixels of image files, decoded by the first call and mapped from the cache by later ones.

    Args:
        root: Absolute folder under which the files lie.
        files: Absolute paths of the images.
        size: Pixels of the square that is cut out of each image; None takes images as they are.

    Returns:
        (N, 3, H, W) uint8, mapped copy-on-write, and the SHA-256 in hex of the files' bytes and paths below `root`.

    Raises:
        DataError: An image cannot be read, sizes differ and `size` is None, or the cache cannot be written.
    """
    cache = cache_folder()
    listing = cache / f"{_listing_key(files)}.content"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        content = listing.read_text() if listing.exists() else None
        if content is None or not _array_path(cache, content, size).exists():
            logger.info("decoding %d images of %s once into %s", len(files), root, cache)
            content = _decode(root, files, size, cache)
            with _temporary(cache) as temporary:
                temporary.write_text(content)
                temporary.replace(listing)
    except OSError as error:  # one about an image is a DataError by now
        remedy = "NORMBENCH_CACHE=FOLDER moves them"
        raise DataError(f"cannot keep decoded images in {cache} ({error}); {remedy}") from error
    # Copy-on-write: torch warns about read-only memory, and pages that nobody writes to stay shared.
    return torch.from_numpy(np.load(_array_path(cache, content, size), mmap_mode="c")), content


def cache_folder() -> Path:
    """Return the folder of decoded images: $NORMBENCH_CACHE, else normbench in $XDG_CACHE_HOME or ~/.cache."""
    chosen = os.environ.get("NORMBENCH_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "normbench"


def _array_path(cache: Path, content: str, size: int | None) -> Path:
    return cache / f"{content}-{size or 'full'}-v{FORMAT}.npy"


def _listing_key(files: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for file in files:
        status = os.stat(file)
        digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


@contextmanager
def _temporary(cache: Path) -> Iterator[Path]:
    path = cache / f"{uuid.uuid4().hex}.tmp"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _decode(root: Path, files: Sequence[str], size: int | None, cache: Path) -> str:
    """Write all images into an array in the cache, named after their content hash, and return the hash."""
    first, _ = _decode_file(files[0], size)
    with _temporary(cache) as temporary:
        with temporary.open("wb") as array:
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), *first.shape)}
            np.lib.format.write_array_header_1_0(array, header)
            start = array.tell()
        jobs = [
            Job(files[row : row + CHUNK_IMAGES], temporary, start + row * first.nbytes, first.shape, size)
            for row in range(0, len(files), CHUNK_IMAGES)
        ]
        with _executor(len(jobs)) as executor:
            digests = [digest for chunk in executor.map(_decode_job, jobs) for digest in chunk]
        names = (file.removeprefix(f"{root}/") for file in files)
        lines = "".join(f"{digest} {name}\n" for digest, name in zip(digests, names, strict=True))
        content = hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()
        temporary.replace(_array_path(cache, content, size))
    return content


def _executor(jobs: int) -> Executor:
    # For 60,000 JPEGs of 32 x 32 on two cores: two forked processes 2.0 s, one thread 3.7 s, two threads 4.6 s, since
    # they hold the lock for most of so small an image. Threads do well on large ones, and serve where forking is unsafe
    # (macOS) or forbidden (daemons); spawned processes would run a user's unguarded script a second time.
    workers = min(jobs, os.cpu_count() or 1)
    if workers == 1 or sys.platform != "linux" or current_process().daemon:
        return ThreadPoolExecutor(workers)
    ignore_interrupt = (signal.SIGINT, signal.SIG_IGN)  # the parent stops the workers, without their tracebacks
    return ProcessPoolExecutor(workers, get_context("fork"), initializer=signal.signal, initargs=ignore_interrupt)


def _decode_job(job: Job) -> list[str]:
    """Write the pixels of the job's images and return the SHA-256 of each file."""
    digests = []
    with job.array.open("r+b") as array:
        array.seek(job.start)
        for file in job.files:
            pixels, digest = _decode_file(file, job.size)
            if pixels.shape != job.shape:
                width, height = pixels.shape[2], pixels.shape[1]
                raise DataError(
                    f"image {file} has {width} x {height} pixels, the first one {job.shape[2]} x {job.shape[1]}; "
                    "data.size=PIXELS brings all to one size"
                )
            array.write(pixels.tobytes())
            digests.append(digest)
    return digests


def _decode_file(file: str, size: int | None) -> tuple[NDArray[np.uint8], str]:
    """Return an image as (3, H, W) and the SHA-256 of its file."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        data = Path(file).read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            rgb = image.convert("RGB")
    except UnidentifiedImageError as error:
        raise DataError(f"cannot read image {file}: not an image format that Pillow knows") from error
    except Exception as error:  # on a damaged file Pillow's decoders fail in many ways
        raise DataError(f"cannot read image {file}: {error}") from error
    if size is not None:
        rgb = ImageOps.fit(rgb, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(rgb).transpose(2, 0, 1), hashlib.sha256(data).hexdigest()
