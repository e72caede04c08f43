"""Objects with ids that last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from vision.cuts import SceneCuts
from vision.drawing import Canvas, colour
from vision.instances import Instances, paint_masks
from vision.spec import Option, spec
from vision.state import State
from vision.steps.base import Pending, Pool, Ready, Spec, Step
from vision.steps.detect import FindsObjects
from vision.tracking.camera import CameraMotion
from vision.tracking.tracker import METHODS, Tracker
from vision.types import Detections, Floats, Frame, Image, Result, Tracks

if TYPE_CHECKING:
    from vision.io import Info


@spec
class Track(Spec):
    """Follow every object through a video, with an id that lasts until the film cuts to another scene."""

    task = "track"
    result = Tracks
    takes: ClassVar = {"on": Detections}
    timed = True

    on: Annotated[str, Option("the step whose boxes it follows, by its key")] = "detect"
    tracker: Annotated[Literal["default", "sort", "bytetrack", "ocsort"], Option(
        "how boxes become tracks: this project's own method, or a paper's", remote=True)] = "default"
    lost_after: Annotated[float, Option(
        "a track that is not seen for so long ends", "seconds", min=1e-3, remote=True)] = 1.5
    camera_motion: Annotated[bool, Option(
        "compensate for the camera's own motion (optical flow)", remote=True)] = False
    looks: Annotated[str | None, Option(
        "a model whose output helps to tell boxes apart: `person-reid`, or a classifier of `vision models`")] = None

    def asks(self, other: Spec) -> Spec:
        """A detector that keeps its weak boxes, which may continue a track."""
        if isinstance(other, FindsObjects) and (other.weak is None or other.weak_asked):
            weak = METHODS[self.tracker].weak
            return replace(other, weak=weak if other.weak is None else min(weak, other.weak), weak_asked=True)
        return other

    def load(self, pool: Pool) -> Any:
        """The network of re-identification or the classifier that `looks` names, or None."""
        from vision import zoo
        from vision.tasks.classify import Classifier
        from vision.tracking.looks import Appearance

        if self.looks is None:
            return None
        known = zoo.CARDS.get(self.looks)
        return pool.load((Appearance if known and known.task == "looks" else Classifier).load, self.looks)

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream."""
        return TrackStep(self, model)


class TrackStep(Step):
    """One stream's tracks. lost_after: seconds after which a track that is not seen ends."""

    remembers = True

    def __init__(self, spec: Track, looks: Any = None) -> None:
        super().__init__(spec.key)
        self.spec, self.needs, self.covers = spec, frozenset((spec.on,)), frozenset((spec.on,))
        self.camera = CameraMotion() if spec.camera_motion else None
        self.lost_after = spec.lost_after
        self.cuts = SceneCuts()
        self.embed = _embedder(looks) if looks is not None else None
        self.tracker = Tracker(spec.tracker, spec.lost_after)

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        """The frame's tracks, at once."""
        seen = sofar[self.spec.on]
        assert isinstance(seen, Detections)
        boxes = seen.everything.boxes
        if self.cuts(frame.image):
            self.tracker.cut()
        camera = self.camera(frame.image, boxes) if self.camera else None
        looks = self._looks(frame.image, seen.everything) if self.embed else None
        return Ready(self.tracker(seen, frame.time, camera=camera, looks=looks))

    def _looks(self, image: Image, seen: Detections) -> Floats:
        """(N,D) of what was seen; zeros for weak boxes, of which there are many, and which go by their place alone."""
        import numpy as np

        assert self.embed is not None
        asked = seen.scores >= self.tracker.method.strong
        asked[seen.scores.argmax() if len(seen) else []] = True          # the best at least: it tells D
        known = self.embed(image, seen.boxes[asked])
        looks = np.zeros((len(seen), known.shape[1]), np.float32)
        looks[asked] = known
        return looks

    def join(self, before: Mapping[str, Step]) -> None:
        """Take the class names and the threshold of the detector."""
        super().join(before)
        decides = getattr(before[self.spec.on], "decides", 0.5)
        self.tracker = Tracker(self.spec.tracker, self.spec.lost_after, min(max(decides, 0.01), 0.99))

    def state(self) -> State:
        """The tracks, and what is known of the film and the camera."""
        camera = {"camera": self.camera.state()} if self.camera else {}
        return {"tracker": self.tracker.state(), "cuts": self.cuts.state(), **camera}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self.tracker.restore(state["tracker"])
        self.cuts.restore(state["cuts"])
        if self.camera:
            self.camera.restore(state["camera"])

    def paint(self, result: Tracks, canvas: Canvas, others: Mapping[str, Any]) -> None:
        """Draw the tracks, and the masks of what they saw in the colours of their ids."""
        seen = others.get(self.spec.on)
        if isinstance(seen, Instances):
            owners = {row: colour(i) for i, row in seen.of(result).items()}
            paint_masks(seen, canvas, [owners.get(row) for row in range(len(seen))])
        super().paint(result, canvas, others)

    def about(self) -> dict[str, Any]:
        """The tracker's name."""
        return {"model": self.spec.tracker}


def _embedder(model: Any) -> Callable[[Image, Floats], Floats]:
    """What the model sees in each box (N,D); of a classifier the roots of its probabilities, of length 1."""
    import numpy as np

    from vision.tracking.looks import Appearance, crops

    if isinstance(model, Appearance):
        return model

    def embed(image: Image, boxes: Floats) -> Floats:
        scores: Sequence[Any] = model.batch(crops(image, boxes))
        probs = np.array([s.probs for s in scores], np.float32)
        return np.sqrt(probs.reshape(len(scores), len(model.names)))

    return embed
