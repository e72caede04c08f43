"""Detections from a file in place of a model: records (JSON lines) or MOT text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vision.errors import DataError, UsageError
from vision.files import json_lines
from vision.tracking import mot
from vision.types import Detections, Frame

_LARGEST = 1e9                 # pixels of a box, seconds of a film, frames
_CLASSES = 2 ** 16             # a larger class_id is no model's, and would cost a name for each smaller one


@dataclass(frozen=True)
class Film:
    """What was found in one video, by frame index.

    times: seconds of each frame, where the file knows them. size_wh: of the frames, where the file knows it. named: of
    pictures, the frame index of each file's name.
    """

    frames: dict[int, Detections]
    times: dict[int, float]
    size_wh: tuple[int, int] | None = None
    named: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Stored:
    """What a detector found in one video or several.

    films: by source, as the file calls it; a file of one source serves any video, whatever it is called, and
    so do the pictures of one folder. names: of the classes. min_score: 0..1, where the detector decides,
    where the file knows it. gaps: whether nothing was found in a frame that is left out (MOT).
    """

    path: Path
    model: str
    names: tuple[str, ...]
    films: Mapping[str, Film]
    gaps: bool = False
    min_score: float | None = None

    @classmethod
    def read(cls, path: str | Path) -> Stored:
        """Detections from a file: a `.txt` is MOT Challenge text, anything else records (`--jsonl`).

        Raises DataError for a file that cannot be read, with the line that holds no detections.
        """
        path = Path(path)
        if path.suffix == ".txt":
            return cls(path, path.stem, ("person",), {"": Film(mot.read_detections(path), {})}, gaps=True)
        films: dict[str, Film] = {}
        names: dict[int, str] = {}
        model, decides = "", None
        for number, line in json_lines(path):
            try:
                record = json.loads(line)
                payload = _payload(record)
                if payload is None:
                    continue
                _take(films, record, payload)
                for entry in (*payload["objects"], *payload.get("weak", ())):
                    names[_class_id(entry)] = str(entry["label"])
                model = str(payload.get("model", model))
                if "min_score" in payload:
                    decides = _share(payload["min_score"])
            except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError,
                    DataError) as error:
                raise DataError(
                    f"{path}:{number}: expected a record of `vision detect --jsonl` ({error})."
                ) from error
        if not films:
            raise DataError(
                f"{str(path)!r} has no record of detections. Make some: vision detect SOURCE --jsonl FILE"
            )
        known = tuple(names.get(i, str(i)) for i in range(max(names, default=-1) + 1))
        return cls(path, model, known, _pictures(films), min_score=decides)

    def only(self, names: Sequence[str]) -> Stored:
        """What was found of these classes alone, whatever the case of their letters; nothing where none is named.

        Raises UsageError where the file has other classes only.
        """
        wanted = {name.strip().casefold() for name in names}
        labels = {i for i, name in enumerate(self.names) if name.casefold() in wanted}
        every = [found.everything.labels for film in self.films.values() for found in film.frames.values()]
        present = set(np.unique(np.concatenate(every)).tolist()) if every else set()
        if wanted and present and not labels & present:
            raise UsageError(
                f"{str(self.path)!r} has nothing called {' or '.join(map(repr, names))}. "
                f"It has: {', '.join(self.names[label] for label in sorted(present))}."
            )

        def chosen(found: Detections) -> Detections:
            weak = None if found.weak is None else chosen(found.weak)
            return replace(found[np.isin(found.labels, list(labels))], weak=weak)

        films = {
            source: replace(film, frames={n: chosen(found) for n, found in film.frames.items()})
            for source, film in self.films.items()
        }
        return replace(self, films=films)

    def _film(self, source: str) -> Film:
        if len(self.films) == 1:
            return next(iter(self.films.values()))
        if source not in self.films:
            raise self._other(f"it is of {len(self.films)} sources, and none of them is {source!r}")
        return self.films[source]

    def at(self, frame: Frame) -> Detections:
        """What was found in `frame`, weak boxes included where the file has them.

        Raises DataError where the file cannot be of this video.
        """
        film, (width, height) = self._film(frame.source), frame.size_wh
        if film.size_wh is not None and frame.size_wh != film.size_wh:
            known = f"{film.size_wh[0]}x{film.size_wh[1]}"
            raise self._other(f"its frames have {known} pixels, these {width}x{height}")
        name = Path(frame.source).name
        found = film.frames.get(film.named.get(name, -1) if film.named else frame.index)       # pictures come and go
        if found is None:
            if self.gaps:
                return Detections.empty()
            raise self._other(f"it has no record of {repr(name) if film.named else f'frame {frame.index}'}")
        time = frame.time if film.named else film.times.get(frame.index, frame.time)
        if abs(time - frame.time) > 1e-3 and time != frame.index:        # the index: of a still picture
            raise self._other(f"its frame {frame.index} is at {time:.3f} s, this one at {frame.time:.3f} s")
        may_lie_outside = self.gaps or film.size_wh is not None
        if not may_lie_outside and (found.boxes[:, 2:] > (width + 1, height + 1)).any():
            raise self._other(f"a box of its frame {frame.index} lies outside of {width}x{height} pixels")
        return found

    def check_length(self, frames: int, source: str = "") -> None:
        """Raises DataError where the file has frames behind the last of a whole video of `frames`."""
        film = self._film(source)
        last = max(film.frames, default=-1)
        if last >= frames and not film.named:
            raise self._other(f"it goes to frame {last}, the video ends with {frames - 1}")

    def _other(self, what: str) -> DataError:
        return DataError(
            f"{str(self.path)!r} is of another video: {what}. Detect again: vision detect SOURCE --jsonl FILE"
        )


def _payload(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The detections of a record: of a detector's own, or of another task that finds boxes without ids. None
    for a record of something else than a frame, and for a frame that no such task looked at."""
    if "schema" not in record:                                           # as they were before schema 2
        if record["task"] != "detect":
            raise DataError(f"its task is {record['task']!r:.40}")
        return record
    if record["schema"] != 2:
        raise DataError(f"its schema is {record['schema']!r:.40}, and 2 is known")
    if record["kind"] != "frame":
        return None
    boxes = {key: value for key, value in record.items() if isinstance(value, dict) and "objects" in value}
    found = {key: value for key, value in boxes.items() if not any("id" in o for o in value["objects"])}
    if boxes and not found:
        raise DataError(f"the objects of {', '.join(boxes)} have ids: these are no detections")
    return found.get("detect") or next(iter(found.values()), None)


def _take(films: dict[str, Film], record: Mapping[str, Any], payload: Mapping[str, Any]) -> None:
    """Add one frame to the film of its source."""
    source, index, time = str(record.get("source", "")), record["frame"], float(record["time_s"])
    if type(index) is not int or not 0 <= index <= _LARGEST or not abs(time) <= _LARGEST:
        raise DataError(f"frame {index!r:.40} at {time!r:.40} s")
    if source not in films:
        width, height = record.get("size", (0, 0))
        if "size" in record and not (0 < int(width) <= _LARGEST and 0 < int(height) <= _LARGEST):
            raise DataError(f"size is width and height in pixels; got {record['size']!r:.40}")
        films[source] = Film({}, {}, (int(width), int(height)) if "size" in record else None)
    film = films[source]
    if index in film.frames:
        raise DataError(f"frame {index} is there twice")
    found = Detections.from_dict(payload)
    every = found.everything
    if not (np.abs(every.boxes) <= _LARGEST).all() or not ((every.scores >= 0) & (every.scores <= 1)).all():
        raise DataError("a box that is not four numbers, or a score that does not lie in 0..1")
    if (every.boxes[:, 2:] < every.boxes[:, :2]).any():
        raise DataError("a box whose right side is left of its left one, or its bottom above its top")
    film.frames[index], film.times[index] = found, time


def _pictures(films: dict[str, Film]) -> dict[str, Film]:
    """The pictures of a folder are a source each, and together one film."""
    one_each = all(len(film.frames) == 1 for film in films.values())
    frames = {n: found for film in films.values() for n, found in film.frames.items()}
    if len(films) < 2 or not one_each or len(frames) < len(films):
        return films
    times = {n: time for film in films.values() for n, time in film.times.items()}
    sizes = {film.size_wh for film in films.values()}
    named = {Path(source).name: next(iter(film.frames)) for source, film in films.items()}
    named = named if len(named) == len(films) else {}    # two of one name: they are told apart by their places alone
    return {"": Film(frames, times, sizes.pop() if len(sizes) == 1 else None, named)}


def _class_id(entry: Mapping[str, Any]) -> int:
    label = entry["class_id"]
    if type(label) is not int or not 0 <= label < _CLASSES:
        raise DataError(f"class_id is a number from 0 to {_CLASSES - 1}; got {label!r:.40}")
    return label


def _share(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise DataError(f"min_score is a number from 0 to 1; got {value!r:.40}")
    return float(value)
