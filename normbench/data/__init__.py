"""Data sets as tensors in memory, and how a run splits, shifts and augments them."""

import functools
import inspect
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from normbench.data import (
    coco,
    digit_scenes,
    digit_sequences,
    digits,
    image_folder,
    language,
    mask_folder,
    photo_pieces,
    picture_scenes,
    synthetic,
    synthetic_pairs,
    text_pairs,
    text_table,
    torchvision_sets,
    voc,
)
from normbench.data.dataset import Dataset, content_hash
from normbench.data.examples import Batch, Examples
from normbench.data.fields import Fields
from normbench.data.images import Images
from normbench.data.inspection import refuse_nonfinite, variance_notes
from normbench.data.partition import Split, limit, resize, split
from normbench.data.pictures import Pictures
from normbench.errors import DataError, nearest

__all__ = [
    "REGISTRY",
    "RUN_KEYS",
    "Batch",
    "Dataset",
    "Examples",
    "Fields",
    "Pictures",
    "Split",
    "content_hash",
    "limit",
    "load",
    "resize",
    "split",
]

REGISTRY: dict[str, Callable[..., Examples]] = {
    "cifar10": torchvision_sets.cifar10,
    "cifar100": torchvision_sets.cifar100,
    "coco": coco.coco,
    "digit_scenes": digit_scenes.digit_scenes,
    "digit_pixels": digit_sequences.digit_pixels,
    "digit_rows": digit_sequences.digit_rows,
    "digits": digits.digits,
    "fashion_mnist": torchvision_sets.fashion_mnist,
    "image_folder": image_folder.image_folder,
    "mask_folder": mask_folder.mask_folder,
    "mnist": torchvision_sets.mnist,
    "photo_pieces": photo_pieces.photo_pieces,
    "picture_scenes": picture_scenes.picture_scenes,
    "pydoc_topics": language.pydoc_topics,
    "svhn": torchvision_sets.svhn,
    "synthetic": synthetic.synthetic,
    "synthetic_pairs": synthetic_pairs.synthetic_pairs,
    "text": language.text,
    "text_pairs": text_pairs.text_pairs,
    "text_table": text_table.text_table,
    "voc": voc.voc,
}

# Keys of a data config that describe how a run uses the data set, not the data set itself.
RUN_KEYS = ("val_fraction", "test_fraction", "label_noise", "augment", "test_shift")


def load(name: str, args: Mapping[str, Any], loader: Callable[..., Examples] | None = None) -> Examples:
    """Load a data set; equal arguments load it once per process.

    Args:
        name: Name in `REGISTRY`, or any name if `loader` is given.
        args: The data config without its name: keyword arguments of the loader, `limit` and `size` (applied here in
            this order if the loader does not take them), and `RUN_KEYS`, which a loader gets if it takes them.
            `test_shift` is stored in the data set; the training handles the others.
        loader: The user's function, for a data set that normbench does not ship.

    Returns:
        The data set. It is shared: do not modify it.

    Raises:
        DataError: The name is unknown, the loader rejects the arguments, or the data are invalid, such as nan or inf.
    """
    function = loader or REGISTRY.get(name)
    if function is None:
        raise DataError(f"unknown data set '{name}'{nearest(name, REGISTRY)}")
    takes = inspect.signature(function).parameters
    own = {key: value for key, value in args.items() if key in takes or key not in RUN_KEYS}
    # The working directory is part of the key: loaders take relative paths.
    dataset = _load_once(function, name, json.dumps(own, sort_keys=True), os.getcwd())
    kind = args.get("test_shift", dataset.test_shift)
    return dataset if kind == dataset.test_shift else _shifted(dataset, kind)


# Data sets are dataclasses, which their abstract classes do not say: hence the ignored types.
@functools.lru_cache(maxsize=8)
def _shifted(dataset: Examples, test_shift: str) -> Examples:
    return replace(dataset, test_shift=test_shift)  # type: ignore[type-var]


@functools.lru_cache(maxsize=8)
def _load_once(function: Callable[..., Examples], name: str, canonical: str, _directory: str) -> Examples:
    args = json.loads(canonical)
    signature = inspect.signature(function)
    shared = {key: args.pop(key, None) for key in ("limit", "size") if key not in signature.parameters}
    try:
        signature.bind(**args)
    except TypeError as error:
        raise DataError(f"data set '{name}': {error}") from error
    dataset = function(**args)
    if not isinstance(dataset, Examples):
        wanted = "Dataset, Pictures or Fields of normbench.data"
        raise DataError(f"data set '{name}': got {type(dataset).__name__}, expected a {wanted}.")
    if isinstance(dataset, Images):
        refuse_nonfinite(dataset)
        if warnings := variance_notes(dataset):
            dataset = replace(dataset, notes=(*dataset.notes, *warnings))  # type: ignore[type-var]
    if shared.get("limit") is not None:
        dataset = limit(dataset, shared["limit"])
    if shared.get("size") is not None:
        if not isinstance(dataset, Images):
            raise DataError(f"data.size: data set '{name}' has no images, got {shared['size']}, expected null")
        dataset = resize(dataset, shared["size"])
    return dataset
