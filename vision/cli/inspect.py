"""`vision inspect`: what a network is, layer by layer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vision.errors import UsageError, plain
from vision.files import check_writable, write_whole

if TYPE_CHECKING:
    from vision.inspect.layers import Network

_HEADS = ("layer", "what", "output", "kernel", "parameters", "M mult-adds", "KiB", "sees", "stride", "ms")


def inspect(
    models: Annotated[list[str], typer.Argument(
        metavar="MODEL...", help="one or two: a name of `vision models`, a classic such as resnet50, torchvision:NAME, "
                                 "timm:NAME, a run, a .safetensors, an .onnx")],
    size: Annotated[str | None, typer.Option(help="of the picture, as 320x240; the network's own unless given")] = None,
    html: Annotated[Path | None, typer.Option(help="a page with the graph, in one file")] = None,
    time: Annotated[bool, typer.Option("--time/--no-time", help="measure each layer's time")] = True,
) -> None:
    """A network layer by layer: shapes, parameters, multiply-adds, memory, receptive fields, time."""
    from vision.io import Inputs

    if len(models) > 2:
        raise UsageError(f"one network, or two side by side; got {len(models)}.")
    size_wh = _size(size)
    if html is not None:
        Inputs([*models, *_weights(models)]).refuse(html)
        check_writable(html)
    networks = [_read(model, size_wh, time) for model in models]
    for network in networks:
        _table(network)
    if html is not None:
        from vision.inspect.page import page

        note = "Time: the best of seven runs on one thread, layers as they stand, none joined." if time else ""
        write_whole(html, page(networks, note).encode())
        print(f"-> {plain(str(html))}")


def _weights(models: list[str]) -> list[str]:
    """The files of models that are named, such as a run's."""
    from vision.inspect.opened import card_of
    from vision.weights import locate

    found = [locate(card_of(model)) for model in models if not Path(model).is_file()]
    return [str(place[1]) for place in found if place is not None]


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and 1 <= int(side) <= 8192 for side in sides):
        raise UsageError(f"--size is width and height, such as 320x240; got {text!r}.")
    return int(sides[0]), int(sides[1])


def _read(model: str, size_wh: tuple[int, int] | None, time: bool) -> Network:
    from vision.inspect.layers import read_layers
    from vision.inspect.opened import opened
    from vision.inspect.timing import measure

    found = opened(model, size_wh)
    if found.random:
        print(plain(f"{found.title} has no weights here: random ones stand in, which changes no figure"),
              file=sys.stderr)
    network = read_layers(found.graph, found.title, found.learns, found.leaves)
    if time:
        measure(network, found.graph)
    return network


def _table(network: Network) -> None:
    from vision.inspect.page import words

    print(f"{plain(network.title)}, input {' x '.join(map(str, network.shape))}")
    rows = [words(layer) for layer in network.layers]
    widths = [max(len(row[i]) for row in (_HEADS, *rows)) for i in range(len(_HEADS))]
    widths[0], widths[1] = min(widths[0], 40), min(widths[1], 34)
    for row in (_HEADS, *rows):
        cells = [_cut(cell, width).ljust(width) if i < 2 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths, strict=True))]
        print(plain("  ".join(cells).rstrip()))
    ms = "" if network.ms is None else f", {network.ms:.1f} ms on one thread"
    print(f"{network.parameters:,} parameters, {network.macs / 1e9:.3f} G multiply-adds, "
          f"{network.memory / 2**20:.1f} MiB of outputs{ms}")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"…{text[1 - width:]}"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inspect")(inspect)
