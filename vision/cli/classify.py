"""`vision classify`: what a picture shows."""

from __future__ import annotations

from typing import Annotated

import typer

from vision.cli.run import RunOptions, command, execute


@command
def classify(
    run: RunOptions,
    model: Annotated[str, typer.Option(
        help="a name of `vision models`, torchvision:NAME, timm:NAME, or a path to weights")] = "default",
) -> None:
    """Classify the frames of videos, pictures, cameras and streams."""
    from vision.pipeline import apply
    from vision.tasks.classify import Classifier

    classifier = Classifier.load(model, run.device, run.precision, run.backend)
    execute(run, lambda source: apply(classifier))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("classify")(classify)
