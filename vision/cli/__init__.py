"""The command line. The only place that prints; nothing heavy is imported before a command runs."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import Any

import typer
import typer.main
from typer.core import TyperGroup

from vision.cli.run import commands
from vision.cli.run.execute import forget_stdout
from vision.errors import VisionError

COMMANDS = commands()


class _Root(TyperGroup):
    """All commands. Whoever reads standard output may have seen enough (`vision models | head`)."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that was asked for, with all of its options."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            whole = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
            whole.command(name)(COMMANDS[name]())
            command = typer.main.get_command(whole)
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            done = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
            return done
        except BrokenPipeError:
            forget_stdout()
            return None


app = typer.Typer(
    cls=_Root,
    name="vision",
    help="Detection, tracking, segmentation, landmarks and action recognition on real video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

# each module has `register(app)`, which adds its command or group of commands
_MODULES = ("run", "features", "probe", "sample", "models", "weights", "doctor", "eval", "train")

for _module in _MODULES:
    import_module(f"vision.cli.{_module}").register(app)


def main() -> None:
    """Run the command line; an error of ours is one line and a non-zero exit."""
    logging.basicConfig(format="%(message)s")          # to standard error, as everything but results
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")     # what fails is ours to tell, in one line
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    # a file may be called -clip.mp4
    sys.argv[1:] = [f"./{a}" if a.startswith("-") and os.path.isfile(a) else a for a in sys.argv[1:]]
    try:
        app()
    except VisionError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:                     # what was not foreseen: a full disk, a folder that is gone
        where = f" ({error.filename})" if error.filename else ""
        print(f"{type(error).__name__}: {error.strerror or error}{where}", file=sys.stderr)
        sys.exit(1)
