"""`vision augment`: what training makes of pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vision.errors import DataError, UsageError, plain
from vision.files import check_writable
from vision.spec import nearest, options


def augment(
    source: Annotated[Path, typer.Argument(help="a picture, a folder of them, or a labelled data set of the task")],
    out: Annotated[Path, typer.Option("--out", "-o", help="the contact sheet, a .png")],
    task: Annotated[str, typer.Option(help="whose recipe: classify, detect, instances, segment")] = "classify",
    setting: Annotated[list[str] | None, typer.Option(
        "--set", help="a setting of `vision train TASK`, as policy=randaugment; as often as you like")] = None,
    rows: Annotated[int, typer.Option(min=1, help="pictures")] = 4,
    variants: Annotated[int, typer.Option(min=1, help="of each")] = 5,
) -> None:
    """What a recipe's augmentation does to pictures, as a contact sheet; boxes, masks and points move along."""
    from vision.io import Inputs
    from vision.train.training import RECIPES

    if not source.exists():
        raise DataError(f"there is no {str(source)!r}. Give a picture, a folder, or a data set.")
    if task not in RECIPES:
        raise UsageError(f"nothing trains {task!r}. {nearest(task, RECIPES)}")
    Inputs([str(source)] if source.is_file() else []).refuse(out)        # an earlier sheet in a folder may be
    check_writable(out)
    kind = RECIPES[task].settings
    known = {field.name: field for field in options(kind)}
    given: dict[str, Any] = {}
    for pair in setting or []:
        name, _, value = pair.partition("=")
        name = name.replace("-", "_")
        if name not in known:
            raise UsageError(f"--set {name}: {task} has no such setting. {nearest(name, known)}")
        given[name] = _number(value)
    from vision.chart import save_png
    from vision.inspect.augmented import sheet_of

    save_png(out, sheet_of(source, task, kind(**given), rows, variants))
    print(plain(f"-> {out}"))


def _number(text: str) -> object:
    """A number or a yes or no where the text is one."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) else text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("augment")(augment)
