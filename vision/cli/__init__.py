"""The command line. The only place that prints; nothing heavy is imported before a command runs."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

from vision import __version__
from vision.cli import hints
from vision.cli.run import commands
from vision.cli.run.execute import forget_stdout
from vision.cli.run.many import with_address
from vision.errors import UsageError, VisionError, plain
from vision.spec import OptionError

COMMANDS = commands()
_Mistake: Any = typer.BadParameter.__base__          # whatever typer does not understand


class _Root(TyperGroup):
    """All commands. Whoever reads standard output may have seen enough (`vision models | head`)."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        _add_examples(self.commands, "")

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that was asked for, with all of its options. Raises UsageError with the nearest for another."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            known = [name for name, command in self.commands.items() if not command.hidden]
            raise UsageError(f"there is no command {args[0]!r}. {hints.for_command(args[0], known)}")
        name, command, rest = super().resolve_command(ctx, args)
        rest = with_address(rest) if name in ("run", "serve") else rest
        if name in COMMANDS:
            whole = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
            whole.command(name, epilog=hints.epilog(name))(COMMANDS[name]())
            command = typer.main.get_command(whole)
        wrong = hints.for_arguments(rest, _options(command)) if name in COMMANDS else None
        if wrong:
            raise UsageError(wrong)
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
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(130) from None


def _add_examples(commands: Any, above: str) -> None:
    for name, command in commands.items():
        command.epilog = hints.epilog(above + name) or command.epilog
        _add_examples(getattr(command, "commands", {}), f"{above}{name} ")


def _options(command: Any) -> list[str]:
    """The options of a command that help shows."""
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    return [option for param in shown for option in param.opts if option.startswith("--")]


def _version(asked: bool) -> None:
    if asked:
        print(f"vision {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=_Root,
    name="vision",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="what is installed")]
    = False,
) -> None:
    """What is in pictures and video: things, people, text, roads and actions; found, followed and measured."""


# each module has `register(app)`, which adds its command or group of commands
_MODULES = (
    "run", "webcam", "gallery", "features", "clip", "probe", "grid", "calibrate", "sample", "models", "export",
    "compress", "weights", "doctor", "eval", "train", "tune", "soup", "inspect", "explain", "augment", "curves", "data",
    "serve", "monitor", "benchmark",
)

for _module in _MODULES:
    import_module(f"vision.cli.{_module}").register(app)


class _OneLine(logging.Formatter):
    """What is logged may hold names of files, which are anybody's."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return plain(super().formatMessage(record))


def main() -> None:
    """Run the command line; an error of ours is one line and a non-zero exit."""
    told = logging.StreamHandler()                     # to standard error, as everything but results
    told.setFormatter(_OneLine("%(message)s"))
    logging.basicConfig(handlers=[told])
    # a file may be called -clip.mp4
    sys.argv[1:] = [f"./{a}" if a.startswith("-") and os.path.isfile(a) else a for a in sys.argv[1:]]
    try:
        sys.exit(app(prog_name="vision", standalone_mode=False))
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):                 # rich ends with 1 there
            sys.exit(0)
        raise
    except _Mistake as error:
        sys.exit(_told(error))
    except VisionError as error:
        if isinstance(error, OptionError):
            error = UsageError(error.as_option)
        print(plain(f"{type(error).__name__}: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:                     # what was not foreseen: a full disk, a folder that is gone
        where = f" ({error.filename})" if error.filename else ""
        print(plain(f"{type(error).__name__}: {error.strerror or error}{where}"), file=sys.stderr)
        sys.exit(1)


def _told(error: Any) -> int:
    """Say in one line what typer does not understand, with what to type instead; the exit status."""
    context = error.ctx
    if not error.format_message().strip():               # a group of commands, named alone: its help is printed
        return 2
    where = context.command_path if context is not None else "vision"
    message = error.format_message().split(" (Possible")[0].rstrip(".").replace("No such", "there is no")
    message = message.replace("Value error, ", "")
    option, hint = getattr(error, "option_name", None), ""
    if option is not None and context is not None:
        hint = hints.for_option(option, _options(context.command)) + " "
    print(plain(f"UsageError: {message[:1].lower()}{message[1:]}. {hint}See: {where} --help"), file=sys.stderr)
    return 2
