"""`vision compress`: a model made smaller, and what that costs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vision.cli.measured import Metric, metric_of
from vision.errors import DataError, UsageError, plain
from vision.weights import locate, resolve
from vision.zoo import find

if TYPE_CHECKING:
    from vision.card import Card
    from vision.types import Image


def compress(
    name: Annotated[str, typer.Argument(help="a name of `vision models`, or a path to weights")],
    output: Annotated[Path, typer.Option(
        "-o", "--output", help="the file to write: .safetensors, or .onnx for int8 in onnxruntime")],
    data: Annotated[Path | None, typer.Option(
        help="for int8 pictures like those that it will see: a folder, a video, a COCO file with `images` beside it, "
             "a YOLO data.yaml; with --prune labelled data, as `vision train` takes it")] = None,
    precision: Annotated[Literal["int8", "half"], typer.Option(help="of weights, in int8 of activations too")] = "int8",
    prune: Annotated[float | None, typer.Option(
        min=0.01, max=0.95, help="in place of that: the share of a classifier's multiply-adds that goes, with the "
                                 "channels that matter least; what is left is trained again")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="with --prune: of that training")] = 6,
    pictures: Annotated[int, typer.Option(min=1, help="for int8: how many pictures to look at")] = 300,
    stride: Annotated[int, typer.Option(min=1, help="for int8: look at every n-th frame only")] = 1,
    labelled: Annotated[Path | None, typer.Option(
        help="labelled data, as `vision eval` of the task takes it: its metric before and after")] = None,
    max_drop: Annotated[float, typer.Option(min=0, help="with --labelled: how much the metric may fall")] = 0.01,
) -> None:
    """Make a model smaller (extra `compress`): int8, half precision, or fewer channels. The file has its card, which
    `--model` opens. One whose metric falls too far is kept as FILE.rejected, and the exit status is 1."""
    from vision.io import Inputs
    from vision.tasks.yolo import to_onnx

    card = to_onnx(find(name))                           # a YOLO .pt is an .onnx file by now
    if prune is not None and labelled is None and data is not None and (data / "val").is_dir():
        labelled = data / "val"
    _check(card, output, precision if prune is None else "prune")
    weights = locate(card)                               # of a run or a name, which is no file itself
    Inputs([name, *(str(path) for path in (data, weights and weights[1]) if path)]).refuse(output)
    judge = None if labelled is None else _Judge(card.task, name, labelled, max_drop)
    if prune is not None:
        small = _pruned(name, _needed(data, "--prune trains again"), output, prune, epochs)
    elif precision == "half":
        from vision.export.half import halve

        small = halve(card, output)
    else:
        small = _quantised(card, _needed(data, "int8 needs pictures"), output, pictures, stride, judge)
    before, after = (path.stat().st_size / 1e6 for path in (resolve(card), output))
    print(plain(f"{output}: {small.source}; {after:.1f} MB, before {before:.1f} MB"))
    _told(card, replace(small, file=str(output.absolute())))
    if judge is not None:
        judge.settle(output)


def _check(card: Card, output: Path, how: str) -> None:
    """Raise UsageError for a file that cannot be what is asked for, before anything is run."""
    from vision.export.seen import TASKS

    if how == "prune" and output.suffix != ".safetensors":
        raise UsageError(f"a network with fewer channels becomes a .safetensors file; got {output.name!r}")
    if how == "int8" and (output.suffix not in (".safetensors", ".onnx") or card.task not in TASKS):
        raise UsageError(
            f"a model for {', '.join(TASKS)} becomes a .safetensors file (OpenVINO) or an .onnx file (onnxruntime); "
            f"got one for {card.task}, {output.name!r}"
        )


def _needed(data: Path | None, why: str) -> Path:
    if data is None:
        raise UsageError(f"{why}: name them with --data FOLDER")
    return data


class _Judge:
    """Whether a file's metric is within what was allowed. Its source is measured once, and so is each file."""

    def __init__(self, task: str, name: str, data: Path, max_drop: float) -> None:
        self.task, self.data, self.max_drop = task, data, max_drop
        self.before = metric_of(task, name, data, precision="fp32")
        self.after: Metric | None = None

    def __call__(self, path: Path) -> bool:
        self.after = metric_of(self.task, str(path), self.data)
        return self.before.fall(self.after) <= self.max_drop

    def settle(self, output: Path) -> None:
        """Say the metric before and after; a file that costs too much loses its name."""
        if self.after is None:
            self(output)
        assert self.after is not None
        print(f"{self.before.name}: {self.after.value:.4f}, before {self.before.value:.4f}")
        if self.before.fall(self.after) > self.max_drop:
            rejected = output.with_name(f"{output.name}.rejected")
            output.replace(rejected)
            print(plain(f"REJECTED: it falls by more than --max-drop {self.max_drop:g}; kept as {rejected}"))
            raise typer.Exit(1)


def _quantised(
    card: Card, data: Path, output: Path, pictures: int, stride: int, judge: _Judge | None
) -> Card:
    from vision.export.seen import batches

    handed = batches(card, _images(data, pictures, stride), pictures)
    if output.suffix == ".onnx":
        from vision.export.int8_onnx import compress_onnx

        return compress_onnx(card, handed, output, data.name)
    from vision.engine.compress import compress as quantised

    return quantised(card, handed, output, data.name, judge)


def _pruned(name: str, data: Path, output: Path, share: float, epochs: int) -> Card:
    """Prune and train again in a folder named as the file."""
    if not data.exists():
        raise DataError(f"there is no {str(data)!r}. Give a folder of labelled data.")
    from vision.cli.train.going import progress
    from vision.train.classify import ClassifySettings
    from vision.train.smaller import smaller

    settings = ClassifySettings(epochs=epochs, lr=3e-4, freeze_epochs=0, backbone_lr=0.1, features=1.0, warmup=0.5)
    with progress(quiet=False) as tell:
        _, trained = smaller(name, data, output.with_suffix(""), share, settings, tell)
    shutil.copyfile(trained.weights, output)
    print(plain(f"the run is in {output.with_suffix('')}"))
    return find(str(output))


def _told(before: Card, after: Card) -> None:
    """Both models side by side: size, parameters, work, time."""
    from vision.export.weighed import weighed

    for title, one in zip(("before", "after"), weighed(before, after), strict=True):
        counts = "" if one.parameters is None else f"{one.parameters:.2f} M parameters, {one.gmacs:.3f} GMACs, "
        print(f"{title + ':':8}{one.megabytes:6.1f} MB, {counts}{one.ms:.1f} ms a picture in {one.precision}")


def _images(data: Path, most: int, stride: int) -> Iterator[Image]:
    """Up to `most` pictures: those of a COCO file, or to train on of a YOLO one, evenly; else a source's first ones."""
    import numpy as np

    from vision.cli.eval.pictures import pictures_of
    from vision.data.detection import read_detection
    from vision.data.truth import Truth
    from vision.io import read

    if data.suffix == ".json":
        truth = Truth.load(data)
        folder = pictures_of(data, truth)
        listed = [folder / image["file_name"] for image in truth.images][::stride]
    elif data.suffix in (".yaml", ".yml"):
        listed = [picture.path for picture in read_detection(data, "train").pictures][::stride]
    else:
        with read(data, stride=stride, max_frames=most) as source:
            yield from (frame.image for frame in source)
        return
    for i in np.linspace(0, len(listed) - 1, min(len(listed), most)).round().astype(int):
        with read(listed[i]) as source:
            yield next(source).image


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compress")(compress)
