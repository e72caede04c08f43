"""People and the points of their bodies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from vision.card import Card
from vision.cuts import SceneCuts
from vision.people.body import Poses
from vision.people.smooth import OneEuro
from vision.spec import Option, spec
from vision.state import State
from vision.steps.base import ModelOption, ModelStep, Named, Pending, Pool, Spec, Step
from vision.steps.faces import FollowedPeople
from vision.tracking.tracker import Tracker
from vision.types import Detections, Frame, Result

if TYPE_CHECKING:
    from vision.io import Info


@spec
class EstimatePose(Spec):
    """Find people, with 33 points of the body each; 17 of a YOLO-pose of one's own."""

    task = "pose"
    result = Poses

    model: ModelOption = "default"
    detector: Annotated[Named, Option(
        "the model that finds people, as for `vision detect`; a YOLO-pose finds them itself")] = "default"
    min_score: Annotated[float | None, Option(
        "the lowest score of a person; the detector's own unless given", "0..1", min=0, max=1, remote=True)] = None
    min_presence: Annotated[float, Option(
        "how sure the network must be that its crop shows a body; a YOLO-pose has no crops", "0..1", min=0, max=1,
        remote=True)] = 0.5
    detect_every: Annotated[float, Option(
        "time between two searches for new people on a video", "seconds", min=0, remote=True)] = 0.5
    smooth: Annotated[bool, Option("smooth the points of a video over time", remote=True)] = True

    def load(self, pool: Pool) -> Any:
        """The estimator with its detector, or a network that needs none. Raises as `PoseEstimator.load` does."""
        from vision import zoo
        from vision.people.pose import PoseEstimator
        from vision.people.whole_pose import LAYOUTS, WholePoseEstimator

        model = self.model
        if isinstance(model, str | Path | Card) and zoo.find(model, "pose").boxes.layout in LAYOUTS:
            return pool.load(WholePoseEstimator.load, model)
        return pool.load(PoseEstimator.load, self.model, detector=self.detector)

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream: people are followed on a video, and found anew on each picture."""
        from vision.people.pose import PoseTracker
        from vision.people.whole_pose import WholePoseEstimator

        pictures = info.kind in ("picture", "pictures")
        if isinstance(model, WholePoseEstimator):
            if pictures:
                return ModelStep(self.key, model, partial(model.submit, min_score=self.min_score))
            return TrackedPoses(self.key, model, self.min_score, self.smooth)
        how: dict[str, Any] = {"min_score": self.min_score, "min_presence": self.min_presence}
        if pictures:
            return ModelStep(self.key, model, partial(model.submit, **how))
        tracker = PoseTracker(model, detect_every=self.detect_every, smooth=self.smooth, **how)
        return FollowedPeople(self.key, model, tracker)


class TrackedPoses(ModelStep):
    """People that a network finds anew in each frame, with ids: their boxes are tracked. Whoever is not followed yet
    has the id 0.

    model: a `WholePoseEstimator`. min_score: the lowest score of a person, 0..1; the model's own unless given. smooth:
    whether points are smoothed over time.
    """

    remembers = True

    def __init__(self, key: str, model: Any, min_score: float | None = None, smooth: bool = True) -> None:
        super().__init__(key, model, partial(model.submit, min_score=min_score))
        self.smooth = smooth
        decides = model.card.min_score if min_score is None else min_score
        self.tracker = Tracker(min_score=min(max(decides, 0.01), 0.99))
        self.cuts = SceneCuts()
        self._filters: dict[int, OneEuro] = {}

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        """Start on the frame's picture; who is who is settled in the frames' order."""
        wait, cut = super().begin(frame, sofar), self.cuts(frame.image)

        def settle() -> Result:
            found = wait()
            assert isinstance(found, Poses)
            return self._over_time(found, frame.time, cut)

        return settle

    def state(self) -> State:
        """Who is there."""
        filters = [{"id": i, "smooth": one.state()} for i, one in self._filters.items()]
        return {"tracker": self.tracker.state(), "cuts": self.cuts.state(), "filters": filters}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self.tracker.restore(state["tracker"])
        self.cuts.restore(state["cuts"])
        self._filters = {one["id"]: OneEuro() for one in state["filters"]}
        for one in state["filters"]:
            self._filters[one["id"]].restore(one["smooth"])

    def _over_time(self, found: Poses, time: float, cut: bool) -> Poses:
        if cut:
            self.tracker.cut()
        tracks = self.tracker(Detections(found.boxes, found.presence, np.zeros(len(found), np.int64)), time)
        ids, points = found.ids.copy(), found.points.copy()
        filters = {i: self._filters.get(i, OneEuro()) for i in tracks.ids.tolist()}
        for i, row in zip(tracks.ids.tolist(), tracks.rows.tolist(), strict=True):
            if row >= 0:
                ids[row] = i
                if self.smooth:
                    tall = max(1.0, float(found.boxes[row, 3] - found.boxes[row, 1]))
                    points[row] = filters[i](points[row], time, scale=tall)
        self._filters = filters
        return replace(found, ids=ids, points=points)
