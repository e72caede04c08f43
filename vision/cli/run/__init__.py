"""The commands that run over sources: one a task, and `vision run` for several tasks at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from vision.cli.options import command, parameter
from vision.errors import UsageError
from vision.spec import first_sentence
from vision.steps import TASKS, Spec, tasks
from vision.steps.plan import plan_of, read_plan

_SOURCES = inspect.Parameter(
    "sources", inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[list[str], typer.Argument(
        metavar="SOURCE",
        help="video, picture, folder, glob, text file of them, URL, camera number, or - (standard input)",
    )],
)
_DO = inspect.Parameter(
    "do", inspect.Parameter.KEYWORD_ONLY, default=None,
    annotation=Annotated[list[str] | None, typer.Option(
        "--do", help="tasks, such as detect,track,faces; an option of a task is --TASK.OPTION, as in "
        "--detect.min-score 0.4: see `vision TASK --help`")],
)
_PLAN = inspect.Parameter(
    "plan", inspect.Parameter.KEYWORD_ONLY, default=None,
    annotation=Annotated[Path | None, typer.Option("--plan", help=r"a TOML file with one \[\[do]] for each step")],
)


def task_command(name: str) -> Any:
    """The command of one task: a plan of it and of the tasks that it needs."""
    from vision.cli.run.execute import execute
    from vision.cli.run.options import Parts, specs_of
    from vision.sinks import sinks

    rows = tasks()
    kinds = {one.key: type(one) for one in plan_of([name])}
    writable = {key: kind for key, kind in sinks().items() if any(map(kind.writes, kinds))}
    parts = Parts(kinds, writable, plain=True)

    def run(sources: list[str], **values: Any) -> None:
        given = parts.take(values)
        free_only = bool(given.get("going", {}).get("free_only"))
        plan = [replace(one, **given.get(one.key, {})) for one in plan_of([name], free_only)]
        execute(sources, plan, list(specs_of(given, writable)), given)

    return command(run, [_SOURCES, *parts.parameters], f"{first_sentence(rows[name].spec)}.")


def run_command() -> Any:
    """`vision run`: any tasks, in one pass."""
    from vision.cli.run.execute import execute
    from vision.cli.run.many import Many, many_machines
    from vision.cli.run.options import Parts, specs_of
    from vision.sinks import sinks
    from vision.spec import options  # here, as this room has a module of that name

    kinds = {name: row.spec for name, row in tasks().items()}
    parts = Parts(kinds, sinks(), plain=False)
    many = [parameter(field, Many.panel) for field in options(Many)]

    def run(sources: list[str], do: list[str] | None, plan: Path | None, **values: Any) -> None:
        given = parts.take(values)
        asked = Many(**{one.name: values[one.name] for one in many if values[one.name] is not None})
        specs, outputs = _plan(do, plan, given, kinds), list(specs_of(given, sinks()))
        if asked.ray is None:
            asked.refuse_rest()
            execute(sources, specs, outputs, given, plan)
        else:
            many_machines(sources, specs, outputs, given, asked)

    doc = "Several tasks in one pass over each source: one decode, one record a frame, one video."
    return command(run, [_SOURCES, _DO, _PLAN, *parts.parameters, *many], doc)


def _plan(
    do: list[str] | None, file: Path | None, given: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, Any]
) -> list[Spec]:
    """The plan that was asked for, with the options that were given for its steps."""
    if (do is None) == (file is None):
        raise UsageError("give what to do, either as --do detect,track or as --plan plan.toml.")
    names = [name.strip() for one in do or () for name in one.split(",") if name.strip()]
    plan = read_plan(file) if file is not None else plan_of(
        names, bool(given.get("going", {}).get("free_only")))
    ours = {name: values for name, values in given.items() if name in kinds}     # others are of outputs and the run
    for name, values in ours.items():
        if not any(one.key == name and isinstance(one, kinds[name]) for one in plan):
            option = next(iter(values)).replace("_", "-")
            raise UsageError(f"--{name}.{option} is an option of {name!r}, which is not in the plan.")
    return [replace(one, **ours.get(one.key, {})) for one in plan]


def commands() -> dict[str, Callable[[], Any]]:
    """What makes each command, by name. The options of a command are worked out when it is asked for."""
    made: dict[str, Callable[[], Any]] = {"run": run_command}
    for name, row in TASKS.items():
        made[name] = partial(task_command, name)
        if row.hidden:
            made[row.hidden] = partial(task_command, name)
    return made


def named() -> Iterator[tuple[str, str, bool]]:
    """Each command's name, what it does, and whether help hides it."""
    yield "run", "Several tasks in one pass over each source.", False
    for name, row in TASKS.items():
        yield name, f"{first_sentence(row.spec)}.", False
        if row.hidden:
            yield row.hidden, "", True
