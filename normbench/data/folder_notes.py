"""Notes on a folder of images for the user: classes and counts, files left out, changes made to images."""

from collections import Counter
from collections.abc import Iterator, Mapping

from normbench.data.layout import Layout, Listing

MOST_CLASSES = 12
"""Up to this many classes are listed with their counts; for more, only the range is given."""

MARKS = {
    "oriented": "rotated to their EXIF orientation",
    "damaged_exif": "not rotated because of damaged EXIF data",
    "sixteen_bit": "16 bits per pixel, scaled to 8",
    "faint": "only 16 or fewer grey values left: all are below a sixteenth of that range; stretch them beforehand",
    "float": "floats of 0 to 1, scaled to 8 bits",
    "alpha": "transparency dropped",
    "first_picture": "several pictures in the file, the first is used",
}
"""The note for images with each mark of `pixels.Decoded`."""


def describe(layout: Layout, found: Mapping[str, int]) -> Iterator[str]:
    """Yield the notes on a folder, one line each.

    Args:
        layout: Its parts.
        found: `decoding.LoadedImages.found` of its images.
    """
    yield _parts(layout)
    yield from _left_out(layout)
    total = sum(len(part.files) for part in layout.parts)
    yield from conversions(found, total)
    yield from copies(
        {"train": len(layout.train.files), "val": len(layout.val.files), "test": len(layout.test.files)}, found
    )


def _parts(layout: Layout) -> str:
    train, val, test = layout.parts
    if not test.files:
        return f"{_counts(train)}; validation and test images are drawn from them"
    parts = [f"{part.folder} {_counts(part)}" for part in layout.parts if part.files]
    if val.files:
        return f"{', '.join(parts)}; {val.folder} is the validation part; data.val_fraction has no effect"
    rest = f"; validation images are drawn from {train.folder}"
    if not test.folder.lower().startswith("test"):
        rest = f"; {test.folder} is used as the test part, as there is no other{rest}"
    return ", ".join(parts) + rest


def _counts(part: Listing) -> str:
    of_class = Counter(part.labels)
    if len(of_class) > MOST_CLASSES:
        classes = f"{len(of_class)} classes of {min(of_class.values())} to {max(of_class.values())}"
    else:
        classes = ", ".join(f"{part.class_names[label]} {count}" for label, count in sorted(of_class.items()))
    return f"{len(part.files)} images ({classes})"


def _left_out(layout: Layout) -> Iterator[str]:
    if layout.unused:
        yield f"left out: {', '.join(layout.unused)}, without images"
    left_out = sum((part.left_out for part in layout.parts), Counter[str]())
    if loose := left_out.pop("", 0):
        yield f"left out: images outside class folders, {loose}"
    if left_out:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(left_out.items()))
        yield f"left out: {kinds}; these types are not supported"


def conversions(found: Mapping[str, int], total: int) -> Iterator[str]:
    """Yield a note for each mark that some of `total` images have; see `describe`."""
    for mark, text in MARKS.items():
        if count := found.get(mark):
            yield f"{text}: {count} of {total} images"


def copies(sizes: Mapping[str, int], found: Mapping[str, int]) -> Iterator[str]:
    """Yield warnings of images that are in more than one part, or may be drawn into more than one.

    Args:
        sizes: Number of images by part.
        found: See `describe`.
    """
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        if count := found.get(f"{one} {other}"):
            share = "all" if count == sizes[other] else f"{count} of"
            yield (
                f"warning: {share} {sizes[other]} {other} images are byte-identical to images in {one}; "
                f"{other} accuracy will be too high"
            )
    if not sizes["test"] and (count := found.get("copies")):
        total = sizes["train"]
        yield f"warning: {count} of {total} images are byte-identical copies; test and training may share them"
