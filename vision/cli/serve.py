"""`vision serve`: the models behind HTTP."""

from __future__ import annotations

import logging
import sys
from importlib.util import find_spec

import typer

from vision.cli.options import opened
from vision.errors import MissingExtra
from vision.serve.settings import ServerOptions

_NEEDS = ("fastapi", "uvicorn", "httptools", "websockets", "multipart", "prometheus_client")


@opened
def serve(options: ServerOptions) -> None:
    """Serve every task over HTTP: pictures, videos as jobs, a stream; with metrics, limits and a token."""
    check_web("vision serve")
    from vision.serve.launch import launch

    logging.getLogger("vision").setLevel(logging.INFO)
    launch(options, told=lambda address: print(f"{address}  what it answers: {address}/docs", file=sys.stderr))


def check_web(what: str) -> None:
    """Raise MissingExtra unless the packages of a server are there."""
    for package in _NEEDS:
        if find_spec(package) is None:
            raise MissingExtra(package, "web", what)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)
