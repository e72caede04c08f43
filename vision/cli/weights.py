"""`vision weights`: which files are here, whether they are the right ones, and fetching them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vision.errors import VisionError, WeightsError
from vision.weights import folders, locate, pull, verify
from vision.zoo import CARDS, find

if TYPE_CHECKING:
    from vision.card import Card

Names = Annotated[list[str] | None, typer.Argument(help="names of `vision models`; all unless given")]


def show() -> None:
    """List the files of the catalogue: where each lies, or how to get it."""
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "where", "file")
    for card in CARDS.values():
        found = locate(card)
        how = f"vision weights pull {card.name}" if card.url else "not here"
        table.add_row(card.name, found[0] if found else "-", str(found[1]) if found else how)
    console = Console()
    console.print(table)
    for why, folder in folders():
        console.print(f"looked in ({why}): {folder}", markup=False, soft_wrap=True)


def check(names: Names = None) -> None:
    """Compare the files that are here with the sha256 of their cards."""
    failed = False
    for card in map(find, names) if names else CARDS.values():
        found = locate(card)
        if found is None and not names:
            continue
        try:
            if found is None:
                raise WeightsError(f"the weights of {card.name!r} ({card.file}) are not here.")
            verify(card, found[1])
            unknown = "" if card.sha256 else "  (its publisher states no sha256)"
            print(f"ok  {card.name}  {found[1]}{unknown}")
        except VisionError as error:
            failed = True
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="names of `vision models`, or a YOLO .pt")] = None,
    listed: Annotated[bool, typer.Option("--list", help="only list what can be fetched")] = False,
) -> None:
    """Fetch weights into the user's cache: the only command that uses the network."""
    if listed or not names:
        _list_pullable()
        return
    for card in map(find, names):
        print(f"{card.name}: {card.licence}", flush=True)
        print(_pulled(card))


def _list_pullable() -> None:
    """What can be fetched: size, task, licence, what its publisher measured."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, caption="figures are their publishers'; vision weights pull NAME")
    for title in ("name", "task", "MB", "figure"):
        table.add_column(title, no_wrap=True, justify="right" if title == "MB" else "left")
    table.add_column("licence")
    for card in sorted((c for c in CARDS.values() if c.url), key=lambda c: (c.task, c.megabytes)):
        figure = ", ".join(f"{metric} {value:.3f}" for metric, value in card.figures.get("fp32", {}).items())
        here = " (here)" if locate(card) else ""
        size = f"{card.megabytes:.1f}" if card.megabytes else "?"
        table.add_row(card.name + here, card.task, size, figure, card.licence)
    Console().print(table)


def _pulled(card: Card) -> Path:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bars = Progress(*columns, console=Console(stderr=True))
    task = bars.add_task(card.file, total=None)

    def show(done: int, total: int) -> None:
        bars.start()                                     # when the first bytes are here; later without effect
        bars.update(task, completed=done, total=total or None)

    try:
        return pull(card, show)
    finally:
        if bars.live.is_started:
            bars.stop()


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="The files of the models: list, verify, pull.", no_args_is_help=True)
    group.command("list")(show)
    group.command("verify")(check)
    group.command("pull")(fetch)
    app.add_typer(group, name="weights")
