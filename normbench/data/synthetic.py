"""Generated classes of any shape and difficulty, for tests and for sweeps over the data itself."""

import numpy as np
import torch
from numpy.typing import NDArray

from normbench.data.dataset import Dataset, content_hash
from normbench.data.exact import enlarge
from normbench.errors import DataError

GRID = 4
CHUNK_IMAGES = 1024


def synthetic(
    num_classes: int, num_samples: int, image_size: int, channels: int, difficulty: float, generator_seed: int
) -> Dataset:
    """Generate classes: each is a smooth random template plus noise.

    ``image = 128 + (1 - difficulty) * (template - 128) + difficulty * noise``, clipped to 0..255. A template is a
    random grid of 4 x 4 values 0..255, bilinearly enlarged; the noise is bell-shaped, with a standard deviation of 148.
    Only integer arithmetic and PCG64's raw bits are used, so the images are the same on every machine.

    Args:
        num_classes: Classes, of equal size up to one image.
        num_samples: Images N.
        image_size: Height and width in pixels.
        channels: Channels C.
        difficulty: 0 gives the template alone, 1 only noise; rounded to a thousandth.
        generator_seed: Determines the templates and the noise; the run's seed does not affect them.

    Returns:
        The data set, (N, C, image_size, image_size) uint8, without a test part of its own.

    Raises:
        DataError: An argument is out of range.
    """
    for key, value, least in (
        ("num_classes", num_classes, 2),
        ("num_samples", num_samples, num_classes),
        ("image_size", image_size, 2),
        ("channels", channels, 1),
        ("generator_seed", generator_seed, 0),
    ):
        if value < least:
            raise DataError(f"data.{key} must be at least {least}, got {value}")
    if not 0 <= difficulty <= 1:
        raise DataError(f"data.difficulty must be in [0, 1], got {difficulty}")
    bits = np.random.PCG64(generator_seed)
    templates = _templates(bits, num_classes * channels, image_size).reshape(num_classes, channels, image_size, -1)
    weight = round(1000 * difficulty)
    images = np.empty((num_samples, channels, image_size, image_size), np.uint8)
    classes = np.arange(num_samples) % num_classes
    for start in range(0, num_samples, CHUNK_IMAGES):
        chunk = images[start : start + CHUNK_IMAGES]
        signal = templates[classes[start : start + CHUNK_IMAGES]] - 128
        mixed = (1000 - weight) * signal + weight * _noise(bits, chunk.size).reshape(chunk.shape)
        chunk[...] = (mixed // 1000 + 128).clip(0, 255)
    pixels, labels = torch.from_numpy(images), torch.from_numpy(classes)
    names = tuple(str(index) for index in range(num_classes))
    return Dataset("synthetic", pixels, labels, 0, names, content_hash(pixels, labels, 0))


def _bytes(bits: np.random.PCG64, count: int) -> NDArray[np.int64]:
    """Return `count` uniform integers 0..255."""
    words: NDArray[np.uint64] = bits.random_raw(-(-count // 8))
    return words.astype("<u8").view(np.uint8)[:count].astype(np.int64)


def _noise(bits: np.random.PCG64, count: int) -> NDArray[np.int64]:
    """Return `count` sums of four uniform bytes, minus their mean: nearly normal, standard deviation 148."""
    noise: NDArray[np.int64] = _bytes(bits, 4 * count).reshape(4, count).sum(axis=0) - 510
    return noise


def _templates(bits: np.random.PCG64, count: int, size: int) -> NDArray[np.int64]:
    """Return `count` random grids, bilinearly enlarged to (count, size, size), values 0..255."""
    return enlarge(_bytes(bits, count * GRID * GRID).reshape(count, GRID, GRID), size)
