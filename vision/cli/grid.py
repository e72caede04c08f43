"""`vision grid`: a frame with coordinates, for choosing lines, zones and boxes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vision.cli.run.options import seconds
from vision.errors import UsageError

if TYPE_CHECKING:
    from vision.types import Frame


def grid(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="anything that can be read: see `vision detect -h`")],
    output: Annotated[Path | None, typer.Option(
        "-o", "--output", help="the picture; NAME-grid.png unless given")] = None,
    at: Annotated[str, typer.Option(help="the frame at this time: 90, 1:30", metavar="<seconds>")] = "0",
    step: Annotated[int | None, typer.Option(
        min=2, metavar="<pixels>", help="from line to line; as the picture asks unless given")] = None,
    pick: Annotated[Literal["line", "zone", "box"] | None, typer.Option(
        metavar="<line|zone|box>", help="click the points in a window, and print what to give: --line and --box, or "
        "a [[zone]] of a scene. Enter takes them, Backspace takes one back, q or Esc ends")] = None,
) -> None:
    """Draw a grid with coordinates on a frame, for choosing lines, zones and boxes; or click them with --pick."""
    from vision.chart import draw_grid, save_png
    from vision.io import Inputs

    frame = _frame(source, seconds("--at", at) or 0.0)
    if pick is not None:
        _pick(frame, pick)
    if output is not None or pick is None:
        path = output or Path(f"{Path(source).stem.strip('-') or 'frame'}-grid.png")
        if path.suffix.lower() != ".png":
            raise UsageError(f"-o is a .png; got {str(path)!r}.")
        Inputs([source]).refuse(path)
        save_png(path, draw_grid(frame.image, step))
        width, height = frame.size_wh
        print(f"{path}: frame {frame.index} at {frame.time:.3f} s, {width}x{height} pixels", file=sys.stderr)


def _frame(source: str, time: float) -> Frame:
    from vision.io import read

    with read(source, start=time or None, max_frames=1) as frames:
        for frame in frames:
            return frame
    raise UsageError(f"{source!r} has no frame at {time:g} s or later.")


def _pick(frame: Frame, kind: Literal["line", "zone", "box"]) -> None:
    """Print each line, box or zone that is clicked, until the user has enough."""
    from vision.sinks.show import pick

    number = 0
    while points := pick(frame.image, kind):
        number += 1
        if kind == "zone":
            print(f'[[zone]]\nname = "zone {number}"\npoints = {[list(point) for point in points]}', flush=True)
        else:
            print(f"--{kind} " + ":".join(f"{x},{y}" for x, y in points), flush=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("grid")(grid)
