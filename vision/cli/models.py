"""`vision models`: the catalogue, a card, and whether the back ends agree on a model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vision.weights import locate
from vision.zoo import CARDS, DEFAULTS, find

if TYPE_CHECKING:
    from vision.card import Boxes, Card, Clip, Input
    from vision.types import Image

_Name = Annotated[str, typer.Argument(help="a name of `vision models`, or a path to weights")]


def catalogue(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """List the models: task, input size, where the weights are, their licence."""
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, caption="* the default of its task; --json has the whole licence")
    for title in ("name", "task", "input", "weights"):
        table.add_column(title, no_wrap=True)
    table.add_column("licence")
    for card in CARDS.values():
        found = locate(card)
        where = found[0] if found else "to be pulled" if card.url else "missing"
        if as_json:
            state = {"default": card.name in DEFAULTS.values(), "weights": where}
            print(json.dumps({**json.loads(card.to_json()), "int8": card.int8 and card.int8.name, **state}))
        star = " *" if card.name in DEFAULTS.values() else ""
        size = "x".join(map(str, card.input.size_wh))
        table.add_row(card.name + star, card.task, size, where, re.split("[;,(]", card.licence)[0])
    if not as_json:
        console = Console()
        console.print(table)
        console.print(
            "Also taken: torchvision:NAME and timm:NAME (classifiers), a YOLO .pt or .onnx, a .safetensors "
            "of vision train.",
            markup=False,
        )


def show(name: _Name) -> None:
    """Show a model's card: where its weights are, their licence and use, figures, settings, classes."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    card = find(name)
    found = locate(card)
    pull = f"not here: vision weights pull {card.name}"
    settings = {
        "weights": str(found[1]) if found else pull if card.url else f"{card.file}, which is not here",
        "licence": card.licence, "use": card.use, "figures": _figures(card), "source": card.source,
        "input": _settings(card.input), "network": f"{card.net or card.form} {_listed(card.config)}",
        "min_score": f"{card.min_score:g}", "tolerance": f"{card.tolerance:g}",
    }
    match card.task:
        case "detect":
            settings["boxes"] = _settings(card.boxes)
        case "action":
            settings["clip"] = _settings(card.clip)
    if card.int8 is not None:
        settings["int8"] = card.int8.name
    table = Table(box=None, show_header=False, title=f"{card.name}, for {card.task}", title_justify="left")
    for key, value in {**settings, "classes": f"{len(card.classes)}: {', '.join(card.classes)}"}.items():
        table.add_row(key, Text(value))
    Console().print(table)


def check(
    name: _Name,
    picture: Annotated[list[Path] | None, typer.Option(
        help="pictures to compare on; two photographs of scikit-image unless given")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Compare every installed back end with torch in float32; exits with 1 where the one that
    `auto` takes differs by more than the model's card allows."""
    from rich.console import Console
    from rich.table import Table

    from vision.engine import load
    from vision.engine.check import check as differences
    from vision.tasks.yolo import to_onnx

    card = to_onnx(find(name))
    images = [_image(path) for path in picture or _photographs()]
    rows = list(differences(card, images, device))
    chosen = load(card, device)
    table = Table("engine", "output", "shape", "largest difference", "relative", "within", title=(
        f"{card.name}: {len(images)} pictures, tolerance {card.tolerance:g}; auto takes {chosen.label}"))
    for row in rows:
        if as_json:
            print(json.dumps(asdict(row)))
        shape = "x".join(map(str, row.shape))
        table.add_row(row.engine, str(row.output), shape, f"{row.absolute:.3g}", f"{row.relative:.3g}",
                      "yes" if row.within else "NO")
    if not as_json:
        Console().print(table)
    chosen.close()
    if any(not row.within for row in rows if row.engine == chosen.label):
        raise typer.Exit(1)


def _photographs() -> list[Path]:
    """A woman (NASA, public domain) and a cat (CC0), from scikit-image's wheel."""
    folder = Path(str(files("skimage"))) / "data"
    return [folder / "astronaut.png", folder / "chelsea.png"]


def _image(path: Path) -> Image:
    from vision.io import read

    with read(str(path), max_frames=1) as source:
        return next(source).image


def _figures(card: Card) -> str:
    """What was measured, a precision after the other, and on what."""
    each = (f"{precision} {', '.join(f'{metric} {value:.3f}' for metric, value in found.items())}"
            for precision, found in card.figures.items())
    return f"{'; '.join(each) or 'none'}{f' ({card.measured_on})' if card.measured_on else ''}"


def _settings(part: Input | Boxes | Clip) -> str:
    return _listed(asdict(part))


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    from vision.cli.compress import compress

    group = typer.Typer(invoke_without_command=True)
    group.callback()(catalogue)
    group.command("show")(show)
    group.command("check")(check)
    group.command("compress")(compress)
    app.add_typer(group, name="models")
