"""Pictures with a class each, listed in a CSV file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from vision.data.files import text_of
from vision.errors import DataError
from vision.types import Names


def labelled_pictures(path: Path, names: Names) -> tuple[list[tuple[Path, int]], int]:
    """The pictures of a `labels.csv` with the index of their class, and how many rows have no file.

    The columns are `file`, beside the CSV, and `label`, a class name, or `class_id`, its index; the
    column `index_in_sorted_wnids` of ImageNet lists counts as `class_id`. Raises DataError.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(text_of(path), newline="")))
    except csv.Error as error:
        raise DataError(f"{str(path)!r} cannot be read as CSV ({error}).") from error
    columns = set(rows[0]) if rows else set()
    index = next((c for c in ("class_id", "index_in_sorted_wnids") if c in columns), None)
    if "file" not in columns or (index is None and "label" not in columns):
        raise DataError(
            f"{str(path)!r} must have the columns 'file' and 'label' or 'class_id'; got {sorted(columns)}"
        )
    known = {name: i for i, name in enumerate(names)}
    pictures: list[tuple[Path, int]] = []
    for number, row in enumerate(rows, start=2):
        try:
            label = int(row[index]) if index is not None else known[row["label"]]
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(f"{str(path)!r}, line {number}: no such class ({error})") from error
        if not 0 <= label < len(names):
            raise DataError(f"{str(path)!r}, line {number}: class {label} of {len(names)}")
        picture = path.parent / (row["file"] or "")
        if picture.is_file():
            pictures.append((picture, label))
    if not pictures:
        raise DataError(f"{str(path)!r} lists {len(rows)} pictures; none of them is beside it")
    return pictures, len(rows) - len(pictures)
