"""`vision landmarks`: faces, their points, head pose and eyes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from vision.cli.run import RunOptions, command, execute

if TYPE_CHECKING:
    from vision.io import Source
    from vision.pipeline import Step


@command
def landmarks(
    run: RunOptions,
    model: Annotated[str, typer.Option(help="a name of `vision models`, or a path to weights")] = "default",
    detector: Annotated[str, typer.Option(
        help="of the faces: blazeface-full, blazeface-back, yunet")] = "default",
    min_score: Annotated[float | None, typer.Option(
        min=0, max=1, help="of a face, 0..1; the detector's own unless given")] = None,
    min_face: Annotated[float, typer.Option(min=1, help="pixels; smaller faces are not looked for")] = 24.0,
    turned: Annotated[bool, typer.Option(
        "--turned", help="look at the picture turned by 90, 180 and 270 degrees too")] = False,
    focal: Annotated[float | None, typer.Option(
        min=1, help="the camera's focal length in pixels: gives distances, and better angles")] = None,
    detect_every: Annotated[float, typer.Option(
        min=0, help="seconds between looks for new faces on a video")] = 0.5,
    smooth: Annotated[bool, typer.Option(help="smooth the points of a video over time")] = True,
) -> None:
    """Find faces in videos, pictures and cameras: 478 points each, head pose, eyes open or closed."""
    from vision.pipeline import Step, apply
    from vision.people.landmarks import FaceLandmarker, FaceTracker, Options

    options = Options(min_score=min_score, min_face=min_face, turned=turned, camera=focal)
    landmarker = FaceLandmarker.load(model, run.device, run.precision, run.backend, detector)

    def make_step(source: Source) -> Step:
        if source.info.kind in ("picture", "pictures", "list"):
            return apply(landmarker, partial(landmarker.submit, **options))
        tracker = FaceTracker(landmarker, detect_every=detect_every, smooth=smooth, **options)
        return Step(
            landmarker.task, landmarker.name, landmarker.names,
            lambda frames: lambda: [tracker(frame.image, frame.time) for frame in frames],
        )

    execute(run, make_step)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("landmarks")(landmarks)
