"""Pictures with boxes in the format of Pascal VOC: an XML file for each picture."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from normbench.data.annotated import Annotated, Box, assemble
from normbench.data.bad_entries import BadEntries
from normbench.data.boxes import Corners
from normbench.data.layout import EXTENSIONS
from normbench.data.own_parts import PARTS
from normbench.data.picture_names import files_by_stem, read_lists
from normbench.data.pictures import Pictures
from normbench.data.text_files import find
from normbench.errors import DataError, nearest

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def voc(
    root: str | None,
    images: str,
    annotations: str,
    split: str | None,
    classes: Sequence[str] | None,
    first_pixel: int,
    whole_pixels: bool,
    skip_bad: bool,
    size: int | None,
) -> Pictures:
    """Load pictures and the XML files with the same names; pictures are decoded once into the cache.

    Objects marked as `difficult` are neither to be found nor wrong if found. Names are read from the names of the
    files, not from what is written in them.

    Args:
        root: The folder, such as VOC2012; relative to the working directory.
        images: Folder of the pictures in it.
        annotations: Folder of the XML files in it.
        split: Folder in it whose train.txt, val.txt and test.txt list the pictures of each part; None takes all
            pictures, and the run's seed draws the parts.
        classes: Names of the classes; None for those found.
        first_pixel: Number of a picture's first pixel. With 1, as in the official files, a box is from `xmin - 1` to
            `xmax`; with 0 from `xmin` to `xmax`.
        whole_pixels: Whether to round corners to whole pixels, before scaling.
        skip_bad: Whether to leave out what is wrong, with a note; otherwise it is an error.
        size: Width and height that pictures are stretched to; None if they all have the same.

    Returns:
        The data set, with its own parts where `split` has lists of them.

    Raises:
        DataError: A file is missing or damaged, or an entry is bad; see `assemble`.
    """
    folder = find(root, "FOLDER, such as VOC2012")
    if classes is not None and not 0 < len(classes) == len(set(classes)):
        raise DataError(f"data.classes: got {', '.join(classes) or 'no name'}, expected names that differ")
    bad = BadEntries(skip_bad)
    pictures = _list(folder, "images", images, EXTENSIONS)
    documents = _list(folder, "annotations", annotations, (".xml",))
    every = sorted({*pictures, *documents})
    lists = {"train": every} if split is None else read_lists(folder / split)
    parts: dict[str, list[Annotated]] = {part: [] for part in PARTS}
    for part, names in lists.items():
        for name in names:
            where = name if split is None else f"{folder / split / part}.txt: {name}"
            if name not in pictures:
                bad.add("annotations of missing pictures", f"{where} has no picture in {folder / images}")
            elif name not in documents:
                bad.add("pictures without annotations", f"{where} has no annotation {folder / annotations / name}.xml")
            elif (read := _read(documents[name], pictures[name], classes, first_pixel, bad)) is not None:
                parts[part].append(read)
    found = {box.category for part in parts.values() for picture in part for box in picture.boxes}
    unlisted = len(set(every).difference(*lists.values()))
    return assemble(
        "voc",
        folder,
        parts,
        sorted(found) if classes is None else classes,
        size=size,
        whole_pixels=whole_pixels,
        bad=bad,
        notes=[f"left out: {unlisted} pictures that no list names"] if unlisted else [],
    )


def _list(root: Path, key: str, name: str, extensions: tuple[str, ...]) -> dict[str, str]:
    folder = root / name
    if not folder.is_dir():
        raise DataError(f"data.{key}: there is no folder {folder}")
    return files_by_stem(folder, extensions)


def _read(
    document: str, picture: str, classes: Sequence[str] | None, first_pixel: int, bad: BadEntries
) -> Annotated | None:
    """Return the picture that an XML file annotates; None if the file is damaged and bad entries are skipped."""
    try:
        tree = ElementTree.parse(document).getroot()
    # An encoding that the parser does not have is a ValueError or a LookupError.
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        bad.add("damaged annotations", f"{document}: damaged XML: {error}")
        return None
    except OSError as error:
        raise DataError(f"cannot read {document}: {error.strerror}") from error
    if tree.tag != "annotation":
        bad.add("damaged annotations", f"{document}: its root is <{tree.tag}>, expected <annotation>")
        return None
    boxes = []
    for number, item in enumerate(tree.findall("object"), 1):
        category = (item.findtext("name") or "").strip()
        where = f"{document}: object {number} ({category})"
        corners = _corners(item, first_pixel)
        if corners is None:
            bad.add("boxes that cannot be read", f"{where}: no bndbox with numbers {', '.join(_CORNERS)}")
        elif not category:
            bad.add("boxes without a class", f"{where}: no name")
        elif classes is not None and category not in classes:
            bad.add("boxes of unknown classes", f"{where}: unknown class '{category}'{nearest(category, classes)}")
        else:
            difficult = (item.findtext("difficult") or "").strip() == "1"
            boxes.append(Box(category, corners, difficult, where))
    return Annotated(picture, boxes, _size(tree), document)


def _corners(item: ElementTree.Element, first_pixel: int) -> Corners | None:
    try:
        x1, y1, x2, y2 = (float(item.findtext(f"bndbox/{key}") or "") for key in _CORNERS)
    except ValueError:
        return None
    return x1 - first_pixel, y1 - first_pixel, x2, y2


def _size(tree: ElementTree.Element) -> tuple[int, int] | None:
    """Return width and height; None if the file does not say, as some programs write zeros."""
    try:
        width, height = (int(tree.findtext(f"size/{side}") or "") for side in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None
