"""`vision calibrate`: a camera's lens from pictures of a chessboard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from vision.errors import UsageError, plain


def calibrate(
    pictures: Annotated[list[str], typer.Argument(
        metavar="PICTURES", help="pictures of the board, a folder, a glob or a video")],
    board: Annotated[str, typer.Option(
        help="its inner corners, across x down: 9x6 on a board of 10x7 squares")] = "9x6",
    square: Annotated[float, typer.Option(help="the side of a square (metres)", min=1e-4, max=100)] = 0.025,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", help="calibration to write: .toml, .yaml (ROS camera_info) or .opencv.yaml")] = None,
    stride: Annotated[int, typer.Option(help="of a video, look at every n-th frame only", min=1)] = 1,
    height: Annotated[float | None, typer.Option(help="of the mounted camera above the ground (metres)")] = None,
    pitch: Annotated[float | None, typer.Option(
        help="with --height: how far the mounted camera looks below the horizontal (degrees); 0 unless given")] = None,
    roll: Annotated[float | None, typer.Option(
        help="with --height: how far the mounted camera is turned clockwise (degrees); 0 unless given")] = None,
) -> None:
    """Calibrate a camera from pictures of a chessboard, and say how good the calibration is."""
    from vision.files import check_writable
    from vision.geometry import Board, Mounting, Setup, write_setup
    from vision.geometry import calibrate as fit
    from vision.io import Inputs, read

    sides = re.fullmatch(r"(\d{1,3})\s*[xX,]\s*(\d{1,3})", board.strip())
    if sides is None:
        raise UsageError(f"--board is its inner corners, across x down, such as 9x6; got {board!r}.")
    if height is None and (pitch is not None or roll is not None):
        raise UsageError("--pitch and --roll are of a mounted camera: say how high it is, too, with --height METRES.")
    mounting = Mounting(height, pitch or 0.0, roll or 0.0) if height is not None else None
    if mounting is not None and output is None:
        raise UsageError("--height, --pitch and --roll are written down, not measured: name a file, -o camera.toml.")
    if mounting is not None and output is not None and output.suffix.lower() != ".toml":
        raise UsageError("only a .toml holds how a camera is mounted. Write -o camera.toml, or leave out --height.")
    if output is not None:
        Inputs(pictures).refuse(output)
        check_writable(output)
    frames = (frame for uri in pictures for frame in read(uri, stride=stride))
    found = fit(frames, Board((int(sides[1]), int(sides[2])), square))
    for line in found.report:
        print(plain(line))
    if output is not None:
        write_setup(output, Setup(found.camera, mounting))
        print(plain(f"-> {output}"))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("calibrate")(calibrate)
