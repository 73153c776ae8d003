"""Random numbers as a pure function of seed, step and position, so that they can be drawn inside `torch.vmap`.

All runs of a stack would share a generator. Here each run stores its seed and step count in buffers, and the numbers
are a hash of them: the same alone and in a pack, eager and compiled, on every device, and after resuming.
"""

import math

import torch
from torch import Tensor

_WORD = 2**32 - 1


def hashed(words: Tensor) -> Tensor:
    """Mix 32-bit words, int64 tensors in [0, 2^32), one to one (`hash-prospector` of C. Wellons).

    Both factors are below 2^31, so that no product overflows int64.
    """
    words = ((words ^ (words >> 16)) * 0x21F0AAAD) & _WORD
    words = ((words ^ (words >> 15)) * 0x735A2D97) & _WORD
    return words ^ (words >> 15)


def uniform(seed: Tensor, step: Tensor, stream: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return uniform numbers in (0, 1), 23 bits each.

    Args:
        seed: () int64 in [0, 2^32).
        step: () int64.
        stream: Index of the number, if a position needs several.
        shape: Shape of the result.
        dtype: Dtype of the result; the numbers are the same in all dtypes with at least 24 bits.
    """
    key = hashed(hashed(seed) ^ (step & _WORD))
    other = hashed(key ^ hashed(torch.full_like(key, stream + 1)))
    places = torch.arange(math.prod(shape), device=seed.device).view(shape)
    # Two keys: with one, steps with close keys would share most of their numbers.
    words = hashed(hashed((places + key) & _WORD) ^ other)
    return ((words >> 9).to(dtype) + 0.5) * 2.0**-23


def normal(seed: Tensor, step: Tensor, stream: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return standard normal numbers (Box & Muller 1958), from the streams `stream` and `stream` + 1; see `uniform`."""
    radius = torch.sqrt(-2 * torch.log(uniform(seed, step, stream, shape, dtype)))
    return radius * torch.cos(2 * math.pi * uniform(seed, step, stream + 1, shape, dtype))
