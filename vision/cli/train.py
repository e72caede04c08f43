"""`vision train`: networks for your own data."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from vision.cli.options import Command, opened
from vision.errors import MissingExtra, UsageError
from vision.train.settings import Settings

if TYPE_CHECKING:
    from vision.train.fit import Run

_RUN, _STEP, _LOSS = "The run", "Optimisation", "Loss"
_HELP = {                                       # of the settings that every task has: where, and what
    "epochs": (_RUN, "passes over the data"),
    "val_every": (_RUN, "epochs from one validation to the next"),
    "patience": (_RUN, "stop after so many validations without a better one; 0: never"),
    "seed": (_RUN, "of everything that is drawn"),
    "workers": (_RUN, "loading processes"),
    "devices": (_RUN, "above 1: DDP"),
    "threads": (_RUN, "of torch; 0: its own choice"),
    "batch": (_STEP, "pictures a step"),
    "lr": (_STEP, "the highest learning rate"),
    "backbone_lr": (_STEP, "factor on it for a pre-trained encoder"),
    "optimiser": (_STEP, "adamw, or sgd with momentum 0.9"),
    "weight_decay": (_STEP, "of weights; not of norms and biases"),
    "schedule": (_STEP, "of the learning rate"),
    "warmup": (_STEP, "epochs of rising learning rate"),
    "ema": (_STEP, "decay of the averaged weights; 0: none"),
    "clip": (_STEP, "the largest norm of the gradient; 0: any"),
    "precision": (_STEP, "of the forward pass"),
}


def with_settings(**defaults: Any) -> Callable[[Command], Command]:
    """A typer command from `function(settings: Settings, ...)`: the fields of Settings become options,
    with a task's own defaults."""
    hints = {
        name: Annotated[kind, typer.Option(help=_HELP[name][1], rich_help_panel=_HELP[name][0])]
        for name, kind in get_type_hints(Settings).items()
    }
    return lambda function: opened(function, hints, defaults)


def prepare() -> None:
    """Tell what is missing; and Lightning's advice and banners are not for our users."""
    try:
        import lightning  # noqa: F401
        import torchmetrics  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "lightning", "train", "training") from error
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")


def tell(run: Run, figure: str) -> None:
    """The end of a run, in two lines."""
    print(f"{run.epochs} epochs; best {figure} {run.figures.get(figure, float('nan')):.4f}")
    print(f"weights with their card: {run.weights}")


def numbers(text: str, option: str) -> tuple[float, float]:
    """`480x360` or `0.2,1.0` as two numbers; UsageError for anything else."""
    try:
        first, second = (float(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        raise UsageError(f"{option} takes two numbers, as 480x360 or 0.2,1.0; got {text!r}") from None
    return first, second


def size_wh(text: str, option: str) -> tuple[int, int]:
    """`480x360` as whole pixels, width first; UsageError for anything else."""
    width, height = numbers(text, option)
    if min(width, height) < 32 or width % 1 or height % 1:
        raise UsageError(f"{option} is WIDTHxHEIGHT in whole pixels from 32 up; got {text!r}")
    return int(width), int(height)


def network_options(text: str) -> dict[str, Any]:
    """`--options`: a network's arguments; UsageError for what is no JSON object."""
    try:
        arguments = json.loads(text)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise UsageError(f'--options is JSON, an object as {{"dropout": 0.5}}; got {text!r}')
    return arguments


@with_settings(epochs=40, lr=2e-3, backbone_lr=0.25, weight_decay=0.02, ema=0.995)
def segment(
    settings: Settings,
    data: Annotated[Path, typer.Option(
        help="folder with train and val: SPLIT/images and SPLIT/labels, or CamVid's layout")],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder of the run")],
    model: Annotated[str, typer.Option(
        help="network:encoder: fcn8s, segnet, segnet-basic, or any of segmentation-models-pytorch",
    )] = "fpn:mobilenet_v2",
    encoder_weights: Annotated[str, typer.Option(
        help="ImageNet weights of the encoder: a path, none, or auto (the shipped MobileNetV2)")] = "auto",
    weights: Annotated[Path | None, typer.Option(
        help="trained weights of the same network to start from")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on after the run's last whole epoch")] = False,
    size: Annotated[str, typer.Option(help="what the network sees in use")] = "480x360",
    crop: Annotated[str, typer.Option(help="what it sees in training")] = "256x192",
    area: Annotated[str, typer.Option(help="the share of a picture that a crop covers")] = "0.07,0.45",
    colour: Annotated[float, typer.Option(min=0, help="strength of the changes of colour")] = 0.4,
    balance: Annotated[Literal["none", "median", "segnet"], typer.Option(
        help="classes' weights: recomputed median frequencies, or SegNet's for CamVid",
        rich_help_panel=_LOSS)] = "median",
    balance_power: Annotated[float, typer.Option(
        min=0, max=1, help="1: as they are; towards 0: alike", rich_help_panel=_LOSS)] = 0.3,
    dice: Annotated[float, typer.Option(min=0, help="weight of the Dice loss", rich_help_panel=_LOSS)] = 1.0,
    frozen: Annotated[str, typer.Option(
        help="what does not learn, by the beginning of its name: encoder.features.0.,encoder.features.1.",
    )] = "",
    options: Annotated[str, typer.Option(
        help='arguments of the network as JSON: {"dropout": 0.5} makes SegNet Bayesian')] = "{}",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
) -> None:
    """Semantic segmentation, on pictures with index PNGs."""
    prepare()
    from vision.train.encoder import encoder_file
    from vision.train.segment import Recipe, train_segmenter
    from vision.train.segmentation import Augment, find_pairs

    arguments = network_options(options)
    for split in ("train", "val"):
        without = find_pairs(data, split).without
        if without:
            named = ", ".join(path.name for path in without[:5])
            print(f"{split}: {len(without)} pictures without labels are left out: {named}", file=sys.stderr)
    low, high = numbers(area, "--area")
    recipe = Recipe(
        model, size_wh(size, "--size"), Augment(size_wh(crop, "--crop"), (low, high), colour), balance,
        balance_power, dice, tuple(filter(None, frozen.split(","))), arguments or None,
    )
    start = None if weights or resume else encoder_file(
        encoder_weights, model.endswith(":mobilenet_v2")
    )
    run = train_segmenter(
        data, recipe, settings, output, encoder_weights=start, weights=weights, resume=resume,
        progress=not quiet,
    )
    tell(run, "miou")


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    from vision.cli.action_train import train as train_action
    from vision.cli.detect_train import train as train_detect

    group = typer.Typer(help="Train networks on your own data.", no_args_is_help=True)
    group.command("detect")(train_detect)
    group.command("segment")(segment)
    group.command("action")(train_action)
    app.add_typer(group, name="train")
