"""`vision train detect`: detectors for your own classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vision.cli.train import network_options, numbers, prepare, size_wh, tell, with_settings
from vision.train.settings import Settings

_VARIED = "How pictures vary"


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
    from vision.train.encoder import encoder_file

    arguments = network_options(options)
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
    mobilenet = model in ("gfl", "ssdlite", "faster_rcnn") and "encoder" not in arguments
    start = encoder_file(encoder_weights, mobilenet) if model in CRITERIA else None
    run = train_detector(
        data, recipe, settings, output, encoder_weights=start, resume=resume, progress=not quiet
    )
    tell(run, "ap")
