"""What every `vision eval` of a model can be told: one dataclass, whose fields become options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from vision.files import check_writable

ENGINE = "Engine"                                         # the panel of these three in a command's help
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps", rich_help_panel=ENGINE)]
Precision = Annotated[str, typer.Option(help="auto, int8, fp32, fp16, bf16", rich_help_panel=ENGINE)]
Backend = Annotated[str, typer.Option(
    help="auto, torch, openvino, onnxruntime, opencv", rich_help_panel=ENGINE)]


@dataclass
class EvalOptions:
    """The options of every `vision eval` that runs a model."""

    model: Annotated[str, typer.Option(help="a name of `vision models`, or a path to weights")] = "default"
    device: Device = "auto"
    precision: Precision = "auto"
    backend: Backend = "auto"
    report: Annotated[Path | None, typer.Option(help="the figures as JSON")] = None
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False

    def __post_init__(self) -> None:
        if self.report is not None:
            check_writable(self.report)

    @property
    def where(self) -> tuple[str, str, str, str]:
        """The arguments of a task's `load`."""
        return self.model, self.device, self.precision, self.backend


def opened(function: Callable[..., None]) -> Callable[..., None]:
    """A typer command from `function(options: EvalOptions, ...)`: the fields of the options become options."""
    hints = {name: hint for name, hint in get_type_hints(function, include_extras=True).items() if name != "return"}
    shared = get_type_hints(EvalOptions, include_extras=True)

    @functools.wraps(function)
    def command(**values: Any) -> None:
        function(EvalOptions(**{name: values.pop(name) for name in shared}), **values)

    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
           for name, parameter in inspect.signature(function).parameters.items() if name != "options"]
    common = [inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, annotation=shared[field.name],
                                default=field.default) for field in fields(EvalOptions)]
    command.__signature__ = inspect.Signature([*own, *common])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *common)}
    return command
