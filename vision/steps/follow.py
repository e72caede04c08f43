"""One chosen object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from vision.errors import UsageError
from vision.spec import Option, spec
from vision.state import State
from vision.steps.base import Pending, Pool, Ready, Spec, Step
from vision.tracking.follow import Follower, Target, checked_box
from vision.types import Floats, Frame, Image, Result

if TYPE_CHECKING:
    from vision.io import Info

Box = tuple[float, float, float, float]


@spec
class Follow(Spec):
    """Follow one chosen object, say when it is lost, and find it again."""

    task = "follow"
    result = Target
    timed = True
    rate = 30.0

    box: Annotated[str | Callable[[Image], Box] | None, Option(
        "x,y,w,h in pixels of the first frame, or two corners x1,y1:x2,y2; `vision grid` helps to find them; in Python "
        "also a function from that frame to (x1, y1, x2, y2)", remote=True)] = None
    follower: Annotated[Literal["dsst", "ivt", "mil", "vit"], Option(
        "dsst (fast), ivt (learns a subspace), mil (OpenCV) or vit (a network: `vision weights pull vittrack`)",
        remote=True)] = "dsst"

    def check(self) -> None:
        """Raise UsageError for a box that is none, or where there is none."""
        if self.box is None:
            raise UsageError("there is nothing to follow: give --box x,y,w,h in pixels of the first frame.")
        if isinstance(self.box, str):
            corners(self.box)

    def load(self, pool: Pool) -> Any:
        """The network of `vit`, None for the others. Raises as `VitNet.load` does."""
        if self.follower != "vit":
            return None
        from vision.tracking.vit import VitNet

        return pool.load(VitNet.load, "vittrack")

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream."""
        return FollowStep(self, model)


class FollowStep(Step):
    """One stream's object; the first frame says what it looks like."""

    remembers = True
    names = ("target",)

    def __init__(self, spec: Follow, net: Any = None) -> None:
        super().__init__(spec.key)
        self.spec, self._net = spec, net
        self.follower: Follower | None = None
        self._state: State | None = None                 # to go on from, with the next frame

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        """Where it is now."""
        if self._state is not None:
            whole = np.array([0, 0, *frame.size_wh], np.float32)
            self.follower = self._begun(frame.image, whole, frame.time)
            self.follower.restore(self._state)
            self._state = None
        if self.follower is not None:
            return Ready(self.follower(frame.image, frame.time))
        given, (width, height) = self.spec.box, frame.size_wh
        sides = given(frame.image) if callable(given) else corners(str(given))
        if not callable(given) and ":" not in str(given) and (sides[2] > width + 1 or sides[3] > height + 1):
            raise UsageError(f"--box {given}, as x,y,w,h, goes to {sides[2]:g},{sides[3]:g}, and the frame has "
                             f"{width}x{height} pixels. Two corners are written x1,y1:x2,y2.")
        box = checked_box(sides, frame.image)
        self.follower = self._begun(frame.image, box, frame.time)
        return Ready(Target(box, 1.0, False))

    def end(self) -> Sequence[Any]:
        """The follower itself: what it has learnt."""
        return (self.follower,) if self.follower is not None else ()

    def state(self) -> State | None:
        """What it looks like, and where it was; None for `mil`, which keeps that to itself."""
        if self.spec.follower == "mil":
            return None
        if self._state is not None:
            return {"follower": self._state}
        return {} if self.follower is None else {"follower": self.follower.state()}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self._state = state.get("follower")

    def about(self) -> dict[str, Any]:
        """The follower's name."""
        return {"model": self.spec.follower}

    def _begun(self, image: Image, box: Floats, time: float) -> Follower:
        if self._net is not None:
            from vision.tracking.vit import Vit

            return Vit(image, box, time, net=self._net)
        from vision.tracking import FOLLOWERS

        return FOLLOWERS[self.spec.follower](image, box, time)


def corners(text: str) -> Box:
    """x,y,w,h or x1,y1:x2,y2 -> left, top, right, bottom. Raises UsageError for another text."""
    try:
        x, y, w, h = (float(value) for value in text.replace(":", ",").split(","))
    except ValueError:
        raise UsageError(f"--box is x,y,w,h in pixels, or two corners x1,y1:x2,y2; got {text!r}.") from None
    return (x, y, w, h) if ":" in text else (x, y, x + w, y + h)
