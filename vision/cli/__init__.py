"""The command line. The only place that prints; nothing heavy is imported before a command runs."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

from vision import __version__
from vision.cli import hints
from vision.errors import UsageError, VisionError, plain
from vision.spec import OptionError

# the modules with a command or a group of commands of their own, imported when it is asked for; and what each does
MODULES = {
    "webcam": "Show a camera, and what is found in it, in a window or in a browser.",
    "gallery": "People whose faces are to be known (vision identify).",
    "features": "Describe each video by one vector of length 1, for training and searching.",
    "clip": "Cut a clip out of a video for each event: packets are copied where they can be.",
    "probe": "Show what sources hold: kind, size, rate, length, codec, rotation, sound; of each file in a folder.",
    "grid": "Draw a grid with coordinates on a frame, for choosing lines, zones and boxes; or click them with --pick.",
    "calibrate": "Calibrate a camera from pictures of a chessboard, and say how good the calibration is.",
    "sample": "Write a ten-second clip of a street and a portrait to try the commands on (extra `demo`).",
    "models": "List the models: task, input size, where the weights are, their licence.",
    "export": "Write a model as a file with normalisation, decoding and card inside, which `--model` opens.",
    "compress": "Make a model smaller (extra `compress`): int8, half precision, or fewer channels.",
    "weights": "The files of the models: list, verify, pull.",
    "doctor": "Try what can go wrong on a machine: packages, devices, back ends, codecs, windows, cameras, the cache.",
    "eval": "A model's figures on labelled data.",
    "train": "Train networks on your own data.",
    "tune": "Search the settings of a training: many short ones, each kept; a page says what decides (extra `search`).",
    "soup": "Average the weights of trainings of one network that started alike: one model, as fast as one of them.",
    "inspect": "A network layer by layer: shapes, parameters, multiply-adds, memory, receptive fields, time.",
    "explain": "What in a picture speaks for what a model says of it.",
    "augment": "What a recipe's augmentation does to pictures, as a contact sheet; boxes, masks and points move along.",
    "curves": "Learning curves of one or several runs, in one picture.",
    "data": "What a data set holds, and what is wrong in it.",
    "serve": "Serve every task over HTTP: pictures, videos as jobs, a stream; with metrics, limits and a token.",
    "monitor": "Whether a model still sees what it saw: a drift alarm.",
    "benchmark": "Measure a plan on a source part by part: rates, latencies, processor time, memory, energy, and what "
                 "limits it.",
}
_Mistake: Any = typer.BadParameter.__base__          # whatever typer does not understand


class _Root(TyperGroup):
    """All commands. Whoever reads standard output may have seen enough (`vision models | head`)."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.commands = _stubs((name, line, False) for name, line in MODULES.items())

    def list_commands(self, ctx: Any) -> list[str]:
        """The names: the tasks, then what has a module of its own."""
        if not self.commands.keys() - MODULES:
            from vision.cli.run import named

            self.commands = {**_stubs(named()), **self.commands}
        return list(self.commands)

    def get_command(self, ctx: Any, name: str) -> Any:
        """A command as help lists it. `whole` has its options."""
        return self.commands.get(name) if name in MODULES or name in self.list_commands(ctx) else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that was asked for, with all of its options. Raises UsageError with the nearest for another."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            known = [name for name, command in self.commands.items() if not command.hidden]
            raise UsageError(f"there is no command {args[0]!r}. {hints.for_command(args[0], known)}")
        name, command, rest = super().resolve_command(ctx, args)
        if name is None:
            return name, command, rest
        if name in ("run", "serve"):
            from vision.cli.run.many import with_address

            rest = with_address(rest)
        command = whole(name)
        wrong = hints.for_arguments(rest, _options(command)) if name not in MODULES else None
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
            from vision.cli.run.execute import forget_stdout

            forget_stdout()
            return None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(130) from None


def whole(name: str) -> Any:
    """A command, or a group of commands, with all of its options."""
    made = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    if name in MODULES:
        import_module(f"vision.cli.{name}").register(made)
    else:
        from vision.cli.run import commands

        made.command(name)(commands()[name]())
    own = _commands(made)
    _add_examples(own, "")
    return own[name]


def _stubs(named: Iterable[tuple[str, str, bool]]) -> dict[str, Any]:
    """Commands without options: name, what it does, whether it is hidden."""
    made = typer.Typer(add_completion=False, rich_markup_mode="rich")

    def stub() -> None:
        """Never called."""

    for name, line, hidden in named:
        made.command(name, help=line, hidden=hidden)(stub)
    return _commands(made)


def _commands(made: typer.Typer) -> dict[str, Any]:
    made.callback()(lambda: None)                        # a group, also of one command
    group: Any = typer.main.get_command(made)
    return dict(group.commands)


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
