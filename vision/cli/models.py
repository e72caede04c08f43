"""`vision models`: the catalogue, and whether the back ends agree on a model."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vision.card import card_of
from vision.errors import MissingExtra, ModelError
from vision.weights import locate
from vision.zoo import CARDS, DEFAULTS, find

if TYPE_CHECKING:
    from vision.card import Card
    from vision.types import Image


def card_named(name: str) -> Card:
    """The card of any task for a name of the catalogue, a path, or `torchvision:` and `timm:` names."""
    if name in CARDS:
        return CARDS[name]
    if name.endswith(".safetensors"):
        return card_of(Path(name))
    if name.endswith((".onnx", ".pt")) or ":" in name:
        return find(name, "classify" if ":" in name else "detect")
    if name == "default":
        raise ModelError(f"each task has a default. Name one: {', '.join(DEFAULTS.values())}")
    near = ", ".join(difflib.get_close_matches(name, CARDS, n=3, cutoff=0.3)) or ", ".join(CARDS)
    raise ModelError(f"no model {name!r}. Nearest: {near}. All of them: vision models")


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
            print(json.dumps({**asdict(card), "default": card.name in DEFAULTS.values(), "weights": where}))
        star = " *" if card.name in DEFAULTS.values() else ""
        size = "x".join(map(str, card.size_wh))
        table.add_row(card.name + star, card.task, size, where, re.split("[;,(]", card.licence)[0])
    if not as_json:
        console = Console()
        console.print(table)
        console.print(
            "Also taken: torchvision:NAME and timm:NAME (classifiers), a YOLO .pt or .onnx, a .safetensors "
            "of vision train.",
            markup=False,
        )


def check(
    name: Annotated[str, typer.Argument(help="a name of `vision models`, or a path to weights")],
    picture: Annotated[list[Path] | None, typer.Option(
        help="pictures to compare on; the two photographs that ultralytics ships unless given")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Compare every installed back end with torch in float32; exits with 1 where the one that
    `auto` takes differs by more than the model's card allows."""
    from rich.console import Console
    from rich.table import Table

    from vision.engine import load
    from vision.engine.check import check as differences

    card = card_named(name)
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
    from importlib.util import find_spec

    spec = find_spec("ultralytics")
    if spec is None or spec.origin is None:
        raise MissingExtra("ultralytics", "yolo", "a check without --picture, on its two photographs,")
    return [Path(spec.origin).parent / "assets" / name for name in ("bus.jpg", "zidane.jpg")]


def _image(path: Path) -> Image:
    from vision.io import read

    with read(str(path), max_frames=1) as source:
        return next(source).image


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    from vision.cli.compress import compress

    group = typer.Typer(invoke_without_command=True)
    group.callback()(catalogue)
    group.command("check")(check)
    group.command("compress")(compress)
    app.add_typer(group, name="models")
