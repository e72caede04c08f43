"""What flows through the project: frames and small typed results.

Frozen dataclasses over NumPy arrays, in pixels of the original frame. N rows stay in step: an
index (mask, slice, integer array, one integer) applies to every field and keeps the type. Empty
is N = 0, never None. Shapes are checked at construction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from vision.errors import DataError
from vision.shown import Shown

if TYPE_CHECKING:
    import supervision

Image = npt.NDArray[np.uint8]          # (H,W,3) BGR
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Names = Sequence[str]
NONE = "none"                          # an action's class of this name is none of the others


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Frame(Shown):
    """One picture with its place and time.

    image: (H,W,3) uint8 BGR.
    index: decode order from 0, counted before any stride.
    time: seconds, the container's presentation time (a still picture: its index).
    source: the URI it came from.
    stamp_ns: nanoseconds since 1970 of the source's own wall clock; None where it has none.
    gap: seconds for which a live source was lost just before this frame, else 0.
    captured: when it arrived, in seconds of `time.monotonic`.
    """

    image: Image
    index: int
    time: float
    source: str = ""
    stamp_ns: int | None = None
    gap: float = 0.0
    captured: float = field(default_factory=monotonic)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]

    def _repr_png_(self) -> bytes:
        import cv2

        return cv2.imencode(".png", self.image)[1].tobytes()


class Result(Protocol):
    """What a task found in a frame."""

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """The task's payload in a record: plain values, floats rounded to what they mean."""
        ...


def _name(names: Names | None, label: int) -> str:
    return names[label] if names is not None and 0 <= label < len(names) else str(label)


def _as_array(owner: str, field: str, value: Any, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    """`value` as an array of `dtype`; -1 in `shape` stands for any length, and an empty list has any shape.
    Raises DataError for another shape, and for numbers that `dtype` does not have."""
    try:
        given = np.asarray(value)
        array = given.astype(dtype, copy=False)
    except (ValueError, TypeError) as error:
        raise DataError(f"{owner}.{field} must be an array of numbers ({error})") from error
    if array.dtype.kind in "iu" and not np.can_cast(given.dtype, dtype) and (array != given).any():
        lowest, highest = given.min(), given.max()
        raise DataError(f"{owner}.{field} must fit {array.dtype}; got {given.dtype} {lowest} to {highest}")
    if array.shape == (0,) and shape[0] == -1:
        array = array.reshape([max(length, 0) for length in shape])
    if array.ndim != len(shape) or any(w not in (-1, g) for w, g in zip(shape, array.shape, strict=True)):
        want = "(" + ",".join("N" if s == -1 else str(s) for s in shape) + ")"
        raise DataError(f"{owner}.{field} must have shape {want}; got {array.shape}")
    return array


class _Rows(Shown):
    """N rows: every field is an array whose first axis is the row."""

    _layout: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {}

    def __post_init__(self) -> None:
        rows: int | None = None
        for name, (dtype, shape) in self._layout.items():
            array = _as_array(type(self).__name__, name, getattr(self, name), dtype, shape)
            rows = len(array) if rows is None else rows
            if len(array) != rows:
                raise DataError(f"{type(self).__name__}.{name} must have {rows} rows like the first field; "
                                f"got {len(array)}")
            object.__setattr__(self, name, array)

    @classmethod
    def empty(cls) -> Self:
        """No rows: the result of a frame with nothing in it."""
        return cls(*(np.empty([max(s, 0) for s in shape], d) for d, shape in cls._layout.values()))

    def __len__(self) -> int:
        return len(getattr(self, next(iter(self._layout))))

    def __getitem__(self, index: Any) -> Self:
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"row {index} of {len(self)}")
            index = [index]
        return type(self)(*(getattr(self, name)[index] for name in self._layout))

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True, eq=False, repr=False)
class Detections(_Rows):
    """Objects in a frame, best first.

    boxes: (N,4) float32, xyxy in frame pixels.
    scores: (N,) float32 in 0..1.
    labels: (N,) int64, an index into the model's names.
    weak: boxes with scores too low to be shown, which may continue a track; None unless they were requested.
        They are not among the N rows, and indexing drops them.
    """

    boxes: Floats
    scores: Floats
    labels: Ints
    weak: Detections | None = field(default=None, kw_only=True)

    _layout: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {
        "boxes": (np.float32, (-1, 4)),
        "scores": (np.float32, (-1,)),
        "labels": (np.int64, (-1,)),
    }

    @property
    def everything(self) -> Detections:
        """The N rows followed by the weak ones: `Tracks.rows` counts in these."""
        if self.weak is None or not len(self.weak):
            return self
        return Detections(*(
            np.concatenate([getattr(self, name), getattr(self.weak, name)]) for name in Detections._layout
        ))

    def rounded(self) -> Self:
        """The same rows, rounded as in a record: boxes to 0.01 pixels, scores to 0.0001."""
        weak = None if self.weak is None else self.weak.rounded()
        return replace(self, boxes=_round(self.boxes, 2), scores=_round(self.scores, 4), weak=weak)

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """`{"objects": [{"label", "class_id", "score", "box"}, ...]}`, with the weak ones as `weak`."""
        payload: dict[str, Any] = {
            "objects": [
                {"label": _name(names, label), "class_id": label, "score": score, "box": box}
                for box, score, label in zip(
                    _plain(self.boxes, 2), _plain(self.scores, 4), self.labels.tolist(), strict=True
                )
            ]
        }
        if self.weak is not None:
            payload["weak"] = self.weak.to_dict(names)["objects"]
        return payload

    @classmethod
    def from_dict(cls, payload: Mapping[str, Any]) -> Self:
        """The objects that `to_dict` wrote into a record, with its rounding. Raises KeyError or ValueError for
        anything else."""
        weak = Detections.from_dict({"objects": payload["weak"]}) if "weak" in payload else None
        return cls(*cls._columns(payload["objects"]), weak=weak)

    @classmethod
    def _columns(cls, objects: Sequence[Mapping[str, Any]]) -> list[np.ndarray]:
        return [
            np.array([o["box"] for o in objects], np.float32).reshape(-1, 4),
            np.array([o["score"] for o in objects], np.float32),
            np.array([o["class_id"] for o in objects], np.int64),
        ]

    def to_supervision(self) -> supervision.Detections:
        """The same objects as `supervision.Detections` (needs the package `supervision`)."""
        import supervision

        return supervision.Detections(
            xyxy=self.boxes, confidence=self.scores, class_id=self.labels,
            tracker_id=getattr(self, "ids", None),
        )


def _round(values: Floats, digits: int) -> Floats:
    """As `_plain`, so that a rounded array and its record agree."""
    return np.asarray(np.round(values.astype(np.float64), digits), np.float32)


def _plain(values: Floats, digits: int) -> list[Any]:
    """For a record: `round(float(v), digits)` of each, in nested lists."""
    plain: list[Any] = np.round(values.astype(np.float64), digits).tolist()
    return plain


@dataclass(frozen=True, eq=False, repr=False)
class Tracks(Detections):
    """Detections that last: `Detections` with three more columns.

    ids: (N,) int64 from 1.
    ages: (N,) float32, seconds since first seen.
    rows: (N,) int64, which row of the frame's `Detections.everything` each track saw; -1: none of them.
    """

    ids: Ints
    ages: Floats
    rows: Ints

    _layout: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {
        **Detections._layout,
        "ids": (np.int64, (-1,)),
        "ages": (np.float32, (-1,)),
        "rows": (np.int64, (-1,)),
    }

    def rounded(self) -> Self:
        """As `Detections.rounded`, and ages to 0.001 seconds."""
        return replace(super().rounded(), ages=_round(self.ages, 3))

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """As `Detections.to_dict`, each object with `id`, `age_s` (to 0.001 seconds) and `row`."""
        payload = super().to_dict(names)
        columns = self.ids.tolist(), _plain(self.ages, 3), self.rows.tolist()
        for entry, i, age, row in zip(payload["objects"], *columns, strict=True):
            entry |= {"id": i, "age_s": age, "row": row}
        return payload

    @classmethod
    def _columns(cls, objects: Sequence[Mapping[str, Any]]) -> list[np.ndarray]:
        return [
            *super()._columns(objects),
            np.array([o["id"] for o in objects], np.int64),
            np.array([o["age_s"] for o in objects], np.float32),
            np.array([o.get("row", -1) for o in objects], np.int64),
        ]


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Shown):
    """How likely each class is for the whole frame.

    probs: (C,) float32 in 0..1."""

    probs: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "probs", _as_array("Scores", "probs", self.probs, np.float32, (-1,)))

    def top(self, k: int = 5) -> list[tuple[int, float]]:
        """The k most likely classes as (index, probability), best first."""
        best = np.argsort(-self.probs, kind="stable")[:k]
        return [(int(i), float(self.probs[i])) for i in best]

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """`{"scores": [{"label", "class_id", "score"}, ...]}`: the five best."""
        return {"scores": [{"label": _name(names, i), "class_id": i, "score": round(p, 4)} for i, p in self.top()]}


@dataclass(frozen=True, eq=False, repr=False)
class Action(Scores):
    """What is being done in a video.

    probs: (C,) float32 in 0..1.
    label: the class; -1 while none is likely enough (idle).
    start, end: of the stretch that this holds for, in seconds."""

    label: int
    start: float
    end: float

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """As `Scores.to_dict`, with `action`: label, class_id, score, start_s and end_s; null when idle."""
        going_on = {
            "label": _name(names, self.label),
            "class_id": self.label,
            "score": round(float(self.probs[self.label]), 4),
            "start_s": round(self.start, 3),
            "end_s": round(self.end, 3),
        }
        return {**super().to_dict(names), "action": None if self.label < 0 else going_on}


@dataclass(frozen=True, eq=False, repr=False)
class Landmarks(_Rows):
    """Objects with named points. Left and right are the subject's.

    boxes: (N,4) float32, xyxy in frame pixels.
    points: (N,K,2) float32, xy in frame pixels.
    scores: (N,K) float32 in 0..1, how visible each point is."""

    boxes: Floats
    points: Floats
    scores: Floats

    _layout: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {
        "boxes": (np.float32, (-1, 4)),
        "points": (np.float32, (-1, -1, 2)),
        "scores": (np.float32, (-1, -1)),
    }

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """Objects as in `Detections.to_dict`, all of class 0, each with `points`: x, y and score, in the model's
        order. The score of an object is the mean of its points'."""
        return {
            "objects": [
                {
                    "label": _name(names, 0),
                    "class_id": 0,
                    "score": round(float(scores.mean()), 4) if scores.size else 0.0,
                    "box": box,
                    "points": [[x, y, s] for (x, y), s in zip(points, _plain(scores, 4), strict=True)],
                }
                for box, points, scores in zip(
                    _plain(self.boxes, 2), _plain(self.points, 2), self.scores, strict=True)
            ]
        }


@dataclass(frozen=True, eq=False, repr=False)
class ClassMap(Shown):
    """The class of every pixel.

    labels: (H,W) uint8 at the frame's size, an index into the model's names; 255: no class."""

    labels: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", _as_array("ClassMap", "labels", self.labels, np.uint8, (-1, -1)))

    @cached_property
    def _areas(self) -> Floats:
        from vision.masks import shares

        return shares(self.labels)

    def areas(self) -> Floats:
        """(256,) float32: the share of the frame that each label covers. Counted once."""
        return self._areas

    def rle(self, label: int) -> list[int]:
        """Run lengths of a class, off first, down the columns as COCO counts them."""
        from vision.masks import run_lengths

        return run_lengths(self.labels == label)

    def to_dict(self, names: Names | None = None, *, rle: bool = False) -> dict[str, Any]:
        """`{"areas": [{"label", "class_id", "fraction"}, ...]}` of the classes in the frame, the largest first, rounded
        to 1e-6; with `rle` each with its pixels: `{"size": [H,W], "counts"}`."""
        areas = self.areas()
        entries: list[dict[str, Any]] = []
        for label in np.argsort(-areas[:255], kind="stable").tolist():
            if areas[label] == 0:
                break
            share = round(float(areas[label]), 6)
            entry = {"label": _name(names, label), "class_id": label, "fraction": share}
            if rle:
                entry["rle"] = {"size": list(self.labels.shape), "counts": self.rle(label)}
            entries.append(entry)
        return {"areas": entries}


@dataclass(frozen=True, eq=False, repr=False)
class UncertainMap(ClassMap):
    """A class map that says how sure the network is.

    variance: (H,W) float32 from 0 (the passes agree) to 0.25: the variance of the classes' probabilities over
        several passes with dropout, averaged over the classes."""

    variance: Floats

    def __post_init__(self) -> None:
        super().__post_init__()
        shape = self.labels.shape
        variance = _as_array("UncertainMap", "variance", self.variance, np.float32, shape)
        object.__setattr__(self, "variance", variance)

    def to_dict(self, names: Names | None = None, *, rle: bool = False) -> dict[str, Any]:
        """As `ClassMap.to_dict`, with `uncertainty`: the mean variance of the frame, rounded to 1e-6."""
        return {**super().to_dict(names, rle=rle), "uncertainty": round(float(self.variance.mean()), 6)}
