"""Pictures with a class each: listed in a CSV file, or in a folder for each class."""

from __future__ import annotations

import csv
import io
from os.path import isfile  # False, too, for what can be no name
from pathlib import Path

from vision.data.files import text_of
from vision.errors import DataError
from vision.io.pictures import PICTURE_SUFFIXES, natural
from vision.spec import nearest
from vision.types import Names

Labelled = list[tuple[Path, int]]


def labelled_pictures(path: Path, names: Names) -> tuple[Labelled, list[str]]:
    """Pictures with the index of their class, and what is left out, in lines.

    path: a folder with a folder of pictures for each class, or a CSV with the columns `file`, beside the CSV, and
    `label`, a class name, or `class_id`, its index; the column `index_in_sorted_wnids` of ImageNet lists counts as
    `class_id`. names: of the classes. Raises DataError.
    """
    return _in_folders(path, names) if path.is_dir() else _listed(path, names)


def _in_folders(path: Path, names: Names) -> tuple[Labelled, list[str]]:
    label_of = {_plain(name): i for i, name in enumerate(names)}
    folders = sorted((folder for folder in path.iterdir() if folder.is_dir()), key=natural)
    pictures = [
        (picture, label_of[_plain(folder.name)])
        for folder in folders if _plain(folder.name) in label_of
        for picture in sorted(folder.rglob("*"), key=natural) if picture.suffix.lower() in PICTURE_SUFFIXES
    ]
    unknown = [folder.name for folder in folders if _plain(folder.name) not in label_of]
    if not pictures:
        first = f"{unknown[0]!r} is no class of the model. {nearest(unknown[0], names)[:200]} " if unknown else ""
        raise DataError(f"{str(path)!r} has no pictures of a class that the model knows. {first}Give a folder with a "
                        "folder for each class, called by its name, or a CSV with the columns file and label.")
    return pictures, [f"folders that are no class of the model, left out: {', '.join(unknown)}"] if unknown else []


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ")


def _listed(path: Path, names: Names) -> tuple[Labelled, list[str]]:
    try:
        read = csv.DictReader(io.StringIO(text_of(path), newline=""))
        rows, columns = list(read), set(read.fieldnames or ())
    except csv.Error as error:
        raise DataError(f"{str(path)!r} cannot be read as CSV ({error}).") from error
    index = next((c for c in ("class_id", "index_in_sorted_wnids") if c in columns), None)
    if "file" not in columns or (index is None and "label" not in columns):
        raise DataError(
            f"{str(path)!r} must have the columns 'file' and 'label' or 'class_id'; got {sorted(map(str, columns))}"
        )
    known = {name: i for i, name in enumerate(names)}
    pictures: Labelled = []
    for number, row in enumerate(rows, start=2):
        try:
            label = int(row[index]) if index is not None else known[row["label"]]
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(f"{str(path)!r}, line {number}: no such class ({error})") from error
        if not 0 <= label < len(names):
            raise DataError(f"{str(path)!r}, line {number}: class {label} of {len(names)}")
        picture = path.parent / (row["file"] or "")
        if isfile(picture):
            pictures.append((picture, label))
    if not pictures:
        raise DataError(f"{str(path)!r} lists {len(rows)} pictures; none of them is beside it")
    missing = len(rows) - len(pictures)
    return pictures, [f"rows without a file, left out: {missing}"] if missing else []
