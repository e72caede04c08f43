"""Faces: their points, where they look, eyes open or closed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from vision.drawing import Canvas
from vision.people.cover import Covered
from vision.people.face import Faces, paint_boxes
from vision.spec import Option, spec
from vision.state import State
from vision.steps.base import InTurn, ModelOption, ModelStep, Named, Pool, Spec, Step, told
from vision.types import Frame, Result

if TYPE_CHECKING:
    from vision.io import Info


@spec
class FindFaces(Spec):
    """Find faces: 478 points each, head pose, eyes open or closed."""

    task = "faces"
    result = Faces

    model: ModelOption = "default"
    detector: Annotated[Named, Option(
        "the model that finds faces: blazeface-full, blazeface-back or yunet")] = "default"
    min_score: Annotated[float | None, Option(
        "the lowest score of a face; the detector's own unless given", "0..1", min=0, max=1, remote=True)] = None
    min_face: Annotated[float, Option(
        "the smallest face that is looked for", "pixels", min=1, remote=True)] = 24.0
    turned: Annotated[bool, Option(
        "also look for faces in the picture turned by 90, 180 and 270 degrees", remote=True)] = False
    focal: Annotated[float | None, Option(
        "the camera's focal length: gives distances, and better angles", "pixels", min=1, remote=True)] = None
    detect_every: Annotated[float, Option(
        "time between two searches for new faces on a video", "seconds", min=0, remote=True)] = 0.5
    smooth: Annotated[bool, Option("smooth the points of a video over time", remote=True)] = True

    def load(self, pool: Pool) -> Any:
        """The landmarker with its detector. Raises as `FaceLandmarker.load` does."""
        from vision.people.landmarks import FaceLandmarker

        return pool.load(FaceLandmarker.load, self.model, detector=self.detector)

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream: faces are followed on a video, and found anew on each picture."""
        finding: dict[str, Any] = {
            "min_score": self.min_score, "min_face": self.min_face, "turned": self.turned, "camera": self.focal,
        }
        step: Step
        if info.kind in ("picture", "pictures"):
            step = FacesOnPictures(self.key, model, partial(model.submit, **finding))
        else:
            from vision.people.face_tracker import FaceTracker

            tracker = FaceTracker(model, detect_every=self.detect_every, smooth=self.smooth, **finding)
            step = FacesOnVideo(self.key, model, tracker)
        step.if_none = "" if self.turned else "Faces that lie on their side or upside down are found with --turned."
        return step


class FollowedPeople(InTurn):
    """Faces or bodies on a video. tracker: called with each picture and its time."""

    def __init__(self, key: str, model: Any, tracker: Any) -> None:
        super().__init__(key)
        self.model, self.tracker, self.names = model, tracker, model.names

    def look(self, frame: Frame, sofar: Mapping[str, Result]) -> Result:
        """The faces or bodies in the frame."""
        found: Result = self.tracker(frame.image, frame.time)
        return found

    def state(self) -> State:
        """Who is there."""
        remembered: State = self.tracker.state()
        return remembered

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self.tracker.restore(state)

    def about(self) -> dict[str, Any]:
        """The model, and where it runs."""
        return told(self.model)


class MeshedFaces(Step):
    """Faces whose points are drawn, but for those that another step covers: a mesh is as good as a portrait."""

    def paint(self, result: Faces, canvas: Canvas, others: Mapping[str, Any]) -> None:
        """Draw the faces; of covered ones boxes alone."""
        hidden = np.zeros(len(result), bool)
        for one in others.values():
            hidden |= one.holds(result.boxes) if isinstance(one, Covered) else False
        super().paint(result[~hidden], canvas, others)
        paint_boxes(result[hidden], canvas)


class FacesOnPictures(MeshedFaces, ModelStep):
    """Faces on pictures, each by itself."""


class FacesOnVideo(MeshedFaces, FollowedPeople):
    """Faces on a video, with ids that last."""
