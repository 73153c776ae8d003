"""Named random streams: the draws of one part never depend on those of another."""

import hashlib

import torch


def stream_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the stream `names` of run seed `seed`, the same on every machine.

    Args:
        seed: The seed of the run.
        *names: The purpose of the stream, such as ``("init", "layers.0.weight")``.

    Returns:
        An integer in [0, 2**63).
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator for the stream `names` of run seed `seed` (see `stream_seed`)."""
    return torch.Generator().manual_seed(stream_seed(seed, *names))
