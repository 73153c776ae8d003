"""A data set of named tensors, for tasks other than classifying images."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from normbench.data.examples import Examples
from normbench.data.vocabulary import Vocabulary
from normbench.errors import DataError


@dataclass(frozen=True, eq=False)
class Fields(Examples):
    """Named tensors of equal length, used unchanged.

    Attributes:
        name: Name for messages and tables.
        fields: By name (N, ...); the model's first input comes first.
        num_test: Samples in the set's own test part, the last ones; 0 if `split` has to draw one.
        num_val: Samples in its own validation part, just before the test part; 0 if `split` has to draw one.
        content: SHA-256 in hex of the data; defaults to the hash of the tensors and vocabularies.
        class_names: One name per class; empty if samples have no classes.
        label: Name of the field with the classes, (N,) int64 in [0, num_classes); None if there is none.
        group: Name of the field with the groups, (N,): samples with the same number stay in the same part of a split;
            None if each may go anywhere.
        test_shift: Always `none`.
        notes: Notes for the user, one line each.
        vocabularies: By the name of a field of tokens, what its numbers stand for.
    """

    name: str
    fields: Mapping[str, Tensor]
    num_test: int = 0
    num_val: int = 0
    content: str = ""
    class_names: tuple[str, ...] = ()
    label: str | None = None
    group: str | None = None
    test_shift: str = "none"
    notes: tuple[str, ...] = ()
    vocabularies: Mapping[str, Vocabulary] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {field: len(values) for field, values in self.fields.items()}
        if len(set(lengths.values())) != 1:
            raise DataError(f"data set '{self.name}': fields must have equal length, got {lengths}")
        if self.test_shift != "none":
            raise DataError(f"data set '{self.name}': data.test_shift={self.test_shift} works on images only")
        self._check_parts("samples")
        for field, values in self.fields.items():
            if values.is_floating_point() and not bool(torch.isfinite(values).all()):
                raise DataError(f"data set '{self.name}': field '{field}' has values that are nan or infinite")
        if self.label is not None:
            classes = self.fields[self.label]
            if classes.dtype != torch.int64 or classes.min() < 0 or classes.max() >= self.num_classes:
                raise DataError(
                    f"data set '{self.name}': field '{self.label}' must be int64 in 0..{self.num_classes - 1}, "
                    f"got {classes.dtype} in {classes.min()}..{classes.max()}"
                )
        if not self.content:
            content = fields_hash(self.fields, self.num_test, self.num_val, self.vocabularies)
            object.__setattr__(self, "content", content)

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample's first field."""
        return tuple(next(iter(self.fields.values())).shape[1:])

    @property
    def strata(self) -> Tensor:
        """(N,) int64: the classes, or zeros."""
        return torch.zeros(len(self), dtype=torch.int64) if self.label is None else self.fields[self.label]

    @property
    def groups(self) -> Tensor | None:
        """(N,) int64: the groups, or None."""
        return None if self.group is None else self.fields[self.group]

    def fetch(self, index: Tensor) -> dict[str, Tensor]:
        """Return the fields of samples; see `Examples.fetch`."""
        rows = index.reshape(-1)
        return {
            field: values.index_select(0, rows).reshape(*index.shape, *values.shape[1:])
            for field, values in self.fields.items()
            if field not in (self.label, self.group)
        }

    def blank(self, count: int) -> dict[str, Tensor]:
        """Return `count` samples of zeros."""
        return {field: values.new_zeros(count, *values.shape[1:]) for field, values in self.fields.items()}

    def select(self, rows: Tensor, *, num_val: int, num_test: int) -> Self:
        """Return a set of some samples."""
        fields = {field: values[rows] for field, values in self.fields.items()}
        return replace(self, fields=fields, num_val=num_val, num_test=num_test)

    def to(self, device: torch.device | str) -> Self:
        """Return the set with its tensors on `device`; itself if they already are."""
        moved = {field: values.to(device) for field, values in self.fields.items()}
        return self if all(moved[field] is self.fields[field] for field in moved) else replace(self, fields=moved)


def fields_hash(
    fields: Mapping[str, Tensor], num_test: int, num_val: int = 0, vocabularies: Mapping[str, Vocabulary] | None = None
) -> str:
    """Return the SHA-256 in hex of named tensors and their vocabularies, the same on every machine.

    Args:
        fields: By name (N, ...).
        num_test: Samples in the set's own test part.
        num_val: Samples in its own validation part.
        vocabularies: By field; none add nothing to the hash.

    Returns:
        64 hex digits.
    """
    digest = hashlib.sha256(f"{num_test} {num_val}".encode())
    for field in sorted(fields):
        array = fields[field].cpu().contiguous().numpy()
        digest.update(f"\n{field} {array.dtype} {array.shape} ".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
    for field, vocabulary in sorted((vocabularies or {}).items()):
        digest.update(f"\n{field} {json.dumps(vocabulary.as_dict(), sort_keys=True)}".encode())
    return digest.hexdigest()
