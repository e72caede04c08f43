"""Dataclasses as options: a command takes one value, and typer sees an option for each of its fields."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from vision.files import check_writable

Command = Callable[..., None]
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


def opened(
    function: Command, hints: Mapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Command:
    """A typer command from `function`: each parameter that is a dataclass is opened into its fields.

    hints: annotations of fields, in place of the dataclass's own. defaults: values of fields,
    likewise. A field without a default is an argument.
    """
    theirs = get_type_hints(function, include_extras=True)
    opened_up: dict[str, tuple[type, list[str]]] = {}       # parameter: its dataclass and fields

    def parameters() -> Iterator[inspect.Parameter]:
        for name, parameter in inspect.signature(function).parameters.items():
            kind = theirs[name]
            if not is_dataclass(kind):
                yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=kind)
                continue
            assert isinstance(kind, type)
            opened_up[name] = (kind, [field.name for field in fields(kind)])
            annotations = {**get_type_hints(kind, include_extras=True), **(hints or {})}
            for field in fields(kind):
                own = inspect.Parameter.empty if field.default is MISSING else field.default
                yield inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, annotation=annotations[field.name],
                    default=(defaults or {}).get(field.name, own),
                )

    seen = list(parameters())

    @functools.wraps(function)
    def command(**values: Any) -> None:
        whole = {n: kind(**{f: values.pop(f) for f in names}) for n, (kind, names) in opened_up.items()}
        function(**whole, **values)

    command.__signature__ = inspect.Signature(seen)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in seen}
    return command
