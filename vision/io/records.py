"""Sinks for records: JSON lines, CSV, COCO results, YOLO text files."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from vision.errors import SinkError
from vision.files import make_folder, write_whole
from vision.io.images import FrameNames

Record = Mapping[str, Any]


class _TextFile:
    """A file that is whole after every `append`, also when the disk is full or the process killed.

    tail: what closes the file; it is written each time, and the next text takes its place.
    """

    def __init__(self, path: str | Path, head: str = "", tail: str = "") -> None:
        self.path = str(path)
        self._tail = tail.encode()
        self._end = 0                                    # in bytes, the tail not counted
        if self.path == "-" and sys.stdout is None:
            raise SinkError("standard output is closed. Give a file.")
        try:
            self._file = sys.stdout.buffer if self.path == "-" else open(path, "wb", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise self._failed(error) from error
        self._append(head)

    def _append(self, text: str) -> None:
        data = text.encode(errors="backslashreplace")    # a file's name may hold bytes that are no UTF-8
        try:
            if self._tail:
                self._file.seek(self._end)
            self._put(data + self._tail)
        except BrokenPipeError:                          # whoever reads standard output has seen enough
            raise
        except OSError as error:
            self._restore()
            raise self._failed(error) from error
        self._end += len(data)

    def _put(self, data: bytes) -> None:
        while data:
            data = data[self._file.write(data) or 0 :]   # a raw file may take less than it is given
        self._file.flush()

    def _restore(self) -> None:
        """Cut away what was written in part."""
        if self.path != "-":
            try:
                self._file.truncate(self._end)
                self._file.seek(self._end)
                self._put(self._tail)
            except OSError:
                pass

    def _failed(self, error: OSError) -> SinkError:
        return SinkError(f"{self.path!r} cannot be written ({error.strerror}).")

    def close(self) -> None:
        """Close the file."""
        if self.path != "-":
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class JsonLines(_TextFile):
    """Records as JSON, a line each (`-`: standard output).

    A line is written whole and at once: a file that is cut off lacks at most its last line.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)

    def write(self, record: Record) -> None:
        """Write one record. Raises SinkError, after which the file ends with the record before."""
        self._append(json.dumps(record, ensure_ascii=False) + "\n")


class Csv(_TextFile):
    """A row for each object (or class score, or class's area) of each record, under `Csv.columns`; cells
    that a task does not fill stay empty, and a frame without objects has no row."""

    columns = (
        "source", "frame", "time_s", "task", "model", "label", "class_id", "score",
        "left", "top", "right", "bottom", "id", "age_s", "fraction",
    )                                                                               # fmt: skip

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, head=_csv([self.columns]))

    def write(self, record: Record) -> None:
        """Write the rows of one record."""
        rows = []
        for entry in _entries(record):
            sides = zip(("left", "top", "right", "bottom"), entry.get("box", ()), strict=False)
            cells = {**record, **entry, **dict(sides)}
            rows.append([cells.get(column, "") for column in self.columns])
        self._append(_csv(rows))


class CocoResults(_TextFile):
    """COCO's results: a JSON list with `image_id`, `category_id`, `bbox` (left, top, width, height in
    pixels) and `score` an object, whole after every record.

    image_id: the number that a picture's file is named by (`000000000139.jpg`: 139), else the frame's
    index. category_id: the model's class_id, or what `category_ids` has in its place. `source` and
    `time_s` stand beside them, for those who need to know whose frame it is.
    """

    def __init__(self, path: str | Path, category_ids: Mapping[int, int] | None = None) -> None:
        self._category_ids, self._first = category_ids, True
        super().__init__(path, head="[", tail="\n]\n")

    def write(self, record: Record) -> None:
        """Write the objects of one record. SinkError for a record without boxes."""
        stem = Path(str(record["source"])).stem
        image_id = int(stem) if stem.isdecimal() else record["frame"]
        lines = []
        for entry in _boxes(record, "COCO results"):
            left, top, right, bottom = entry["box"]
            category = entry["class_id"]
            lines.append(json.dumps({
                "image_id": image_id,
                "category_id": self._category_ids[category] if self._category_ids else category,
                "bbox": [left, top, round(right - left, 2), round(bottom - top, 2)],
                "score": entry["score"],
                "source": record["source"],
                "time_s": record["time_s"],
            }))                                                                     # fmt: skip
        if lines:
            self._append(("\n" if self._first else ",\n") + ",\n".join(lines))
            self._first = False


class YoloTxt:
    """A folder with a text file a frame: `class x y width height score [id]`, the box's centre and size
    as parts of the frame's, 0 to 1. A frame without objects has an empty file.

    A picture's file has the picture's name, a video's `NAME-000012.txt`: see `FrameNames`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._names = FrameNames()
        make_folder(self.folder)

    def write(self, record: Record, size_wh: tuple[int, int]) -> None:
        """Write the objects of one record; size_wh: the frame's, in pixels."""
        width, height = size_wh
        lines = []
        for entry in _boxes(record, "YOLO text files"):
            left, top, right, bottom = entry["box"]
            centre = (left + right) / 2 / width, (top + bottom) / 2 / height
            size = (right - left) / width, (bottom - top) / height
            cells = [str(entry["class_id"]), *(f"{v:.6f}" for v in (*centre, *size)), f"{entry['score']:.4f}"]
            lines.append(" ".join([*cells, *([str(entry["id"])] if "id" in entry else [])]) + "\n")
        name = self._names(record["source"], record["frame"])
        write_whole(self.folder / f"{name}.txt", "".join(lines).encode())

    def close(self) -> None:
        """Nothing stays open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _entries(record: Record) -> Iterable[Mapping[str, Any]]:
    """The entries of a record's payload, whatever the task calls them."""
    return next((record[key] for key in ("objects", "landmarks", "scores", "areas") if key in record), ())


def _boxes(record: Record, what: str) -> Iterable[Mapping[str, Any]]:
    if "objects" not in record:
        raise SinkError(f"{what} hold boxes, and a record of the task {record['task']!r} has none.")
    objects: Iterable[Mapping[str, Any]] = record["objects"]
    return objects


def _csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
