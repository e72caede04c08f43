"""Fields of specs as options of typer: a command takes values, and its parameters are made of the fields."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import typer

from vision.files import check_writable
from vision.spec import Described, Field, Option, options, spec

ENGINE = "Engine"                                         # the panel of these three in a command's help
_PLAIN = "Options"


@spec
class Engine(Described):
    """Where models run: the arguments of `vision.Run`, and of a model's `load`."""

    device: Annotated[str, Option("auto, cpu, cuda, cuda:1, mps")] = "auto"
    precision: Annotated[str, Option("auto, int8, fp32, fp16, bf16")] = "auto"
    backend: Annotated[str, Option("auto, torch, openvino, onnxruntime, opencv")] = "auto"


@spec
class ModelOptions(Engine):
    """A model, and where it runs."""

    model: Annotated[str, Option("a name of `vision models`, or a path to weights")] = "default"

    @property
    def where(self) -> tuple[str, str, str, str]:
        """The arguments of a task's `load`."""
        return self.model, self.device, self.precision, self.backend


@spec
class EvalOptions(ModelOptions):
    """The options of every `vision eval` that runs a model."""

    report: Annotated[Path | None, Option("the figures as JSON")] = None
    quiet: Annotated[bool, Option("show no progress", flags=("--quiet", "-q"))] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.report is not None:
            check_writable(self.report)


def parameter(
    field: Field, panel: str, name: str = "", flags: Sequence[str] = (), hidden: bool = False
) -> inspect.Parameter:
    """A field as a parameter for typer: None where it is not given. name, flags: as the field has them unless given."""
    metavar, text = _shown(field)
    flags = flags or field.option.flags or (f"--{field.name.replace('_', '-')}",)
    note = typer.Option(*flags, help=text, metavar=metavar, rich_help_panel=panel, hidden=hidden, show_default=False)
    kind: Any = field.type if field.type in (int, float, bool, Path) or field.choices else str
    if get_origin(field.type) is tuple:
        kind = list[str]
    return inspect.Parameter(
        name or field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, note])


def _shown(field: Field) -> tuple[str, str]:
    """What help says of a field: a short word for its value, which leaves room, and the explanation."""
    text, default = field.option.help, field.default
    word = {bool: "", int: "n", float: "x", Path: "path"}.get(field.type, "text")
    if field.option.unit in ("seconds", "pixels", "0..1"):
        word = field.option.unit
    elif field.option.unit:
        text = field.option.text
    if field.choices:
        word = "|".join(field.choices)
        if len(word) > 12:
            word, text = "name", f"{text} ({', '.join(field.choices)})"
    if default not in (MISSING, None, (), False, True, "", {}) and field.name != "key":
        if isinstance(default, tuple):
            default = (field.option.separator or ",").join(map(str, default))
        text += f" \\[default: {default}]"               # no markup
    return f"<{word}>" if word else "", text


def _panel(kind: type, name: str) -> str:
    """The panel of the class that has a field, where it names one."""
    owner = next(one for one in kind.__mro__ if name in vars(one).get("__annotations__", {}))
    return str(vars(owner).get("panel", _PLAIN))


def command(function: Callable[..., None], parameters: Sequence[inspect.Parameter], doc: str) -> Callable[..., None]:
    """`function(**values)` as typer sees it, with these parameters."""
    def made(**values: Any) -> None:
        function(**values)

    made.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    made.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    made.__doc__, made.__name__ = doc, function.__name__
    return made


def opened(function: Callable[..., None]) -> Callable[..., None]:
    """A command from `function(options: EvalOptions, ...)`, or other options: their fields become options."""
    hints = get_type_hints(function, include_extras=True)
    kind = hints["options"]
    shared = [field.name for field in options(kind)]

    @functools.wraps(function)
    def whole(**values: Any) -> None:
        given = {name: value for name in shared if (value := values.pop(name)) not in (None, [])}
        function(kind(**given), **values)

    own = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
           for name, one in inspect.signature(function).parameters.items() if name != "options"]
    engine = {field.name for field in options(Engine)}
    panels = {field.name: ENGINE if field.name in engine else _panel(kind, field.name) for field in options(kind)}
    common = [parameter(field, panels[field.name]) for field in sorted(
        options(kind), key=lambda field: panels[field.name] != _PLAIN)]
    return command(whole, [*own, *common], function.__doc__ or "")
