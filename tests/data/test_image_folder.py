import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normbench.cache import cache_folder
from normbench.data import Dataset, decoding
from normbench.data.image_folder import image_folder
from normbench.data.layout import EXTENSIONS
from normbench.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("NORMBENCH_CACHE", str(folder))
    return folder


def write_image(path: Path, seed: int, width: int = 8, height: int = 6, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """A folder of two classes and no parts, one image deeper down."""
    root = tmp_path / "flat"
    for number, name in enumerate(["cat/1.png", "cat/0.png", "cat/deep/2.png", "dog/a.png", "dog/b.BMP"]):
        write_image(root / name, number)
    (root / "cat/notes.txt").write_text("no image")
    return root


@pytest.fixture
def parted(tmp_path: Path) -> Path:
    """A folder with train and test."""
    root = tmp_path / "parted"
    for number, name in enumerate(
        ["train/cat/0.png", "train/cat/1.png", "train/dog/0.png", "test/cat/0.png", "test/dog/9.png"]
    ):
        write_image(root / name, number)
    return root


def move(path: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return path.rename(target)


def write_turned(path: Path, seed: int) -> None:
    """Write an image of 6 x 8 pixels that its EXIF turns to 8 x 6."""
    exif = Image.Exif()
    exif[0x112] = 6
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 6, 3), np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an image was decoded")

    monkeypatch.setattr("normbench.data.image_folder.decode_file", refuse)


def test_images_labels_and_order_are_those_of_torchvision(flat: Path) -> None:
    """The scan finds what torchvision's ImageFolder finds, in its order, with its pixels."""
    from torchvision.datasets import ImageFolder

    expected = ImageFolder(str(flat))
    data = image_folder(str(flat), None)
    assert data.class_names == tuple(expected.classes)
    assert data.labels.tolist() == expected.targets
    pixels = np.stack([np.asarray(image).transpose(2, 0, 1) for image, _ in expected])
    np.testing.assert_array_equal(data.images.numpy(), pixels)
    assert data.num_test == 0


def test_extensions_are_those_of_torchvision() -> None:
    """The list of image extensions follows torchvision's."""
    from torchvision.datasets.folder import IMG_EXTENSIONS

    assert EXTENSIONS == IMG_EXTENSIONS


@pytest.mark.parametrize("own_test", ["test", "val"])
def test_own_test_part(parted: Path, own_test: str) -> None:
    """The images of the test folder come last, and val stands in where there is no test folder."""
    (parted / "test").rename(parted / own_test)
    data = image_folder(str(parted), None)
    assert (data.num_test, data.labels.tolist()) == (2, [0, 0, 1, 0, 1])
    expected = np.asarray(Image.open(parted / own_test / "dog/9.png")).transpose(2, 0, 1)
    np.testing.assert_array_equal(data.images[-1].numpy(), expected)


def test_own_validation_part(parted: Path) -> None:
    """Its images stand between those for training and for the test."""
    for number, name in enumerate(["val/cat/5.png", "val/dog/6.png", "val/dog/7.png"]):
        write_image(parted / name, 10 + number)
    data = image_folder(str(parted), None)
    assert (data.num_val, data.num_test, data.labels.tolist()) == (3, 2, [0, 0, 1, 0, 1, 1, 0, 1])
    expected = np.asarray(Image.open(parted / "val/cat/5.png")).transpose(2, 0, 1)
    np.testing.assert_array_equal(data.images[3].numpy(), expected)


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    """Grey images get three equal channels, as torchvision has it."""
    for name in ("cat", "dog"):
        write_image(tmp_path / f"grey/{name}/0.png", 0, mode="L")
    images = image_folder(str(tmp_path / "grey"), None).images
    assert images.shape == (2, 3, 6, 8)
    assert images[:, 0].equal(images[:, 2])


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40)], ids=["wide", "tall"])
def test_size_scales_the_shorter_side_and_cuts_out_the_centre(width: int, height: int, tmp_path: Path) -> None:
    """The square equals scaling the whole image, antialiased, and cutting out its centre afterwards."""
    for name in ("cat", "dog"):
        write_image(tmp_path / f"oblong/{name}/0.png", 0, width, height)
    square = image_folder(str(tmp_path / "oblong"), 10).images[0].numpy()
    scaled = Image.open(tmp_path / "oblong/cat/0.png").resize((width // 2, height // 2), Image.Resampling.BILINEAR)
    left, top = (width // 2 - 10) // 2, (height // 2 - 10) // 2
    expected = np.asarray(scaled.crop((left, top, left + 10, top + 10))).transpose(2, 0, 1)
    np.testing.assert_allclose(square.astype(int), expected, atol=1)


def test_second_load_decodes_nothing(flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second start maps the same pixels from the cache and opens no image."""
    first = image_folder(str(flat), None)
    forbid_decoding(monkeypatch)
    second = image_folder(str(flat), None)
    assert second.images.equal(first.images)
    assert second.content == first.content


def test_one_line_is_logged_when_images_are_decoded(flat: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A user who waits learns what for, once."""
    with caplog.at_level(logging.INFO, "normbench"):
        image_folder(str(flat), None)
        image_folder(str(flat), None)
    assert [record.message for record in caplog.records] == [f"decoding 5 images of {flat} once into {cache}"]


def change_pixels(root: Path) -> None:
    write_image(root / "cat/0.png", 99)


def add_image(root: Path) -> None:
    write_image(root / "cat/7.png", 99)


def remove_image(root: Path) -> None:
    (root / "cat/0.png").unlink()


def rename_image(root: Path) -> None:
    (root / "cat/deep/2.png").rename(root / "dog/0.png")  # the order of all images stays


@pytest.mark.parametrize("change", [change_pixels, add_image, remove_image, rename_image])
def test_a_changed_folder_is_decoded_anew(flat: Path, change: Callable[[Path], None]) -> None:
    """Changing, adding, removing or relabelling an image gives other data with another content hash."""
    before = image_folder(str(flat), None)
    change(flat)
    after = image_folder(str(flat), None)
    assert after.content != before.content
    assert not (after.images.equal(before.images) and after.labels.equal(before.labels))


def test_content_is_the_same_elsewhere_and_at_any_size(flat: Path, tmp_path: Path) -> None:
    """The hash depends on the files alone: not on where they lie, when they were written or how they are scaled."""
    shutil.copytree(flat, tmp_path / "copy", copy_function=shutil.copyfile)
    contents = {image_folder(str(root), size).content for root in (flat, tmp_path / "copy") for size in (None, 4)}
    assert len(contents) == 1


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("cat", "dog"), "9098e6fec58559f6"),
        (("train/cat", "train/dog", "test/cat", "test/dog"), "218bd8bd7f79c6ac"),
        (("train/cat", "train/dog", "val/cat", "val/dog"), "29178f19656e9116"),
    ],
    ids=["classes", "train and test", "train and val"],
)
def test_content_is_fixed(folders: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    """The hash is part of run ids: it must never change for the same files and the same labels."""
    for number, folder in enumerate(folders):
        (tmp_path / "root" / folder).mkdir(parents=True)
        header = b"P5 2 2 255 "
        (tmp_path / "root" / folder / "1.pgm").write_bytes(header + bytes(range(number, number + 4)))
    assert image_folder(str(tmp_path / "root"), None).content[:16] == expected


def test_content_is_the_same_by_any_way_to_the_folder(
    flat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative and absolute, with a slash behind it, from home, through a link, and moved: one data set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(flat)
    roots = ["flat", "flat/", "./flat", "flat/../flat", str(flat), f"{flat}/", "~/flat", "link", "link/"]
    contents = {image_folder(root, None).content for root in roots}
    move(flat, tmp_path / "elsewhere/moved")
    contents.add(image_folder("elsewhere/moved", None).content)
    assert len(contents) == 1


def test_other_labels_of_the_same_files_are_other_data(tmp_path: Path) -> None:
    """Folders that were once taken for the classes "train" and "valid" do not share their runs with what they are."""
    contents = set()
    for name in ("val", "valid"):
        for folder in ("train/cat", "train/dog", f"{name}/cat", f"{name}/dog"):
            write_image(tmp_path / name / folder / "1.png", 0)
        lines = "".join(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.relative_to(tmp_path / name)}\n"
            for path in sorted((tmp_path / name).rglob("*.png"))
        )
        plain = hashlib.sha256(lines.encode()).hexdigest()
        contents.add(image_folder(str(tmp_path / name), None).content == plain)
    assert contents == {True, False}


def test_pixels_that_were_other_ones_before_are_other_data(flat: Path, tmp_path: Path) -> None:
    """A folder with a turned image, or one of 16 bits, does not share its runs with what was trained on it before."""
    write_turned(flat / "cat/0.png", 5)
    files = [flat / name for name in ("cat/0.png", "cat/1.png", "cat/deep/2.png", "dog/a.png", "dog/b.BMP")]
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()} {file.relative_to(flat)}\n" for file in files]
    before = hashlib.sha256("".join(lines).encode()).hexdigest()
    data = image_folder(str(flat), None)
    assert data.content != before
    lines[0] = lines[0].replace(" ", "+oriented ")
    assert data.content == hashlib.sha256("".join(lines).encode()).hexdigest()
    expected = np.rot90(np.asarray(Image.open(files[0])), -1)
    np.testing.assert_array_equal(data.images[0].numpy().transpose(1, 2, 0), expected)


def test_each_size_has_its_own_array(flat: Path) -> None:
    """Another size is decoded anew and does not replace the first."""
    shapes = [tuple(image_folder(str(flat), size).images.shape[2:]) for size in (None, 4, 5, None)]
    assert shapes == [(6, 8), (4, 4), (5, 5), (6, 8)]


def test_writing_to_the_images_leaves_the_cache_alone(flat: Path) -> None:
    """The mapping is copy-on-write: a caller that writes harms no other run."""
    images = image_folder(str(flat), None).images
    before = images.clone()
    images.zero_()
    assert image_folder(str(flat), None).images.equal(before)


def load_with_chunks(root: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> Dataset:
    monkeypatch.setattr(decoding, "CHUNK_IMAGES", chunk)
    return image_folder(str(root), None)


@pytest.mark.parametrize("platform", ["linux", "darwin"], ids=["processes", "threads"])
# From Python 3.12 on forking warns where torch runs threads; the forked workers run Pillow and NumPy alone.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.skipif(sys.platform != "linux", reason="forked workers are used on Linux only")
def test_parallel_decoding_equals_one_worker(
    flat: Path, tmp_path: Path, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many workers write the same array and the same hash as one."""
    alone = load_with_chunks(flat, monkeypatch, 100)
    monkeypatch.setenv("NORMBENCH_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(sys, "platform", platform)
    together = load_with_chunks(flat, monkeypatch, 1)
    assert together.images.equal(alone.images)
    assert together.content == alone.content


def test_no_temporary_file_is_left(flat: Path, cache: Path) -> None:
    """Neither success nor failure leaves half-written files behind."""
    image_folder(str(flat), None)
    (flat / "dog/broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png"):
        image_folder(str(flat), None)
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]


def test_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without NORMBENCH_CACHE the cache lies in the user's cache folder."""
    monkeypatch.delenv("NORMBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "normbench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/normbench"


def test_a_cache_that_cannot_be_written_is_named(flat: Path, cache: Path) -> None:
    """Where the cache cannot be made the message says which folder, and how to choose another."""
    cache.write_text("a file in the way")
    with pytest.raises(DataError, match=rf"cannot store decoded images in {cache} .*NORMBENCH_CACHE=FOLDER"):
        image_folder(str(flat), None)


def test_a_broken_link_is_named(flat: Path) -> None:
    """An image that is not there is no reason to blame the cache."""
    (flat / "cat/3.png").symlink_to("/nowhere.png")
    with pytest.raises(DataError, match=rf"^cannot read image {flat}/cat/3\.png: broken link to /nowhere\.png$"):
        image_folder(str(flat), None)


def test_notes_are_the_same_from_the_cache(parted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found in the images is kept with them: classes and counts, copies, what was done."""
    shutil.copyfile(parted / "train/cat/0.png", parted / "test/cat/0.png")
    write_turned(parted / "train/dog/7.png", 7)
    first = image_folder(str(parted), None).notes
    forbid_decoding(monkeypatch)
    assert image_folder(str(parted), None).notes == first
    counts = "train 4 images (cat 2, dog 2), test 2 images (cat 1, dog 1)"
    assert first == (
        f"{parted}: {counts}; validation images are drawn from train",
        f"{parted}: rotated to their EXIF orientation: 1 of 6 images",
        f"{parted}: warning: 1 of 2 test images are byte-identical to images in train; test accuracy will be too high",
    )


@pytest.mark.parametrize("mode", ["bytes", "truncated", "empty"])
def test_an_unreadable_image_is_named(flat: Path, mode: str) -> None:
    """One bad image stops the load with its path; it is never skipped."""
    bad = flat / "dog/bad.jpg"
    write_image(bad, 0, 64, 64)
    content = {"bytes": b"no image at all", "truncated": bad.read_bytes()[:-200], "empty": b""}[mode]
    bad.write_bytes(content)
    with pytest.raises(DataError, match=rf"^cannot read image {bad}: "):
        image_folder(str(flat), 8)


def test_images_of_different_sizes_are_named(flat: Path) -> None:
    """Without a size the first image that differs is named, with both sizes and the remedy."""
    write_image(flat / "dog/a.png", 0, 9, 5)
    with pytest.raises(DataError, match=r"dog/a\.png has 9 x 5 pixels, the first one 8 x 6; data\.size="):
        image_folder(str(flat), None)


def without_root(root: Path) -> None:
    return None


def missing(root: Path) -> str:
    return str(root / "nowhere")


def no_class(root: Path) -> str:
    return str(root / "cat/deep")


def one_class(root: Path) -> str:
    return str(root / "cat")


def empty_class(root: Path) -> str:
    (root / "emu").mkdir()
    (root / "emu/readme.txt").write_text("soon")
    return str(root)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (without_root, r"needs a folder: data\.root=FOLDER"),
        (missing, r"data\.root is not a folder: /.*/nowhere"),
        (no_class, r"deep must contain one subfolder per class for at least two classes, found none"),
        (one_class, r"cat must contain one subfolder .* found only 'deep'"),
        (empty_class, r"no image in class folder emu \(supported: \.jpg"),
    ],
    ids=["no_root", "missing", "no_class", "one_class", "empty_class"],
)
def test_unfit_folders_are_refused(flat: Path, make: Callable[[Path], str | None], message: str) -> None:
    """Each way in which a folder is no data set is said in one or two lines."""
    root = make(flat)
    with pytest.raises(DataError, match=message) as caught:
        image_folder(root, None)
    assert str(caught.value).count("\n") <= 1


def test_different_classes_in_train_and_test_are_refused(parted: Path) -> None:
    """Classes that only one of the parts has are named."""
    write_image(parted / "test/emu/0.png", 0)
    with pytest.raises(DataError, match="train and test must have the same class folders, only one has: emu"):
        image_folder(str(parted), None)


def test_size_below_one_is_refused(flat: Path) -> None:
    """A size of zero pixels is an error, not "as they are"."""
    with pytest.raises(DataError, match=r"data\.size must be at least 1 pixel"):
        image_folder(str(flat), 0)
