"""`vision train detect`: detectors for your own classes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vision.cli.train import numbers, prepare, size_wh, tell, with_settings
from vision.errors import UsageError, WeightsError
from vision.train.settings import Settings

_VARIED = "How pictures vary"


def _encoder_file(choice: str, model: str, options: dict[str, Any]) -> Path | None:
    """The file that `--encoder-weights` means."""
    from vision.weights import resolve
    from vision.zoo import CARDS

    if choice == "auto":
        of_mobilenet = model in ("gfl", "ssdlite", "faster_rcnn") and "encoder" not in options
        return resolve(CARDS["mobilenet-v2"]) if of_mobilenet else None
    if choice != "none" and not Path(choice).is_file():
        raise WeightsError(f"there are no encoder weights at {choice!r}. Give a file, auto or none.")
    return None if choice == "none" else Path(choice)


def _tell_problems(data: Path) -> None:
    """What is wrong in the data, a line for each kind."""
    from vision.train.detection_data import read_detection

    names: tuple[str, ...] | None = None
    for split in ("train", "val"):
        found = read_detection(data, split, names)
        names = found.names
        for line in found.summary():
            print(f"{split}: {line}", file=sys.stderr)


@with_settings(epochs=20, batch=16, lr=1e-3, backbone_lr=0.3, weight_decay=0.03, ema=0.997, clip=10.0)
def train(
    settings: Settings,
    data: Annotated[Path, typer.Option(
        help="folder with train and val as COCO JSON, YOLO (data.yaml) or Pascal VOC has them")],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder of the run")],
    model: Annotated[str, typer.Option(
        help="a new network: gfl, ssdlite, single_shot, faster_rcnn; default, or a file: its weights, with a "
             "new head for new classes; yolo11n: ultralytics' trainer",
    )] = "default",
    encoder_weights: Annotated[str, typer.Option(
        help="of a new network's encoder: a path, none, or auto (the shipped MobileNetV2)")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="go on after the run's last whole epoch")] = False,
    size: Annotated[str, typer.Option(help="what the network sees in use")] = "416x416",
    crop: Annotated[str, typer.Option(help="what it sees in training")] = "320x320",
    sizes: Annotated[str, typer.Option(
        help="multi-scale: sizes of batches, drawn for each: 256x256,320x320,384x384",
        rich_help_panel=_VARIED)] = "",
    scale: Annotated[str, typer.Option(
        help="of a picture; 1: it just fits into the crop", rich_help_panel=_VARIED)] = "0.5,1.8",
    mosaic: Annotated[float, typer.Option(
        min=0, max=1, help="share of pictures made of four", rich_help_panel=_VARIED)] = 0.3,
    mosaic_scale: Annotated[str, typer.Option(
        help="of each of the four", rich_help_panel=_VARIED)] = "0.3,1.25",
    mix_up: Annotated[float, typer.Option(
        min=0, max=1, help="share of pictures blended with another", rich_help_panel=_VARIED)] = 0.0,
    closing: Annotated[int, typer.Option(
        min=0, help="last epochs without mosaic and mix-up", rich_help_panel=_VARIED)] = 4,
    colour: Annotated[float, typer.Option(
        min=0, help="strength of the changes of colour", rich_help_panel=_VARIED)] = 0.4,
    frozen: Annotated[str, typer.Option(
        help="what does not learn, by the beginning of its name: encoder.features.0.,encoder.features.1.",
    )] = "",
    options: Annotated[str, typer.Option(
        help='arguments of the network as JSON: {"channels": 128}')] = "{}",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
) -> None:
    """Detection, on pictures with boxes."""
    prepare()
    from vision.train.detection import CRITERIA, Recipe, train_detector
    from vision.train.detection_transforms import Augment

    try:
        arguments: dict[str, Any] = json.loads(options)
    except ValueError as error:
        raise UsageError(f'--options is JSON, as {{"channels": 128}}; got {options!r}') from error
    _tell_problems(data)
    if Path(model).name.startswith("yolo"):
        from vision.train.yolo import train_yolo

        side = max(size_wh(crop, "--crop"))
        tell(train_yolo(data, model, settings, side, output, resume=resume, progress=not quiet), "ap")
        return
    augment = Augment(
        size_wh(crop, "--crop"), numbers(scale, "--scale"), mosaic=mosaic,
        mosaic_scale=numbers(mosaic_scale, "--mosaic-scale"), mix_up=mix_up,
        mixed_epochs=max(0, settings.epochs - closing), colour=colour,
    )
    recipe = Recipe(
        model, size_wh(size, "--size"), augment,
        tuple(size_wh(s, "--sizes") for s in sizes.split(",") if s),
        tuple(filter(None, frozen.split(","))), arguments or None,
    )
    start = _encoder_file(encoder_weights, model, arguments) if model in CRITERIA else None
    run = train_detector(
        data, recipe, settings, output, encoder_weights=start, resume=resume, progress=not quiet
    )
    tell(run, "ap")
