"""Faces that must not be seen in what is written."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from vision.drawing import Canvas
from vision.errors import UsageError
from vision.people.cover import Covered, Linker, Seen, bridged, covered
from vision.spec import Option, spec
from vision.state import State
from vision.steps.base import ModelOption, ModelStep, Pending, Pool, Spec, Step
from vision.types import Frame, Image, Landmarks, Result

if TYPE_CHECKING:
    from vision.io import Info


_FASTEST = 240.0                       # frames a second: of a faster film fewer than `bridge` seconds are held


@spec
class BlurFaces(Spec):
    """Blur faces in all that is written: each is found in every frame, and covered where it was missed in between."""

    task = "blur"
    result = Covered

    model: ModelOption = "default"
    min_score: Annotated[float, Option(
        "the lowest score of a face; low, for a face too many is better than one that is seen", "0..1", min=0.01,
        max=1, remote=True)] = 0.4
    min_face: Annotated[float, Option(
        "the smallest face that is looked for", "pixels", min=1, remote=True)] = 16.0
    turned: Annotated[bool, Option(
        "also look for faces in the picture turned by 90, 180 and 270 degrees", remote=True)] = False
    bridge: Annotated[float, Option(
        "a face is covered for so long before it is found first and after it was found last; frames are held back for "
        "as long", "seconds", min=0, max=5, remote=True)] = 0.5
    enlarge: Annotated[float, Option("how much larger than the face what is covered is", min=1, max=4)] = 1.5

    def check(self) -> None:
        """Raise UsageError where frames would be left out: a face would be seen in them."""
        if self.every != 1:
            raise UsageError(f"faces are blurred in every frame; got every={self.every}.")

    def load(self, pool: Pool) -> Any:
        """The detector. Raises as `FaceDetector.load` does."""
        from vision.people.face_detector import FaceDetector

        return pool.load(FaceDetector.load, self.model)

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream."""
        alone = info.kind in ("picture", "pictures")
        return BlurStep(replace(self, bridge=0.0) if alone else self, model)


class BlurStep(ModelStep):
    """One stream's faces. A frame is given away when those of the next `bridge` seconds have been looked at."""

    remembers = True

    def __init__(self, spec: BlurFaces, model: Any) -> None:
        how = {"min_score": spec.min_score, "min_face": spec.min_face, "turned": spec.turned}
        super().__init__(spec.key, model, partial(model.submit, **how))
        self.spec, self._most = spec, math.ceil(spec.bridge * _FASTEST)
        self._link = Linker(spec.bridge)
        self._faces: set[int] = set()
        self._times: deque[float] = deque()              # of the frames that have had no answer
        self._asked: deque[tuple[float, Callable[[], Sequence[Landmarks]]]] = deque()      # not linked yet
        self._seen: list[Seen] = []                      # linked, from `bridge` before the oldest that is due
        self._due = 0                                    # its place among them

    @property
    def ahead(self) -> int:
        """How many frames after the oldest lie within `bridge` seconds of it, whatever the rate; one more than have
        begun while it is not known yet."""
        if not self._most or not self._times:
            return min(1, self._most)
        until = self._times[0] + self.spec.bridge
        after = next((k for k, time in enumerate(self._times) if time >= until), len(self._times))
        return min(after, self._most)

    @property
    def in_flight(self) -> int:
        """As many frames as are looked at ahead, and what keeps the detector busy."""
        return self.ahead + max(1, super().in_flight)

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        """Start on the frame's picture."""
        self._times.append(frame.time)
        self._asked.append((frame.time, self._submit([frame.image])))
        return self._answer

    def _answer(self) -> Covered:
        """The faces to cover in the oldest frame that has had no answer."""
        while self._asked and len(self._seen) <= self._due + self.ahead:
            time, wait = self._asked.popleft()
            self._seen.append(self._link(wait()[0].boxes, time))
        here, found = self._seen[self._due], bridged(self._seen, self._due, self.spec.bridge)
        self._due += 1
        self._times.popleft()
        while self._seen[0].time < here.time - self.spec.bridge:
            del self._seen[0]
            self._due -= 1
        self._faces |= found.keys()
        seen = np.array([i in here.boxes for i in found], bool)
        return Covered(np.array([*found.values()], np.float32).reshape(-1, 4), seen)

    def shown(self, frame: Frame, result: Any) -> Image:
        """The picture with all of these faces covered."""
        return covered(frame.image, result.boxes, self.spec.enlarge)

    def state(self) -> State | None:
        """None: what is to come cannot be looked at from a checkpoint."""
        return None

    def paint(self, result: Covered, canvas: Canvas, others: Mapping[str, Any]) -> None:
        """Nothing: the picture has them covered already."""

    def summary(self) -> Sequence[str]:
        """How many faces were covered."""
        many = len(self._faces)
        told = f"{many} face{'' if many == 1 else 's'} covered"
        return [f"{self.key}: {told}; look at the result before you give it away"]
