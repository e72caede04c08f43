"""`vision soup`: the mean of several trainings' weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vision.cli.text import counted
from vision.errors import UsageError, plain


def soup(
    runs: Annotated[list[Path], typer.Argument(help="weights, or folders of runs, of one network")],
    output: Annotated[Path, typer.Option("-o", "--output", help="a .safetensors to write")],
    weights: Annotated[str | None, typer.Option(help="how much each counts, 2,1,1; all alike unless given")] = None,
) -> None:
    """Average the weights of trainings of one network that started alike: one model, as fast as one of them."""
    from vision.io import Inputs
    from vision.soup import soup as averaged

    if output.suffix != ".safetensors":
        raise UsageError(f"-o is a .safetensors to write; got {output.name!r}")
    try:
        shares = None if weights is None else [float(part) for part in weights.split(",")]
    except ValueError:
        raise UsageError(f"--weights are numbers with commas between, 2,1,1; got {weights!r}") from None
    files = [run / "best.safetensors" if run.is_dir() else run for run in runs]
    Inputs(map(str, files)).refuse(output)
    card = averaged(files, output, shares)
    print(plain(f"{output}: the mean of {counted(len(runs), 'file')}, a {card.net} for {card.task} with "
                f"{len(card.classes)} classes"))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("soup")(soup)
