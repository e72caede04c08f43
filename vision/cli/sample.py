"""`vision sample`: a clip to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sample(
    path: Annotated[Path, typer.Argument(help="the clip to write, .mp4")] = Path("sample.mp4"),
) -> None:
    """Write a ten-second clip of a street and a portrait to try the commands on (extra `demo`)."""
    from vision.sample import make_sample

    frames = make_sample(path)
    print(f"{path}: {frames} frames, 10 s, 640x272")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sample")(sample)
