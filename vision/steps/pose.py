"""People and the points of their bodies."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from vision.people.body import Poses
from vision.spec import Option, spec
from vision.steps.base import ModelOption, ModelStep, Named, Pool, Spec, Step
from vision.steps.faces import FollowedPeople

if TYPE_CHECKING:
    from vision.io import Info


@spec
class EstimatePose(Spec):
    """Find people, with 33 points of the body each."""

    task = "pose"
    result = Poses

    model: ModelOption = "default"
    detector: Annotated[Named, Option("the model that finds people, as for `vision detect`")] = "default"
    min_score: Annotated[float | None, Option(
        "the lowest score of a person; the detector's own unless given", "0..1", min=0, max=1, remote=True)] = None
    min_presence: Annotated[float, Option(
        "how sure the network must be that its crop shows a body", "0..1", min=0, max=1, remote=True)] = 0.5
    detect_every: Annotated[float, Option(
        "time between two searches for new people on a video", "seconds", min=0, remote=True)] = 0.5
    smooth: Annotated[bool, Option("smooth the points of a video over time", remote=True)] = True

    def load(self, pool: Pool) -> Any:
        """The estimator with its detector. Raises as `PoseEstimator.load` does."""
        from vision.people.pose import PoseEstimator

        return pool.load(PoseEstimator.load, self.model, detector=self.detector)

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream: people are followed on a video, and found anew on each picture."""
        how: dict[str, Any] = {"min_score": self.min_score, "min_presence": self.min_presence}
        if info.kind in ("picture", "pictures"):
            return ModelStep(self.key, model, partial(model.submit, **how))
        from vision.people.pose import PoseTracker

        tracker = PoseTracker(model, detect_every=self.detect_every, smooth=self.smooth, **how)
        return FollowedPeople(self.key, model, tracker)
