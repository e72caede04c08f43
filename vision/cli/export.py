"""`vision export`: a model as a file of another format, measured against its source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vision.errors import plain


def export(
    model: Annotated[str, typer.Argument(help="a name of `vision models`, or a path to weights")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the file to write")],
    format: Annotated[str, typer.Option(help="onnx, openvino, torchscript, tensorrt or tflite")] = "onnx",
    size: Annotated[str, typer.Option(
        help="of the pictures that it takes: auto (any, where one graph is right for all), any, or WIDTHxHEIGHT")
    ] = "auto",
    batch: Annotated[str, typer.Option(
        help="pictures at a time: auto (any, where that can be), any, or a number")] = "auto",
    picture: Annotated[list[Path] | None, typer.Option(
        help="pictures to measure on; photographs of scikit-image unless given")] = None,
    data: Annotated[Path | None, typer.Option(
        help="labelled data, as `vision eval` of the task takes it: its metric judges")] = None,
    max_drop: Annotated[float, typer.Option(
        min=0, help="the largest difference that passes, of 1; with --data, how much the metric may fall")] = 0.01,
) -> None:
    """Write a model as a file with normalisation, decoding and card inside, which `--model` opens. The file is measured
    against its source: one that differs too much is kept as FILE.rejected, and the exit status is 1."""
    from vision.cli.measured import metric_of, photographs, picture_of
    from vision.export import export as exported
    from vision.zoo import find

    task, told = find(model).task, ""
    if data is not None:
        before = metric_of(task, model, data)

    def fell(path: str) -> float:
        nonlocal told
        assert data is not None
        after = metric_of(task, path, data)
        told = f"; {before.name} {after.value:.4f}, before {before.value:.4f}"
        return before.fall(after)

    images = [picture_of(path) for path in picture or photographs()]
    made = exported(model, output, images, format, size, batch, max_drop, fell if data is not None else None)
    width_height = "any size" if made.size is None else "x".join(map(str, made.size[-2:-4:-1]))
    many = str(made.batch or "any number")
    print(plain(f"{made.path}: {made.card.name} for {task}, {_bytes(made.path) / 1e6:.1f} MB; takes uint8 BGR of "
                f"{width_height}, {many} at a time"))
    found = made.difference
    print(f"against the source, {found.pictures} pictures: largest difference {found.absolute:.3g}, "
          f"{found.relative:.2g} of the largest output{told}")
    if not made.accepted:
        what = found.relative if made.drop is None else made.drop
        print(plain(f"REJECTED: {what:.4g} is more than --max-drop {max_drop:g}; kept as {made.path}"))
        raise typer.Exit(1)


def _bytes(path: Path) -> int:
    """Of the file, with the weights beside an OpenVINO graph."""
    beside = Path(str(path).replace(".xml", ".bin"))
    return path.stat().st_size + (beside.stat().st_size if beside != path and beside.is_file() else 0)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)
