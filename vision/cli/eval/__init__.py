"""`vision eval`: a model's figures on labelled data."""

from __future__ import annotations

import typer

from vision.cli.eval.action import action
from vision.cli.eval.classify import classify
from vision.cli.eval.identity import identity
from vision.cli.eval.instances import instances
from vision.cli.eval.pictures import detect, landmarks
from vision.cli.eval.proposals import proposals
from vision.cli.eval.segment import segment
from vision.cli.eval.text import text
from vision.cli.eval.tracks import track


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="A model's figures on labelled data.", no_args_is_help=True)
    for command in (detect, proposals, instances, classify, segment, landmarks, identity, action, track, text):
        group.command(command.__name__)(command)
    app.add_typer(group, name="eval")
