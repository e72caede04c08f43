"""Who is in the frame: what trackers that follow crops (of faces, of bodies) remember of a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from vision.boxes import iou
from vision.cuts import SceneCuts
from vision.errors import DataError
from vision.people.smooth import OneEuro
from vision.types import Floats, Image

_SOONER = 0.6                 # of the time between two searches: so soon the next, while somebody is lost
_SAME_PLACE = 0.3             # who appears where somebody was lost, with boxes that overlap by this, is them


@dataclass
class Subject:
    """Somebody who is followed.

    id: from 1.
    box: (4,) float32 xyxy in frame pixels, where they were last.
    smooth: the filter of their points.
    """

    id: int
    box: Floats
    smooth: OneEuro = field(default_factory=OneEuro)

    def state(self) -> dict[str, Any]:
        """What is known of them, in plain values and arrays."""
        return {"id": self.id, "box": self.box.copy(), "smooth": self.smooth.state()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The subject that `state()` described."""
        subject = cls(state["id"], state["box"])
        subject.smooth.restore(state["smooth"])
        return subject


class Crowd:
    """The subjects of one stream, and when to look for new ones.

    look_every: seconds between two searches of the whole frame.
    forget_after: seconds for which somebody who was lost gets the same id on coming back to the same
        place. A larger jump in time, one backwards, another picture size, or a cut to another scene forgets everybody.

    `present` has those in the frame, in the order in which they came.
    """

    def __init__(self, look_every: float, forget_after: float) -> None:
        self.look_every, self.forget_after = look_every, forget_after
        self.present: list[Subject] = []
        self._lost: list[tuple[float, Subject]] = []
        self._next_id = 1
        self._time: float | None = None
        self._looked: float | None = None     # until when searches have been done
        self._whole: float | None = None      # when the whole frame was searched
        self._turn = 0                        # the part that is next
        self._size: tuple[int, ...] = ()
        self._cuts = SceneCuts()

    def begin(self, image: Image, time: float) -> None:
        """Go on to a new frame (H,W,3) uint8 BGR at `time` seconds. Raises DataError where time is not finite."""
        if not np.isfinite(time):
            raise DataError(f"time must be finite seconds; got {time}")
        size = image.shape
        jumped = self._time is not None and not 0 <= time - self._time <= self.forget_after
        if self._cuts(image) or jumped or size != self._size:
            self.present, self._lost, self._looked, self._whole = [], [], None, None
        self._lost = [(then, subject) for then, subject in self._lost if time - then <= self.forget_after]
        self._time, self._size = time, size

    def keep(self, rows: Sequence[int], boxes: Floats) -> None:
        """Of those present, keep these rows, who are now in boxes (n,4) xyxy; the others are lost."""
        now = self._time or 0.0
        self._lost += [(now, s) for i, s in enumerate(self.present) if i not in set(rows)]
        self.present = [self.present[i] for i in rows]
        for subject, box in zip(self.present, boxes, strict=True):
            subject.box = box

    def admit(self, box: Floats) -> Subject:
        """Take in somebody in `box` (4,) xyxy: one who was lost there, or somebody new."""
        for k, (_, subject) in enumerate(self._lost):
            if iou(subject.box[None], box[None])[0, 0] > _SAME_PLACE:
                del self._lost[k]
                subject.box = box
                break
        else:
            subject = Subject(self._next_id, box)
            self._next_id += 1
        self.present.append(subject)
        return subject

    def due(self, parts: int = 1) -> list[int]:
        """Which of the frame's parts to search now; part 0 is the whole frame. Asking counts as having searched.

        All parts at the start; after that each in its turn, once every `look_every` seconds, spread evenly over
        that time. The whole frame also while nobody is present, and sooner where somebody was lost a moment ago.
        """
        now = self._time or 0.0
        waited = np.inf if self._looked is None else now - self._looked
        count = parts if waited >= self.look_every else int(waited / self.look_every * parts)
        if self._looked is None or count == parts:
            self._looked = now
        else:
            self._looked += count * self.look_every / parts
        turns = [(self._turn + i) % parts for i in range(count)]
        self._turn += count
        sooner = self._whole is None or now - self._whole >= _SOONER * self.look_every - 1e-6
        if 0 not in turns and (not self.present or (self._lost and sooner)):
            turns.append(0)
        if 0 in turns:
            self._whole = now
        return turns

    def ids(self) -> set[int]:
        """The ids of all who are remembered: those present, and those lost a moment ago."""
        return {subject.id for subject in [*self.present, *(lost for _, lost in self._lost)]}

    def overlapped(self, box: Floats, max_iou: float) -> bool:
        """Whether somebody present overlaps `box` (4,) xyxy by an IoU above `max_iou`."""
        boxes = np.array([subject.box for subject in self.present], np.float32).reshape(-1, 4)
        return bool((iou(box[None], boxes) > max_iou).any())

    def state(self) -> dict[str, Any]:
        """All that is remembered of the stream, in plain values and arrays (JSON and npz can hold it)."""
        return {
            "present": [subject.state() for subject in self.present],
            "lost": [{"since": then, **subject.state()} for then, subject in self._lost],
            "next_id": self._next_id, "time": self._time, "looked": self._looked, "whole": self._whole,
            "turn": self._turn, "size": list(self._size), "cuts": self._cuts.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`, of a crowd with the same settings."""
        self.present = [Subject.from_state(one) for one in state["present"]]
        self._lost = [(one["since"], Subject.from_state(one)) for one in state["lost"]]
        self._next_id, self._time, self._looked = state["next_id"], state["time"], state["looked"]
        self._whole, self._turn, self._size = state["whole"], state["turn"], tuple(state["size"])
        self._cuts.restore(state["cuts"])
