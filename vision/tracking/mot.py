"""MOT Challenge text: detections and ground truth in, tracks out.

A line is `frame, id, left, top, width, height, score, ...`; frames and ids are counted from 1
(frame 1 is `Frame.index` 0), a detection's id is -1.
"""

from __future__ import annotations

import configparser
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vision.boxes import xywh_to_xyxy, xyxy_to_xywh
from vision.errors import DataError, SinkError
from vision.types import Detections, Tracks

Rows = npt.NDArray[np.float64]
_CLASSES = 13                                    # of MOT16, 17 and 20; 1 is a pedestrian
_LAST = 10 ** 9                          # a frame's number: a year at 30 a second


@dataclass(frozen=True)
class Sequence:
    """A MOT folder: `seqinfo.ini`, `det/det.txt`, and where it is known `gt/gt.txt`.

    rate: frames a second. length: frames. size_wh: pixels.
    """

    folder: Path
    rate: float
    length: int
    size_wh: tuple[int, int]

    @classmethod
    def read(cls, folder: str | Path) -> Sequence:
        """The sequence in `folder`. Raises DataError where `seqinfo.ini` is missing or incomplete."""
        path = Path(folder) / "seqinfo.ini"
        ini = configparser.ConfigParser()
        try:
            if not ini.read(path, encoding="utf-8"):
                raise DataError(f"{str(folder)!r} has no seqinfo.ini. Give the folder of one MOT sequence.")
            values = ini["Sequence"]
            size = int(values["imWidth"]), int(values["imHeight"])
            rate, length = float(values["frameRate"]), int(values["seqLength"])
            if not 0 < rate < math.inf or not 0 < length <= _LAST or not all(0 < side < 2 ** 16 for side in size):
                raise ValueError(f"frameRate is {rate}, seqLength {length}, the size {size[0]}x{size[1]}")
            return cls(Path(folder), rate, length, size)
        except (OSError, configparser.Error, KeyError, ValueError, OverflowError) as error:
            raise DataError(
                f"{str(path)!r} must give frameRate, seqLength, imWidth and imHeight in [Sequence] ({error})."
            ) from error

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    def detections(self) -> Iterator[tuple[float, Detections]]:
        """(seconds, detections) of every frame, frames without a line included."""
        frames = read_detections(self.folder / "det" / "det.txt")
        for index in range(self.length):
            yield index / self.rate, frames.get(index, Detections.empty())


def read_rows(path: str | Path) -> Rows:
    """The rows of a MOT file: (L,7) frame, id, left, top, width, height, score (1 where there is none). Raises
    DataError with the line that is wrong."""
    return np.array([[*row, 1.0][:7] for row in _numbers(path)], np.float64).reshape(-1, 7)


def read_truth(path: str | Path) -> tuple[Rows, npt.NDArray[np.int64] | None]:
    """The rows of a `gt.txt`, as `read_rows`, and the class of each, as MOT16, 17 and 20 have it: (L,).

    A file of ten columns is MOT15's, whose last three are a place in the world or -1: it has no classes, and neither
    has one of six or seven columns. Raises DataError with the line that is wrong.
    """
    table = list(_numbers(path))
    rows = read_rows(path)
    if not table or len(table[0]) not in (8, 9) or table[0][7] < 0:
        return rows, None
    for number, row in enumerate(table, 1):
        if len(row) < 8 or not row[7].is_integer() or not 1 <= row[7] <= _CLASSES:
            raise DataError(f"{path}, row {number}: the eighth column is a class from 1 to {_CLASSES}, as MOT16 has "
                            f"them; got {row[7] if len(row) > 7 else 'none'}.")
    return rows, np.array([row[7] for row in table], np.int64)


def _numbers(path: str | Path) -> Iterator[list[float]]:
    """The numbers of each line that is not empty, at least six."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{str(path)!r} cannot be read as MOT text ({error}).") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = [float(value) for value in re.split(r"[,\s]+", line.strip().rstrip(","))]
        except ValueError:
            row = []
        counted = len(row) >= 6 and row[0].is_integer() and 1 <= row[0] <= _LAST
        if not counted or not all(abs(value) < 1e9 for value in row[:7]):
            raise DataError(
                f"{path}:{number}: expected 'frame,id,left,top,width,height,score' with frames from 1; "
                f"got {line.strip()[:60]!r}."
            )
        yield row


def write_rows(path: str | Path, rows: Rows, classes: npt.NDArray[np.int64] | None = None) -> None:
    """(L,7) frame, id, left, top, width, height, score as a MOT file; with classes (L,), as MOT16's ground truth.
    Raises SinkError."""
    try:
        Path(path).write_text(lines_of(rows, classes), encoding="utf-8")
    except OSError as error:
        raise SinkError(f"{str(path)!r} cannot be written ({error.strerror}).") from error


def lines_of(rows: Rows, classes: npt.NDArray[np.int64] | None = None) -> str:
    """(L,7) frame, id, left, top, width, height, score as the lines of a MOT file; classes: as `write_rows`."""
    ends = ["-1,-1,-1"] * len(rows) if classes is None else [f"{c},1" for c in classes.tolist()]
    return "".join(
        f"{int(f)},{int(i)},{x:.2f},{y:.2f},{w:.2f},{h:.2f},{score:.4g},{end}\n"
        for (f, i, x, y, w, h, score), end in zip(rows.tolist(), ends, strict=True)
    )


def read_detections(path: str | Path) -> dict[int, Detections]:
    """Frame index (from 0) -> its detections, labels 0. Frames that the file leaves out are left out.

    Scores become 0..1 by `as_probabilities`. Raises DataError.
    """
    rows = read_rows(path)
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    boxes, scores = xywh_to_xyxy(rows[:, 2:6]), as_probabilities(rows[:, 6])
    labels = np.zeros(len(rows), np.int64)
    every = Detections(boxes, scores.astype(np.float32), labels)
    frames, starts = np.unique(rows[:, 0].astype(np.int64), return_index=True)
    ends = [*starts[1:], len(rows)]
    return {int(f) - 1: every[a:b] for f, a, b in zip(frames, starts, ends, strict=False)}


def as_probabilities(scores: Rows) -> Rows:
    """The scores of one file in 0..1.

    A file whose scores all lie in 0..1 is taken as it is. One score for all says nothing: 1. Any
    other scale is that of an additive classifier (boosting, DPM), whose score is a log-odds with
    its decision at 0 (Friedman, Hastie and Tibshirani 2000): p = 1 / (1 + exp(-score)).
    """
    if len(scores) and float(np.ptp(scores)) == 0 and not 0 < scores[0] <= 1:
        return np.ones_like(scores)
    if not len(scores) or (scores.min() >= 0 and scores.max() <= 1):
        return scores
    return np.asarray(1 / (1 + np.exp(-np.clip(scores, -500, 500))), np.float64)


def track_rows(tracks: Tracks, index: int) -> Rows:
    """The tracks of a frame as rows of a MOT file: (N,7); `index` counts from 0."""
    frame = np.full(len(tracks), index + 1)
    return np.column_stack([frame, tracks.ids, xyxy_to_xywh(tracks.boxes), tracks.scores])


def sequence_rate(folder: Path) -> float | None:
    """Frames a second of a folder of pictures, by the `seqinfo.ini` in it or above it; None without one."""
    for place in (folder, folder.parent):
        try:
            return Sequence.read(place).rate
        except DataError:
            continue
    return None
