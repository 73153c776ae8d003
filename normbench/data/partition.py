"""Training, validation and test part of a run: drawn from the run's seed, stratified or by whole groups."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from normbench.data.examples import Batch, Examples
from normbench.data.images import Images, chunk_length
from normbench.errors import DataError
from normbench.randomness import generator

_Set = TypeVar("_Set", bound=Examples)
_Images = TypeVar("_Images", bound=Images)


@dataclass(frozen=True, eq=False)
class Split:
    """Disjoint parts of a data set, as sample indices in ascending order.

    Attributes:
        train: (n_train,) int64.
        val: (n_val,) int64.
        test: (n_test,) int64.
        fields: Fields specific to the run, (N, ...): the classes, with label noise on `train` only.
    """

    train: Tensor
    val: Tensor
    test: Tensor
    fields: Mapping[str, Tensor]

    def to(self, device: torch.device | str) -> "Split":
        """Return the split with its tensors on `device`."""
        fields = {name: values.to(device) for name, values in self.fields.items()}
        return Split(self.train.to(device), self.val.to(device), self.test.to(device), fields)

    def batch(self, data: Examples, index: Tensor, *, test: bool = False) -> Batch:
        """Return all fields of samples.

        Args:
            data: The data set that was split.
            index: Sample indices, (B,); (R, B) if the splits of R runs are stacked.
            test: Whether to fetch them as for the test.

        Returns:
            For each field (*index.shape, ...).
        """
        fields = data.fetch_test(index) if test else data.fetch(index)
        for name, values in self.fields.items():
            fields[name] = values.gather(-1, index)
        return fields


def split(
    dataset: Examples, *, seed: int, val_fraction: float, test_fraction: float = 0.0, label_noise: float = 0.0
) -> Split:
    """Draw training, validation and test parts, stratified by class as far as counts allow.

    A part has exactly ``round(n * fraction)`` samples, where n is the number of samples outside the set's own test and
    validation part. If the set has groups, a part has whole groups, not stratified: as many as come nearest, at least
    one. The test part does not depend on `val_fraction`. More label noise keeps the wrong labels of less noise.

    Args:
        dataset: The data set to split.
        seed: Seed of the run; uses its streams "split" and "label_noise".
        val_fraction: Share of the n samples for validation; unused if the set has its own validation part.
        test_fraction: Share of the n samples for the test; unused if the set has its own test part.
        label_noise: Share of the training samples whose label becomes a uniformly random other class.

    Returns:
        The parts and the labels, on the CPU.

    Raises:
        DataError: A fraction is outside [0, 1], a part would be empty, a class is missing from training, there are too
            few groups, or label noise is requested for samples without classes.
    """
    shares = {"val_fraction": val_fraction, "test_fraction": test_fraction, "label_noise": label_noise}
    for key, fraction in shares.items():
        if not 0 <= fraction <= 1:
            raise DataError(f"data.{key} must be in [0, 1], got {fraction}")
    if label_noise and dataset.label is None:
        raise DataError(f"data.label_noise: data set '{dataset.name}' has no classes, got {label_noise}, expected 0")
    labels, kinds = dataset.strata.cpu(), max(dataset.num_classes, 1)
    size = dataset.num_pool - dataset.num_val
    num_test = 0 if dataset.num_test else round(size * test_fraction)
    num_val = 0 if dataset.num_val else round(size * val_fraction)
    if num_test + num_val >= size:
        raise DataError(
            f"data set '{dataset.name}': validation ({num_val}) and test ({num_test}) leave none of the {size} samples "
            "for training; lower data.val_fraction or data.test_fraction"
        )
    stream = generator(seed, "split")
    if dataset.groups is None:
        test, rest = _take(torch.randperm(size, generator=stream), labels, num_test, kinds)
        val, train = _take(rest, labels, num_val, kinds)
    else:
        groups = dataset.groups.cpu()[:size]
        test, val, train = _draw_groups(groups, num_test, num_val, stream=stream)
        if not len(train):
            raise DataError(
                f"data set '{dataset.name}': validation and test leave none of the {len(set(groups.tolist()))} groups "
                "for training (samples of a group stay together); lower data.val_fraction or data.test_fraction"
            )
    if dataset.num_val:
        val = torch.arange(size, dataset.num_pool)
    if dataset.num_test:
        test = torch.arange(dataset.num_pool, len(labels))
    _check(dataset, labels, train, val, test)
    train = train.sort().values
    fields = {}
    if dataset.label is not None:
        fields[dataset.label] = _with_noise(labels, train, label_noise, dataset.num_classes, seed)
    return Split(train, val.sort().values, test.sort().values, fields)


def limit(dataset: _Set, n: int) -> _Set:
    """Keep at most `n` samples, and at most `n` of each of the set's own parts: stratified, the same for every seed.

    Args:
        dataset: The data set to reduce.
        n: Maximum number of samples per part.

    Returns:
        The smaller data set in the original order; `dataset` itself if it is small enough.

    Raises:
        DataError: `n` is below 1.
    """
    if n < 1:
        raise DataError(f"data.limit must be at least 1, or null for all samples; got {n}")
    size, num_val, num_test = dataset.num_pool - dataset.num_val, dataset.num_val, dataset.num_test
    if max(size, num_val, num_test) <= n:
        return dataset
    strata, kinds = dataset.strata.cpu(), max(dataset.num_classes, 1)
    kept = []
    for start, count, part in ((0, size, "pool"), (size, num_val, "val"), (size + num_val, num_test, "test")):
        order = start + torch.randperm(count, generator=generator(0, "limit", part))
        # Take the samples to drop, not those to keep: `_take` leaves each class at least one image if it can.
        _, rest = _take(order, strata, max(0, count - n), kinds)
        kept.append(rest.sort().values)
    return dataset.select(torch.cat(kept), num_val=len(kept[1]), num_test=len(kept[2]))


def resize(dataset: _Images, size: int) -> _Images:
    """Scale all images to `size` x `size`, bilinear and antialiased; the aspect ratio may change.

    Args:
        dataset: The data set to scale.
        size: New height and width in pixels.

    Returns:
        The scaled data set in the original dtype; `dataset` itself if it already has that size.

    Raises:
        DataError: `size` is below 1.
    """
    if size < 1:
        raise DataError(f"data.size must be at least 1 pixel, or null for the images' own size; got {size}")
    old = dataset.images
    if old.shape[2:] == (size, size):
        return dataset
    new = old.new_empty(len(old), old.shape[1], size, size)
    step = chunk_length(old)
    for start in range(0, len(old), step):
        scaled = torch.nn.functional.interpolate(
            old[start : start + step].float(), (size, size), mode="bilinear", antialias=True
        )
        new[start : start + step] = scaled if old.is_floating_point() else scaled.round_().clamp_(0, 255)
    return dataset.resized(new)


def _take(rows: Tensor, labels: Tensor, total: int, num_classes: int) -> tuple[Tensor, Tensor]:
    """Take `total` of the shuffled `rows`, the first of each class up to its quota; return them and the rest."""
    quotas = _quotas(torch.bincount(labels[rows], minlength=num_classes), total)
    by_class = [rows[labels[rows] == index] for index in range(num_classes)]
    taken = [members[:quota] for members, quota in zip(by_class, quotas, strict=True)]
    rest = [members[quota:] for members, quota in zip(by_class, quotas, strict=True)]
    return torch.cat(taken), torch.cat(rest)


def _draw_groups(groups: Tensor, *totals: int, stream: torch.Generator) -> tuple[Tensor, ...]:
    """Draw whole groups for parts of about `totals` rows, at least one for each that is not 0; the rest comes last."""
    _, group, counts = np.unique(groups.numpy(), return_inverse=True, return_counts=True)
    order = torch.randperm(len(counts), generator=stream).numpy()
    ends, end, cuts = counts[order].cumsum(), 0, []
    for total in totals:
        later = ends[ends > end]
        if total and len(later):
            end = int(later[abs(later - end - total).argmin()])
        cuts.append(end)
    rows = np.argsort(np.argsort(order)[group], kind="stable")
    return torch.from_numpy(rows).tensor_split(cuts)


def _quotas(class_counts: Tensor, total: int) -> list[int]:
    """Divide exactly `total` over classes in proportion to their counts (K,), by largest remainder."""
    counts = class_counts.tolist()
    size = max(1, sum(counts))
    quotas = [total * count // size for count in counts]
    order = sorted(range(len(counts)), key=lambda index: (-(total * counts[index] % size), index))
    while short := total - sum(quotas):
        # Rounding up must not empty a class while another has images left: training would lose a rare class.
        room = [index for index in order if quotas[index] < counts[index] - 1]
        for index in (room or [index for index in order if quotas[index] < counts[index]])[:short]:
            quotas[index] += 1
    return quotas


def _check(dataset: Examples, labels: Tensor, train: Tensor, val: Tensor, test: Tensor) -> None:
    for key, part in (("val_fraction", val), ("test_fraction", test)):
        if not len(part):
            raise DataError(
                f"data set '{dataset.name}': data.{key} selects none of {dataset.num_pool} samples; "
                "raise it or data.limit"
            )
    missing = sorted(set(range(dataset.num_classes)) - set(labels[train].tolist()))
    if missing and dataset.label is not None:
        names = ", ".join(f"'{dataset.class_names[index]}'" for index in missing[:5])
        raise DataError(
            f"data set '{dataset.name}': {len(missing)} of {dataset.num_classes} classes have no training sample "
            f"({names}{', ...' if len(missing) > 5 else ''}); raise data.limit or lower data.val_fraction"
        )


def _with_noise(labels: Tensor, train: Tensor, share: float, num_classes: int, seed: int) -> Tensor:
    count = round(len(train) * share)
    if not count:
        return labels
    stream = generator(seed, "label_noise")
    order = torch.randperm(len(train), generator=stream)
    shift = torch.randint(1, num_classes, (len(train),), generator=stream)
    wrong = train[order[:count]]
    noisy = labels.clone()
    noisy[wrong] = (labels[wrong] + shift[:count]) % num_classes
    return noisy
