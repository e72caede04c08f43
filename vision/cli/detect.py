"""`vision detect`: boxes with names."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from vision.cli.run import RunOptions, command, execute


@command
def detect(
    run: RunOptions,
    model: Annotated[str, typer.Option(help="a name of `vision models`, or a path to weights")] = "default",
    min_score: Annotated[float | None, typer.Option(
        min=0, max=1, help="0..1; the model's own unless given")] = None,
    classes: Annotated[str | None, typer.Option(help="only these, by name: person,car")] = None,
    max_detections: Annotated[int, typer.Option(min=1, help="of one frame, the best")] = 300,
    max_iou: Annotated[float | None, typer.Option(
        min=0, max=1, help="boxes that overlap by more are suppressed")] = None,
    agnostic: Annotated[bool, typer.Option(
        "--agnostic", help="boxes of different classes suppress each other too")] = False,
) -> None:
    """Find objects in videos, pictures, cameras and streams."""
    from vision.pipeline import apply
    from vision.tasks.detect import Detector

    detector = Detector.load(model, run.device, run.precision, run.backend)
    submit = partial(
        detector.submit, min_score=min_score, classes=None if classes is None else classes.split(","),
        max_detections=max_detections, max_iou=max_iou, agnostic=agnostic,
    )
    submit([])                              # an impossible option is told before any output is opened
    execute(run, lambda source: replace(apply(detector, submit), min_score=detector.card.min_score))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("detect")(detect)
