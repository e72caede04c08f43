"""Detections from a file in place of a model: records (JSON lines) or MOT text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vision.errors import DataError, UsageError
from vision.tracking import mot
from vision.types import Detections, Frame


@dataclass(frozen=True)
class Stored:
    """What a detector found in one video, by frame index.

    times: seconds of each frame, where the file knows them. names: of the classes. size_wh: of the
    frames, where the file knows it. min_score: where the detector decides, where the file knows it.
    gaps: whether a frame that is left out had nothing in it (MOT).
    """

    path: Path
    model: str
    names: tuple[str, ...]
    frames: Mapping[int, Detections]
    times: Mapping[int, float]
    size_wh: tuple[int, int] | None
    gaps: bool
    min_score: float | None = None

    @classmethod
    def read(cls, path: str | Path) -> Stored:
        """A `.txt` is MOT Challenge text, anything else the records of `vision detect --jsonl`.

        Raises DataError with the line that is not a detection's record.
        """
        path = Path(path)
        if path.suffix == ".txt":
            found = mot.read_detections(path)
            return cls(path, path.stem, ("person",), found, {}, None, gaps=True)
        return cls._records(path)

    @classmethod
    def _records(cls, path: Path) -> Stored:
        frames: dict[int, Detections] = {}
        times: dict[int, float] = {}
        names: dict[int, str] = {}
        model, size, decides = "", None, None
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{str(path)!r} cannot be read ({error}).") from error
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                if record["task"] != "detect":
                    raise DataError(f"its task is {record['task']!r}")
                index = int(record["frame"])
                if index in frames:
                    raise DataError(f"frame {index} is there twice")
                frames[index], times[index] = Detections.from_dict(record), float(record["time_s"])
                names |= {entry["class_id"]: entry["label"] for entry in record["objects"]}
                model, size = record["model"], record.get("size", size)
                decides = record.get("min_score", decides)
            except (ValueError, KeyError, TypeError, AttributeError, DataError) as error:
                raise DataError(
                    f"{path}:{number}: expected a record of `vision detect --jsonl` of one video ({error})."
                ) from error
        known = tuple(names.get(i, str(i)) for i in range(max(names, default=-1) + 1))
        return cls(path, model, known, frames, times, (size[0], size[1]) if size else None, False, decides)

    def only(self, names: Sequence[str]) -> Stored:
        """What was found of these classes alone. Raises UsageError where the file has other ones only."""
        present = {int(label) for found in self.frames.values() for label in found.labels}
        labels = [label for label in present if self.names[label] in names]
        if present and not labels:
            raise UsageError(
                f"{str(self.path)!r} has nothing called {' or '.join(map(repr, names))}. "
                f"It has: {', '.join(self.names[label] for label in sorted(present))}."
            )
        kept = {n: found[np.isin(found.labels, labels)] for n, found in self.frames.items()}
        return replace(self, frames=kept)

    def at(self, frame: Frame) -> Detections:
        """What was found in `frame`. Raises DataError where the file cannot be of this video."""
        width, height = frame.size_wh
        if self.size_wh is not None and frame.size_wh != self.size_wh:
            known = f"{self.size_wh[0]}x{self.size_wh[1]}"
            raise self._other(f"its frames have {known} pixels, these {width}x{height}")
        found = self.frames.get(frame.index)
        if found is None:
            if self.gaps:
                return Detections.empty()
            raise self._other(f"it has no record of frame {frame.index}")
        time = self.times.get(frame.index, frame.time)
        if abs(time - frame.time) > 1e-3 and time != frame.index:        # the index: of a still picture
            raise self._other(f"its frame {frame.index} is at {time:.3f} s, this one at {frame.time:.3f} s")
        told = self.gaps or self.size_wh is not None           # a box may lie outside then
        if not told and (found.boxes[:, 2:] > (width + 1, height + 1)).any():
            raise self._other(f"a box of its frame {frame.index} lies outside of {width}x{height} pixels")
        return found

    def check_length(self, frames: int) -> None:
        """Raises DataError where the file has frames behind the last of a whole video of `frames`."""
        last = max(self.frames, default=-1)
        if last >= frames:
            raise self._other(f"it goes to frame {last}, the video ends with {frames - 1}")

    def _other(self, what: str) -> DataError:
        return DataError(
            f"{str(self.path)!r} is of another video: {what}. Detect again: vision detect SOURCE --jsonl FILE"
        )
