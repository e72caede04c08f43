"""Text that is whole after every line: records as JSON lines, and a row an object as CSV."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from vision import record
from vision.errors import SinkError
from vision.files import check_writable, own
from vision.sinks.base import Sink, SinkSpec
from vision.spec import Option, spec
from vision.state import State

if TYPE_CHECKING:
    from vision.io import Info
    from vision.item import Item
    from vision.steps.base import Spec


class TextFile:
    """A file that is whole after every `append`, also when the disk is full or the process killed.

    path: `-` is standard output. tail: what closes the file; it is written each time, and the next text takes
    its place. end: the length in bytes, the tail not counted. Nothing is opened before `open`.
    """

    def __init__(self, path: str | Path, tail: str = "") -> None:
        self.path, self.end = str(path), 0
        self._tail = tail.encode()
        self._file: IO[bytes] | None = None

    def open(self, end: int | None = None, head: str = "") -> None:
        """Empty the file and write `head`; or cut it to `end` bytes, to go on there. An open one stays as it is.
        Raises SinkError, also where another run is writing the file."""
        if self._file is not None:
            return
        if self.path == "-":
            if sys.stdout is None:
                raise SinkError("standard output is closed. Give a file.")
            self._file = sys.stdout.buffer
        else:
            try:
                self._file = own(Path(self.path))
                if Path(self.path).is_file():            # else a device or a pipe
                    if self._file.seek(0, io.SEEK_END) < (end or 0):
                        raise SinkError(f"{self.path!r} is shorter than it was. Run again without --resume.")
                    self._file.truncate(self._file.seek(end or 0))
                    if end is not None:
                        self._put(self._tail)            # no more text may come
            except OSError as error:
                raise self._failed(error) from error
        self.end = end or 0
        if end is None:
            self.append(head)

    def append(self, text: str) -> None:
        """Write text at once. Raises SinkError, after which the file ends with the text before."""
        assert self._file is not None
        data = text.encode(errors="backslashreplace")    # a file's name may hold bytes that are no UTF-8
        try:
            if self._tail:
                self._file.seek(self.end)
            self._put(data + self._tail)
        except BrokenPipeError:                          # whoever reads standard output has seen enough
            raise
        except OSError as error:
            self._restore()
            raise self._failed(error) from error
        self.end += len(data)

    def _put(self, data: bytes) -> None:
        assert self._file is not None
        while data:
            data = data[self._file.write(data) or 0 :]   # a raw file may take less than it is given
        self._file.flush()

    def _restore(self) -> None:
        """Cut away what was written in part."""
        if self.path != "-" and self._file is not None:
            try:
                self._file.truncate(self.end)
                self._file.seek(self.end)
                self._put(self._tail)
            except OSError:
                pass

    def _failed(self, error: OSError) -> SinkError:
        return SinkError(f"{self.path!r} cannot be written ({error.strerror or error}).")

    def close(self) -> None:
        """Close the file."""
        if self.path != "-" and self._file is not None:
            self._file.close()
        self._file = None


class TextLines(Sink):
    """What sinks of one growing text file share."""

    def __init__(self, path: Path) -> None:
        self.paths = (path,)
        self.file = TextFile(path)
        if str(path) != "-":
            check_writable(path)

    def begin(self, info: Info) -> None:
        """Open the file with the first source."""
        self.file.open()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def state(self) -> State | None:
        """The file's length; None for standard output, which cannot be resumed."""
        return None if self.file.path == "-" else {"end": self.file.end}

    def lacks(self, state: State) -> str:
        """Whether the file is shorter than it was."""
        path = Path(self.file.path)
        size = path.stat().st_size if path.is_file() else 0
        return f"{self.file.path!r} is shorter than it was" if size < state["end"] else ""

    def restore(self, state: State) -> None:
        """Cut the file to that length, and continue there."""
        self.file.open(state["end"])


@spec
class JsonLines(SinkSpec):
    """Records as JSON, one line for each frame.

    A line is written whole and at once, so that after a kill at most the last line is missing.
    """

    name = "jsonl"
    streams = True

    path: Annotated[Path | str, Option(
        "records, one JSON line for each frame (- for standard output)", flags=("--jsonl",))]

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run."""
        return _JsonLines(Path(self.path))


class _JsonLines(TextLines):
    def take(self, item: Item) -> None:
        lines = [record.gap(item.frame)] if item.frame.gap else []
        self.file.append("".join(record.line(one) for one in [*lines, item.record]))


@spec
class Csv(SinkSpec):
    """A row for each object (or class score, or class's area) of each task; cells that a task does not fill stay
    empty, and a frame without objects has no row.

    The columns are `COLUMNS` and those that the results of the plan's tasks have beside them: a face's
    `pose_yaw`, `eyes_left_state`, ..., named by where the value stands in a record. `points` has all of them in one
    cell: `x y score;x y score;...`.
    """

    name = "csv"
    streams = True

    path: Annotated[Path | str, Option("one row for each object (- for standard output)", flags=("--csv",))]

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run."""
        more = (column for one in plan for column in getattr(one.result, "columns", ()))
        return _Csv(Path(self.path), tuple(dict.fromkeys((*COLUMNS, *more))))


_NUMBER = r"-?[\d.]+(?:e-?\d+)?"
_POINTS = re.compile(rf"(?:{_NUMBER}[ ;])+{_NUMBER}")      # two numbers at least
COLUMNS = (
    "source", "frame", "time_s", "task", "model", "label", "class_id", "score",
    "left", "top", "right", "bottom", "id", "age_s", "fraction",
)                                                                                   # fmt: skip


class _Csv(TextLines):
    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        super().__init__(path)
        self.columns = columns

    def begin(self, info: Info) -> None:
        self.file.open(head=rows_of([self.columns]))

    def take(self, item: Item) -> None:
        rows = []
        head = {name: item.record[name] for name in ("source", "frame", "time_s")}
        for key in item:
            payload = item.record[key]
            for entry in entries(payload):
                sides = zip(("left", "top", "right", "bottom"), entry.get("box", ()), strict=False)
                cells = {**head, "task": key, "model": payload.get("model", ""), **_flat(entry), **dict(sides)}
                rows.append([cells.get(column, "") for column in self.columns])
        if rows:
            self.file.append(rows_of(rows))


def _flat(entry: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """The values of an entry under one name each, `pose_yaw` for the `yaw` of its `pose`; points in one text."""
    cells: dict[str, Any] = {}
    for key, value in entry.items():
        if isinstance(value, Mapping):
            cells |= _flat(value, f"{before}{key}_")
        else:
            points = key in ("points", "quad")
            cells[before + key] = ";".join(" ".join(map(str, point)) for point in value) if points else value
    return cells


def entries(payload: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The entries of a task's payload, whatever the task calls them."""
    for key in ("objects", "scores", "areas"):
        if key in payload:
            yield from payload[key]
            return


def rows_of(rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV. A text that a spreadsheet would take for a formula gets an apostrophe before it; points, numbers
    with blanks between them, are none."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def _harmless(cell: object) -> object:
    formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{cell}" if formula and not _POINTS.fullmatch(str(cell)) else cell
