"""`vision tune`: a search for the settings of a training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vision.errors import UsageError, plain

if TYPE_CHECKING:
    from vision.train.tuning import Tried


def tune(
    task: Annotated[str, typer.Argument(help="what is trained: detect, classify, segment, action, ...")],
    data: Annotated[Path, typer.Option(help="folder of labelled data, as `vision train TASK` takes it")],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder of the search; each trial has its own in it")],
    search: Annotated[list[str], typer.Option(
        help="an option of `vision train TASK` and its values, batch=8,16, or its range, lr=0.0001..0.01:log")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="an option of all trials, epochs=5")] = None,
    trials: Annotated[int, typer.Option(min=1, help="how many, with those of a search that is resumed")] = 20,
    method: Annotated[str, typer.Option(help="tpe, random, grid, cmaes, genetic")] = "tpe",
    prune: Annotated[bool, typer.Option("--prune", help="stop trials that are worse than the median")] = False,
    seed: Annotated[int, typer.Option(min=0, help="of the search")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="go on with the search in the folder")] = False,
) -> None:
    """Search the settings of a training: many short ones, each kept; a page says what decides (extra `search`)."""
    from vision.train.tuning import Tuning

    tuning = Tuning(task, data, output, _pairs("--set", settings or []), _pairs("--search", search), trials=trials,
                    method=method, prune=prune, seed=seed, resume=resume)
    best = tuning.run(_told)
    print(plain(f"best: trial {best.number}, {best.value:.4f}, with " + _said(best)))
    print(plain(f"its run: {best.folder}; all trials: {output / 'tuning.html'}"))


def _told(tried: Tried) -> None:
    figure = f"{tried.value:.4f}" if tried.state == "complete" else tried.state
    why = f" ({tried.why})" if tried.why else ""
    print(plain(f"trial {tried.number}  {figure}  {_said(tried)}{why}"), file=sys.stderr, flush=True)


def _said(tried: Tried) -> str:
    return "  ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                     for name, value in tried.chosen.items())


def _pairs(option: str, texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            raise UsageError(f"{option} is NAME=VALUE, such as {option} lr=0.001; got {text!r}")
        pairs[name.strip().replace("-", "_")] = value.strip()
    return pairs


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tune")(tune)
