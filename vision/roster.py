"""Who is in the frame: what crop-following steps (faces, bodies) remember of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vision.boxes import iou
from vision.errors import DataError
from vision.smooth import OneEuro
from vision.types import Floats

_SAME_PLACE = 0.3             # who turns up where somebody was lost, with boxes that overlap by this, is them


@dataclass
class Subject:
    """Somebody who is followed: an id from 1, where they were last (xyxy), and their filter."""

    id: int
    box: Floats
    smooth: OneEuro = field(default_factory=OneEuro)


class Roster:
    """The subjects in a stream, and when to look for new ones. Time is in seconds.

    look_every: between two searches of the whole frame. forget_after: how long somebody who was lost
    keeps the id for coming back to the same place; a larger jump in time, one backwards, or another
    picture size forgets everybody.
    """

    def __init__(self, look_every: float, forget_after: float) -> None:
        self.look_every, self.forget_after = look_every, forget_after
        self.present: list[Subject] = []
        self._lost: list[tuple[float, Subject]] = []
        self._next_id = 1
        self._time: float | None = None
        self._looked = -np.inf                # until when searches have been done
        self._turn = 0                        # the part that is next
        self._size: tuple[int, ...] = ()

    def begin(self, size: tuple[int, ...], time: float) -> None:
        """A new frame, of this size, at this time. Raises DataError for a time that is not finite."""
        if not np.isfinite(time):
            raise DataError(f"time must be finite seconds; got {time}")
        jumped = self._time is not None and not 0 <= time - self._time <= self.forget_after
        if jumped or size != self._size:
            self.present, self._lost, self._looked = [], [], -np.inf
        self._lost = [(then, subject) for then, subject in self._lost if time - then <= self.forget_after]
        self._time, self._size = time, size

    def keep(self, rows: Sequence[int], boxes: Floats) -> None:
        """Of those present, these rows are still there, in boxes (n,4); the others are lost."""
        now = self._time or 0.0
        self._lost += [(now, s) for i, s in enumerate(self.present) if i not in set(rows)]
        self.present = [self.present[i] for i in rows]
        for subject, box in zip(self.present, boxes, strict=True):
            subject.box = box

    def admit(self, box: Floats) -> Subject:
        """Somebody in `box` (4,): back again, or new."""
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
        """Which of the frame's parts are to be searched now: all of them at the start, then each in its
        turn, once every `look_every` seconds. Asking counts as having done so."""
        now = self._time or 0.0
        waited = now - self._looked
        count = parts if waited >= self.look_every else int(waited / self.look_every * parts)
        self._looked = now if count == parts else self._looked + count * self.look_every / parts
        turns = [(self._turn + i) % parts for i in range(count)]
        self._turn += count
        return turns

    @property
    def missing(self) -> bool:
        """Whether nobody is there, or somebody was lost a moment ago."""
        return not self.present or bool(self._lost)

    def ids(self) -> set[int]:
        """Of everybody who is remembered, those who were lost a moment ago included."""
        return {subject.id for subject in [*self.present, *(lost for _, lost in self._lost)]}

    def overlapped(self, box: Floats, max_iou: float) -> bool:
        """Whether somebody present lies where `box` (4,) is."""
        boxes = np.array([subject.box for subject in self.present], np.float32).reshape(-1, 4)
        return bool((iou(box[None], boxes) > max_iou).any())
