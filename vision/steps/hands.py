"""Hands: their points, gestures, swipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from vision.people.hand import Hands
from vision.spec import Option, spec
from vision.state import State
from vision.steps.base import ModelOption, ModelStep, Named, Pool, Spec, Step
from vision.steps.faces import FollowedPeople
from vision.types import Frame, Result

if TYPE_CHECKING:
    from vision.io import Info


@spec
class FindHands(Spec):
    """Find hands: 21 points each, left or right, what they show (open, fist, point, thumb, V), swipes."""

    task = "hands"
    result = Hands

    model: ModelOption = "default"
    detector: Annotated[Named, Option("the model that finds palms")] = "default"
    min_score: Annotated[float | None, Option(
        "the lowest score of a palm; the detector's own unless given", "0..1", min=0, max=1, remote=True)] = None
    min_hand: Annotated[float, Option(
        "the width of the smallest palm that is looked for", "pixels", min=1, remote=True)] = 40.0
    min_presence: Annotated[float, Option(
        "how sure the network must be that its crop shows a hand", "0..1", min=0, max=1, remote=True)] = 0.5
    detect_every: Annotated[float, Option(
        "time between two searches for new hands on a video", "seconds", min=0, remote=True)] = 0.5
    max_hands: Annotated[int, Option("at most so many are followed on a video", min=1, remote=True)] = 8
    smooth: Annotated[bool, Option("smooth the points of a video over time", remote=True)] = True

    def load(self, pool: Pool) -> Any:
        """The finder with its detector. Raises as `HandFinder.load` does."""
        from vision.people.hands import HandFinder

        return pool.load(HandFinder.load, self.model, detector=self.detector)

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream: hands are followed on a video, and found anew on each picture."""
        how: dict[str, Any] = {
            "min_score": self.min_score, "min_hand": self.min_hand, "min_presence": self.min_presence,
        }
        if info.kind in ("picture", "pictures"):
            return ModelStep(self.key, model, partial(model.submit, **how))
        from vision.people.hands import HandTracker

        tracker = HandTracker(
            model, detect_every=self.detect_every, max_hands=self.max_hands, smooth=self.smooth, **how)
        return _FollowedHands(self.key, model, tracker)


class _FollowedHands(FollowedPeople):
    """Hands on a video; gestures that are held at its end, end with it."""

    _time = 0.0

    def look(self, frame: Frame, sofar: Mapping[str, Result]) -> Result:
        """The hands in the frame."""
        self._time = frame.time
        return super().look(frame, sofar)

    def state(self) -> State:
        """Who is there, and when that was."""
        return {**super().state(), "time": self._time}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        super().restore(state)
        self._time = float(state["time"])

    def end(self) -> Sequence[Any]:
        """The events of gestures that were still held."""
        super().end()
        events: Sequence[Any] = self.tracker.end(self._time)
        return events
