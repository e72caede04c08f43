"""`vision curves`: learning curves of runs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from vision.errors import MissingExtra, plain
from vision.files import check_writable, write_whole


def curves(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="folders of `vision train`")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the picture, a .png")] = Path("curves.png"),
) -> None:
    """Learning curves of one or several runs, in one picture."""
    if find_spec("matplotlib") is None:
        raise MissingExtra("matplotlib", "train", "drawing curves")
    from vision.inspect.curves import curve_of, draw
    from vision.io import Inputs

    Inputs(str(curve_of(run)) for run in runs).refuse(output)
    check_writable(output)
    write_whole(output, draw(runs))
    print(plain(f"-> {output}"))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("curves")(curves)
