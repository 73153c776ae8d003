"""Data sets that torchvision downloads and reads, as tensors."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from normbench.data.dataset import Dataset, content_hash
from normbench.errors import DataError

FILES = {
    "mnist": "MNIST/raw",
    "fashion_mnist": "FashionMNIST/raw",
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "svhn": "train_32x32.mat",
}
"""The files of each data set under `root`."""


def mnist(root: str, download: bool) -> Dataset:
    """Load MNIST: 60,000 + 10,000 grey digits of 28 x 28 pixels (LeCun et al. 1998).

    Args:
        root: Folder that contains ``MNIST/raw``; relative to the working directory.
        download: Download the files if they are missing.

    Returns:
        The data set with its own test part, uint8.

    Raises:
        DataError: The files are missing or damaged, or the download failed.
    """
    return _load("mnist", "MNIST", Path(root), download)


def fashion_mnist(root: str, download: bool) -> Dataset:
    """Load Fashion-MNIST: 60,000 + 10,000 grey articles of 28 x 28 pixels (Xiao et al. 2017); see `mnist`."""
    return _load("fashion_mnist", "FashionMNIST", Path(root), download)


def cifar10(root: str, download: bool) -> Dataset:
    """Load CIFAR-10: 50,000 + 10,000 colour images of 32 x 32 pixels (Krizhevsky 2009); see `mnist`."""
    return _load("cifar10", "CIFAR10", Path(root), download)


def cifar100(root: str, download: bool) -> Dataset:
    """Load CIFAR-100: 50,000 + 10,000 colour images of 32 x 32 pixels (Krizhevsky 2009); see `mnist`."""
    return _load("cifar100", "CIFAR100", Path(root), download)


def svhn(root: str, download: bool) -> Dataset:
    """Load SVHN: 73,257 + 26,032 colour house numbers of 32 x 32 pixels (Netzer et al. 2011); see `mnist`.

    The files ``train_32x32.mat`` and ``test_32x32.mat`` are in `root` itself.
    """
    return _load("svhn", "SVHN", Path(root), download)


def _load(name: str, class_name: str, root: Path, download: bool) -> Dataset:
    # Torchvision takes seconds to import, and a run on other data needs none of it.
    from torchvision import datasets

    torchvision_class = getattr(datasets, class_name)
    # Single files, as of SVHN, are expected in the root itself.
    files = (Path(os.path.expanduser(root)) / FILES[name]).resolve()
    folder = files.parent if files.suffix else files
    parts = []
    for part in ("train", "test"):
        choice = {"split": part} if class_name == "SVHN" else {"train": part == "train"}
        try:
            parts.append(torchvision_class(root=root, download=download, **choice))
        except Exception as error:  # torchvision's readers raise many errors on a damaged file
            raise DataError(_explain(name, folder, download, error)) from error
    images = torch.cat([_images(part) for part in parts])
    labels = torch.cat([_labels(part) for part in parts])
    num_test = len(parts[1])
    class_names = tuple(getattr(parts[0], "classes", map(str, range(10))))
    return Dataset(name, images, labels, num_test, class_names, content_hash(images, labels, num_test))


def _explain(name: str, folder: Path, download: bool, error: Exception) -> str:
    if download:
        cause = (str(error).strip() or repr(error)).splitlines()[-1]
        return f"data set '{name}' could not be downloaded to {folder} or read there: {cause}"
    return (
        f"data set '{name}' is missing or damaged: its files are expected in {folder}.\n"
        "data.download=true downloads them; data.root=FOLDER sets another folder"
    )


def _images(part: Any) -> Tensor:
    """Return the images of a torchvision data set as (N, C, H, W) uint8."""
    images = torch.as_tensor(part.data)
    if images.ndim == 3:
        return images.unsqueeze(1)
    return images if images.shape[1] == 3 else images.permute(0, 3, 1, 2).contiguous()


def _labels(part: Any) -> Tensor:
    labels = part.targets if hasattr(part, "targets") else part.labels
    return torch.as_tensor(labels, dtype=torch.int64)
