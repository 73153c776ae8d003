import pickle
import struct
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

from normbench.data import Dataset, torchvision_sets
from normbench.errors import DataError

Loader = Callable[[str, bool], Dataset]
LOADERS: list[tuple[Loader, str]] = [
    (torchvision_sets.mnist, "MNIST/raw"),
    (torchvision_sets.fashion_mnist, "FashionMNIST/raw"),
    (torchvision_sets.cifar10, "cifar-10-batches-py"),
    (torchvision_sets.cifar100, "cifar-100-python"),
    (torchvision_sets.svhn, "."),
]
every_set = pytest.mark.parametrize(("loader", "folder"), LOADERS, ids=[loader.__name__ for loader, _ in LOADERS])


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def accept_any_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision accept files with other checksums than the published ones."""
    for module in ("cifar", "svhn"):
        monkeypatch.setattr(
            f"torchvision.datasets.{module}.check_integrity", lambda path, md5=None: Path(path).is_file()
        )


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write the format of MNIST: big-endian magic number and lengths, then bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


def write_pickle(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize(
    ("loader", "folder", "name"),
    [
        (torchvision_sets.mnist, "MNIST", "0 - zero"),
        (torchvision_sets.fashion_mnist, "FashionMNIST", "T-shirt/top"),
    ],
    ids=["mnist", "fashion_mnist"],
)
def test_mnist_files(loader: Loader, folder: str, name: str, tmp_path: Path, random: np.random.Generator) -> None:
    """The grey sets become (N, 1, 28, 28), with their test files behind their training files."""
    images = random.integers(0, 256, (30, 28, 28), np.uint8)
    labels = (np.arange(30) % 10).astype(np.uint8)
    for part, rows in (("train", slice(0, 20)), ("t10k", slice(20, 30))):
        write_idx(tmp_path / folder / f"raw/{part}-images-idx3-ubyte", images[rows])
        write_idx(tmp_path / folder / f"raw/{part}-labels-idx1-ubyte", labels[rows])
    data = loader(str(tmp_path), False)
    np.testing.assert_array_equal(data.images.numpy(), images[:, None])
    np.testing.assert_array_equal(data.labels.numpy(), labels)
    assert (data.num_test, data.class_names[0], data.name) == (10, name, loader.__name__)


@pytest.mark.parametrize(
    ("loader", "folder", "train", "test", "key", "meta"),
    [
        (
            torchvision_sets.cifar10,
            "cifar-10-batches-py",
            [f"data_batch_{n}" for n in range(1, 6)],
            "test_batch",
            "labels",
            ("batches.meta", "label_names"),
        ),
        (torchvision_sets.cifar100, "cifar-100-python", ["train"], "test", "fine_labels", ("meta", "fine_label_names")),
    ],
    ids=["cifar10", "cifar100"],
)
@pytest.mark.usefixtures("accept_any_file")
def test_cifar_files(
    loader: Loader,
    folder: str,
    train: list[str],
    test: str,
    key: str,
    meta: tuple[str, str],
    tmp_path: Path,
    random: np.random.Generator,
) -> None:
    """The colour sets become (N, 3, 32, 32) in the channel order of their files, batch after batch."""
    batches = [*train, test]
    images = random.integers(0, 256, (4 * len(batches), 3 * 32 * 32), np.uint8)
    labels = [row % 10 for row in range(len(images))]
    for number, batch in enumerate(batches):
        rows = slice(4 * number, 4 * number + 4)
        write_pickle(tmp_path / folder / batch, {"data": images[rows], key: labels[rows]})
    write_pickle(tmp_path / folder / meta[0], {meta[1]: [f"class {n}" for n in range(10)]})
    data = loader(str(tmp_path), False)
    np.testing.assert_array_equal(data.images.numpy(), images.reshape(-1, 3, 32, 32))
    assert data.images.is_contiguous()
    assert data.labels.tolist() == labels
    assert (data.num_test, data.class_names[3]) == (4, "class 3")


@pytest.mark.usefixtures("accept_any_file")
def test_svhn_files(tmp_path: Path, random: np.random.Generator) -> None:
    """House numbers become (N, 3, 32, 32), and their label 10 means the digit 0."""
    images = random.integers(0, 256, (32, 32, 3, 12), np.uint8)
    labels = np.array([*range(1, 11), 1, 10])
    for part, rows in (("train", slice(0, 10)), ("test", slice(10, 12))):
        path = tmp_path / f"{part}_32x32.mat"
        scipy.io.savemat(path, {"X": images[..., rows], "y": labels[rows, None].astype(np.uint8)})
    data = torchvision_sets.svhn(str(tmp_path), False)
    np.testing.assert_array_equal(data.images.numpy(), images.transpose(3, 2, 0, 1))
    assert data.labels.tolist() == [*range(1, 10), 0, 1, 0]
    assert (data.num_test, data.num_classes) == (2, 10)


@every_set
def test_missing_files_name_folder_and_remedy(
    loader: Loader, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without files the message names the set, their absolute folder and the setting that fetches them."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        loader("data", False)
    message = str(caught.value)
    assert f"'{loader.__name__}'" in message
    assert str(tmp_path / "data" / folder) in message
    assert "data.download=true" in message
    assert message.count("\n") == 1


@every_set
def test_a_failed_download_gives_its_cause(
    loader: Loader, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the network is missing the message is one line with the set, the folder and the short cause."""

    def no_network(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    with pytest.raises(DataError) as caught:
        loader(str(tmp_path), True)
    message = str(caught.value)
    assert f"'{loader.__name__}' could not be downloaded to {(tmp_path / folder).resolve()}" in message
    assert message.endswith("<urlopen error no network here>")
    assert "\n" not in message
    assert capsys.readouterr().err == ""


def test_a_damaged_file_is_no_traceback(tmp_path: Path) -> None:
    """Files that break off are reported like missing ones."""
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"MNIST/raw/{part}-images-idx3-ubyte", np.zeros((2, 28, 28), np.uint8))
        write_idx(tmp_path / f"MNIST/raw/{part}-labels-idx1-ubyte", np.zeros(2, np.uint8))
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").write_bytes(b"")
    with pytest.raises(DataError, match="missing or damaged"):
        torchvision_sets.mnist(str(tmp_path), False)


def test_content_follows_the_pixels(tmp_path: Path, random: np.random.Generator) -> None:
    """The same files elsewhere are the same data; one other pixel is not."""
    images = random.integers(0, 256, (4, 28, 28), np.uint8)
    other = images.copy()
    other[0, 0, 0] ^= 1
    contents = []
    for name, pixels in (("a", images), ("b", images), ("c", other)):
        for part in ("train", "t10k"):
            write_idx(tmp_path / name / f"MNIST/raw/{part}-images-idx3-ubyte", pixels)
            write_idx(tmp_path / name / f"MNIST/raw/{part}-labels-idx1-ubyte", np.arange(4, dtype=np.uint8))
        contents.append(torchvision_sets.mnist(str(tmp_path / name), False).content)
    assert contents[0] == contents[1] != contents[2]
