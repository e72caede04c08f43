"""`vision pose`: people and the points of their bodies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from vision.cli.run import RunOptions, command, execute

if TYPE_CHECKING:
    from vision.people.body import Poses
    from vision.io import Source
    from vision.pipeline import Step
    from vision.types import Floats, Frame, Image


@command
def pose(
    run: RunOptions,
    model: Annotated[str, typer.Option(help="a name of `vision models`, or a path to weights")] = "default",
    detector: Annotated[str, typer.Option(help="of the people: a model for `vision detect`")] = "default",
    min_score: Annotated[float | None, typer.Option(
        min=0, max=1, help="of a person's box, 0..1; the detector's own unless given")] = None,
    min_presence: Annotated[float, typer.Option(min=0, max=1, help="of a body in its crop, 0..1")] = 0.5,
    detect_every: Annotated[float, typer.Option(
        min=0, help="seconds between looks for new people on a video")] = 0.5,
    smooth: Annotated[bool, typer.Option(help="smooth the points of a video over time")] = True,
) -> None:
    """Find people in videos, pictures and cameras, with 33 points of the body each."""
    from vision.pipeline import Step
    from vision.tasks.detect import Detector
    from vision.people.pose import PoseEstimator, PoseTracker

    estimator = PoseEstimator.load(model, run.device, run.precision, run.backend)
    people = Detector.load(detector, run.device, run.precision, run.backend)

    def find(image: Image) -> Floats:
        return people(image, classes=["person"], min_score=min_score).boxes

    def make_step(source: Source) -> Step:
        tracker = PoseTracker(
            estimator, find, detect_every=detect_every, min_presence=min_presence, smooth=smooth,
        )
        follows = source.info.kind not in ("picture", "pictures", "list")

        def one(frame: Frame) -> Poses:
            if follows:
                return tracker(frame.image, frame.time)
            return estimator(frame.image, find(frame.image), min_presence=min_presence)

        def begin(frames: Sequence[Frame]) -> Callable[[], list[Poses]]:
            return lambda: [one(frame) for frame in frames]

        return Step(estimator.task, estimator.name, estimator.names, begin)

    execute(run, make_step)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("pose")(pose)
