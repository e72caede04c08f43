"""`vision models`: the catalogue, a card, and whether the back ends agree on a model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vision.cli.compress import compress
from vision.cli.measured import metric_of, photographs, picture_of
from vision.errors import EngineError, UsageError, plain
from vision.weights import locate
from vision.zoo import CARDS, DEFAULTS, find

if TYPE_CHECKING:
    from vision.card import Boxes, Card, Clip, Input

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
    title = Text(plain(f"{card.name}, for {card.task}"))
    table = Table(box=None, show_header=False, title=title, title_justify="left")
    for key, value in {**settings, "classes": f"{len(card.classes)}: {', '.join(card.classes)}"}.items():
        table.add_row(key, Text(plain(value)))
    Console().print(table)


def check(
    name: _Name,
    picture: Annotated[list[Path] | None, typer.Option(
        help="pictures to compare on; two photographs of scikit-image unless given")] = None,
    data: Annotated[Path | None, typer.Option(
        help="labelled data, as `vision eval` of the task takes it: the task's metric in each precision judges")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Compare every way to run a model: its speed here, how far it is from torch in float32, and whether
    `auto` may take it. Exits with 1 where a back end in float32 differs by more than the card tolerates."""
    from dataclasses import replace

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from vision.engine.check import check as compared
    from vision.tasks.yolo import to_onnx

    card = to_onnx(find(name))
    if data is not None:
        card = replace(card, figures=_measured(card, name, data, device), measured_on=str(data))
    images = [picture_of(path) for path in picture or photographs()]
    rows = compared(card, images, device)
    table = Table("engine", "streams", "frames/s", "difference", "auto may take it", box=None, title_justify="left",
                  title=Text(plain(f"{card.name}: {len(images)} pictures; figures: {_figures(card)}")))
    for row in sorted(rows, key=lambda row: -row.speed):
        if as_json:
            print(json.dumps(asdict(row)))
        allowed = {True: "yes", False: "NO", None: "not judged"}[row.allowed]
        table.add_row(row.engine, str(row.streams or "auto"), f"{row.speed:.1f}", f"{row.relative:.2g}",
                      f"{allowed}: {row.why}")
    if not as_json:
        Console().print(table)
    if any(row.allowed is False for row in rows if row.engine.endswith("fp32")):
        raise typer.Exit(1)


def card(
    file: Annotated[Path, typer.Argument(help="an ONNX file", exists=True, dir_okay=False)],
    task: Annotated[str | None, typer.Option(help="detect, instances, classify or segment; as its outputs look "
                                                  "unless given")] = None,
    decoder: Annotated[str | None, typer.Option(help="how boxes are read, where the outputs do not tell")] = None,
    out: Annotated[Path | None, typer.Option(
        "--out", "-o", help="where to write it; beside the file unless given")] = None,
) -> None:
    """Write the card of an ONNX file: a few lines of TOML that `--model FILE` reads with it, to be mended by hand."""
    from vision.onnx_card import written

    text = written(file, task, decoder)
    target = out or file.with_suffix(".toml")
    try:
        with target.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError as error:
        raise UsageError(f"{str(target)!r} is there already. Delete it, or name another one: -o FILE") from error
    except OSError as error:
        raise UsageError(f"{str(target)!r} cannot be written ({error.strerror}).") from error
    for line in (str(target), *text.splitlines()):
        print(plain(line))


def _measured(card: Card, name: str, data: Path, device: str) -> dict[str, dict[str, float]]:
    """The task's metric in each precision that can be run here, by `vision eval`."""
    from vision.engine import PRECISIONS

    figures: dict[str, dict[str, float]] = {}
    for precision in PRECISIONS:
        with suppress(EngineError):
            found = metric_of(card.task, name, data, device, precision)
            figures[precision] = {found.name: found.value}
    return figures


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
    group = typer.Typer(invoke_without_command=True)
    group.callback()(catalogue)
    group.command("show")(show)
    group.command("check")(check)
    group.command("card")(card)
    group.command("compress", hidden=True)(compress)             # `vision compress`, as it was called at first
    app.add_typer(group, name="models")
