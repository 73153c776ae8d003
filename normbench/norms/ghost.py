"""Ghost batches: consecutive chunks of a batch, normalised separately (Hoffer, Hubara & Soudry 2017)."""

from torch import Tensor

from normbench.errors import ImpossibleRunError


def chunk_count(x: Tensor, norm_batch_size: int | None) -> int:
    """Return k, the number of chunks of `norm_batch_size` samples in a batch.

    Args:
        x: Input, (N, C, ...).
        norm_batch_size: Samples per chunk; None takes the whole batch as one.

    Raises:
        ImpossibleRunError: If `norm_batch_size` does not divide the batch.
    """
    batch = x.shape[0]
    if norm_batch_size is None or norm_batch_size == batch:
        return 1
    if batch % norm_batch_size:
        raise ImpossibleRunError(
            f"norm_batch_size={norm_batch_size} does not divide a batch of {batch} samples; "
            "choose a divisor, or null for the whole batch."
        )
    return batch // norm_batch_size


def checked_chunks(x: Tensor, norm_batch_size: int | None) -> int:
    """Return `chunk_count`, and refuse chunks with a single value per channel: their variance is zero.

    Raises:
        ImpossibleRunError: If there are such chunks, or `norm_batch_size` does not divide the batch.
    """
    chunks = chunk_count(x, norm_batch_size)
    if x.numel() == chunks * x.shape[1]:
        raise ImpossibleRunError(
            f"batch norm has only one value per channel (input {tuple(x.shape)}, norm_batch_size={norm_batch_size}): "
            "its variance is zero, so the output is the bias and no gradient passes. "
            "Raise batch_size or norm_batch_size to at least 2."
        )
    return chunks


def chunks_to_channels(x: Tensor, chunks: int) -> Tensor:
    """Arrange k consecutive chunks of m samples as channels, so that one call normalises each separately.

    Sample j of chunk i is ``x[i * m + j]``: a ``view(m, k, ...)`` would interleave the chunks instead.

    Args:
        x: (k * m, C, ...).
        chunks: k.

    Returns:
        (m, k * C, ...), channel c of chunk i at ``i * C + c``.
    """
    rest = x.shape[1:]
    apart = x.reshape(chunks, -1, *rest).transpose(0, 1)
    return apart.reshape(-1, chunks * rest[0], *rest[1:])


def channels_to_chunks(x: Tensor, chunks: int) -> Tensor:
    """Undo `chunks_to_channels`: (m, k * C, ...) becomes (k * m, C, ...)."""
    channels, rest = x.shape[1] // chunks, x.shape[2:]
    apart = x.reshape(-1, chunks, channels, *rest).transpose(0, 1)
    return apart.reshape(-1, channels, *rest)
